//! What a query may cost, counted before anything is validated or executed: the GraphQL library's own limits come after
//! it has followed every fragment, and none knows that a list multiplies what is below it.

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
    Type, VariableDefinition,
};
use async_graphql::{Name, Positioned, ServerError};
use async_graphql_value::Value;

use super::refusal;

/// Deepest nesting of fields and fragments, once every fragment is in its place.
const MAX_DEPTH: usize = 32;

/// Most fields and fragments selected, once every fragment is in its place. The full introspection query has about three
/// hundred. With [`MAX_DETAILS`] it bounds the time of the validation, and the number of its errors.
const MAX_SELECTIONS: usize = 1000;

/// Most arguments, values within them, variables and directives, once every fragment is in its place.
const MAX_DETAILS: usize = 1000;

/// Longest answer, by an estimate that is hardly ever too low. The full introspection is estimated at half of it, and
/// has some 40 kB. Sixteen such answers fit into the memory of an instance.
const MAX_ANSWER_BYTES: usize = 3 * 1024 * 1024;

/// More than any name or number has in the answer to an introspection. A product's name may be longer, but nothing
/// multiplies it.
const VALUE_BYTES: usize = 32;

/// More than any description of the schema has.
const TEXT_BYTES: usize = 640;

/// What a variable can be. The schema has no other input types, and the GraphQL library must not be asked for a type
/// that is not there: it panics where a list of them has a default value.
const INPUT_TYPES: [&str; 5] = ["Boolean", "Float", "ID", "Int", "String"];

/// Most members of a field's value: what introspection lists of this schema, rounded up.
pub(super) fn members(field: &str) -> usize {
    match field {
        "types" => 16,
        "fields" => 12,
        "args" => 2,
        "directives" => 8,
        "enumValues" | "locations" => 20,
        _ => 1,
    }
}

/// More than a value of the field takes, if it is no object.
pub(super) fn value_bytes(field: &str) -> usize {
    match field {
        "description" => TEXT_BYTES,
        _ => VALUE_BYTES,
    }
}

/// Counts what the query selects and how long its answer can be, following fragments as the execution will.
///
/// # Errors
/// If it is too much, a fragment leads back to itself, or a variable has a type that there is not.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut budget = Budget::of(document);
    for (_, operation) in document.operations.iter() {
        budget.spend_operation(&operation.node)?;
    }
    // Those that no operation leads to are validated too. They have a budget of their own, as they answer nothing.
    let mut budget = Budget::of(document);
    for fragment in document.fragments.values() {
        budget.spend_directives(&fragment.node.directives)?;
        budget.spend_set(&fragment.node.selection_set.node, MAX_DEPTH, 0)?;
    }
    Ok(())
}

/// What is left to spend.
struct Budget<'a> {
    document: &'a ExecutableDocument,
    selections: usize,
    details: usize,
    answer_bytes: usize,
}

impl<'a> Budget<'a> {
    fn of(document: &'a ExecutableDocument) -> Self {
        Self {
            document,
            selections: MAX_SELECTIONS,
            details: MAX_DETAILS,
            answer_bytes: MAX_ANSWER_BYTES,
        }
    }

    fn spend_operation(&mut self, operation: &OperationDefinition) -> Result<(), ServerError> {
        self.spend_directives(&operation.directives)?;
        for definition in &operation.variable_definitions {
            self.spend_variable(&definition.node)?;
        }
        self.spend_set(&operation.selection_set.node, MAX_DEPTH, 1)
    }

    /// Counts a selection set that is answered for each of `objects`.
    fn spend_set(
        &mut self,
        set: &SelectionSet,
        depth: usize,
        objects: usize,
    ) -> Result<(), ServerError> {
        let depth = depth.checked_sub(1).ok_or_else(too_much)?;
        for selection in &set.items {
            self.selections = self.selections.checked_sub(1).ok_or_else(too_much)?;
            self.spend_directives(selection.node.directives())?;
            match &selection.node {
                Selection::Field(field) => self.spend_field(&field.node, depth, objects)?,
                Selection::InlineFragment(fragment) => {
                    self.spend_set(&fragment.node.selection_set.node, depth, objects)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.node.fragment_name.node);
                    if let Some(fragment) = fragment {
                        self.spend_set(&fragment.node.selection_set.node, depth, objects)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn spend_field(
        &mut self,
        field: &Field,
        depth: usize,
        objects: usize,
    ) -> Result<(), ServerError> {
        for (_, value) in &field.arguments {
            self.spend_value(&value.node)?;
        }
        let name = field.name.node.as_str();
        let values = objects.saturating_mul(members(name));
        let names = objects.saturating_mul(field.response_key().node.len());
        let bytes = values
            .saturating_mul(value_bytes(name))
            .saturating_add(names);
        self.answer_bytes = self.answer_bytes.checked_sub(bytes).ok_or_else(too_much)?;
        self.spend_set(&field.selection_set.node, depth, values)
    }

    fn spend_directives(
        &mut self,
        directives: &[Positioned<Directive>],
    ) -> Result<(), ServerError> {
        for directive in directives {
            self.spend_detail()?;
            for (_, value) in &directive.node.arguments {
                self.spend_value(&value.node)?;
            }
        }
        Ok(())
    }

    fn spend_variable(&mut self, definition: &VariableDefinition) -> Result<(), ServerError> {
        self.spend_detail()?;
        self.spend_directives(&definition.directives)?;
        if let Some(value) = &definition.default_value {
            self.spend_value(&value.node.clone().into_value())?;
        }
        let name = innermost(&definition.var_type.node);
        if INPUT_TYPES.contains(&name.as_str()) {
            return Ok(());
        }
        Err(refusal(format!("a variable can't be of type \"{name}\"")))
    }

    fn spend_value(&mut self, value: &Value) -> Result<(), ServerError> {
        self.spend_detail()?;
        match value {
            Value::List(values) => values.iter().try_for_each(|value| self.spend_value(value)),
            Value::Object(fields) => fields
                .values()
                .try_for_each(|value| self.spend_value(value)),
            _ => Ok(()),
        }
    }

    fn spend_detail(&mut self) -> Result<(), ServerError> {
        self.details = self.details.checked_sub(1).ok_or_else(too_much)?;
        Ok(())
    }
}

/// The type without its lists and exclamation marks.
fn innermost(written: &Type) -> &Name {
    match &written.base {
        BaseType::Named(name) => name,
        BaseType::List(members) => innermost(members),
    }
}

fn too_much() -> ServerError {
    refusal("the query selects too much".into())
}

/// What GraphiQL and Apollo ask to learn a schema: the costliest query that must pass.
#[cfg(test)]
pub(super) const FULL_INTROSPECTION: &str = "query IntrospectionQuery { __schema { description \
    queryType { name kind } mutationType { name kind } subscriptionType { name kind } \
    types { ...FullType } \
    directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } } \
    fragment FullType on __Type { kind name description specifiedByURL isOneOf \
    fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } \
    type { ...TypeRef } isDeprecated deprecationReason } \
    inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef } \
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } \
    possibleTypes { ...TypeRef } } \
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated \
    deprecationReason } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name } } } } } } } } } }";

/// By how many bytes the answer is estimated.
#[cfg(test)]
pub(super) fn answer_bytes(query: &str) -> usize {
    let document = async_graphql::parser::parse_query(query).expect("it is GraphQL");
    let mut budget = Budget::of(&document);
    for (_, operation) in document.operations.iter() {
        budget.spend_operation(&operation.node).expect("it passes");
    }
    MAX_ANSWER_BYTES - budget.answer_bytes
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn check(query: &str) -> Result<(), ServerError> {
        super::check(&parse_query(query).expect("it is GraphQL"))
    }

    #[test]
    fn the_full_introspection_passes_and_leaves_room() {
        assert_eq!(check(FULL_INTROSPECTION), Ok(()));
        let bytes = answer_bytes(FULL_INTROSPECTION);
        assert!(bytes < MAX_ANSWER_BYTES * 2 / 3, "{bytes}");
    }

    #[test]
    fn lists_multiply_what_is_below_them() {
        let aliases = |count| {
            (0..count)
                .map(|n| format!("a{n}:description "))
                .collect::<String>()
        };
        assert_eq!(check(&format!("{{__schema{{{}}}}}", aliases(900))), Ok(()));
        assert!(check(&format!("{{__schema{{types{{{}}}}}}}", aliases(900))).is_err());
        let fields = "fields{type{ofType{ofType{".repeat(7);
        let ends = "}".repeat(28);
        for leaf in ["name", &aliases(900)] {
            let query = format!("{{__schema{{types{{{fields}{leaf}{ends}}}}}}}");
            assert!(check(&query).is_err(), "{leaf:.20}");
        }
        let fields = "fields{type{".repeat(5) + &"}".repeat(10);
        let fields = fields.replacen("{}", "{kind}", 1);
        assert!(check(&format!("{{__type(name:\"Query\"){{{fields}}}}}")).is_err());
    }

    #[test]
    fn long_aliases_count_as_often_as_they_are_answered() {
        let aliases = |count| {
            (0..count)
                .map(|n| format!("{}{n}:name ", "a".repeat(100)))
                .collect::<String>()
        };
        assert_eq!(
            check(&format!(
                "{{__schema{{types{{fields{{{}}}}}}}}}",
                aliases(50)
            )),
            Ok(())
        );
        assert!(
            check(&format!(
                "{{__schema{{types{{fields{{{}}}}}}}}}",
                aliases(300)
            ))
            .is_err()
        );
    }

    #[test]
    fn many_selections_are_refused() {
        let fields = |count| format!("{{{}}}", " a".repeat(count));
        assert_eq!(check(&fields(MAX_SELECTIONS)), Ok(()));
        assert!(check(&fields(MAX_SELECTIONS + 1)).is_err());
    }

    #[test]
    fn arguments_values_and_directives_count_for_each_operation_that_uses_them() {
        let values = "$a ".repeat(100);
        for part in [
            format!("a(b: [{values}])"),
            format!("a(b: {{c: [{values}]}})"),
            format!("a @x(b: [{values}])"),
            format!("... @x(b: [{values}]) {{ a }}"),
            "a @x ".to_owned() + &"@x ".repeat(100),
        ] {
            let fragment = format!("fragment F on Query {{ {part} }}");
            let operations = |count| {
                let operations = (0..count).map(|n| format!("query Q{n} {{ ...F }} "));
                operations.collect::<String>() + &fragment
            };
            assert_eq!(check(&operations(9)), Ok(()), "{part:.20}");
            assert!(check(&operations(10)).is_err(), "{part:.20}");
        }
        let variables = |count| {
            (0..count)
                .map(|n| format!("$v{n}: Int "))
                .collect::<String>()
        };
        assert!(check(&format!("query ({}) {{ a }}", variables(1001))).is_err());
    }

    #[test]
    fn fragments_that_multiply_are_refused() {
        let mut bomb = "{ ...f0 }".to_owned();
        for level in 0..20 {
            let next = format!("...f{} ", level + 1).repeat(10);
            bomb.push_str(&format!(" fragment f{level} on Query {{ {next} }}"));
        }
        bomb.push_str(" fragment f20 on Query { a }");
        assert!(check(&bomb).is_err());
    }

    #[test]
    fn a_fragment_of_itself_is_refused_wherever_it_is() {
        assert!(check("{ ...f } fragment f on Query { ...f }").is_err());
        assert!(check("{ a } fragment f on Query { ...f }").is_err());
    }

    #[test]
    fn a_long_chain_of_fragments_is_refused_though_nothing_leads_to_it() {
        let chain: String = (0..100)
            .map(|n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1))
            .collect();
        assert!(check(&format!("{{ a }} {chain}")).is_err());
    }

    #[test]
    fn a_variable_has_a_type_that_there_is() {
        for fine in [
            "String!",
            "[Int!]! = [1]",
            "Boolean = true",
            "ID",
            "[[Float]]",
        ] {
            assert_eq!(
                check(&format!("query ($a: {fine}) {{ a }}")),
                Ok(()),
                "{fine}"
            );
        }
        for unknown in ["Nope", "[Nope] = [1]", "[[Nope!]!] = []", "Product"] {
            assert!(
                check(&format!("query ($a: {unknown}) {{ a }}")).is_err(),
                "{unknown}"
            );
        }
    }
}
