//! Limits what a query may cost, before anything is validated or executed. The GraphQL library's own limits apply only
//! after it has followed every fragment, and none of them knows that a list multiplies the cost of what is below it.

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
    Type, VariableDefinition,
};
use async_graphql::{Name, Positioned, ServerError};
use async_graphql_value::Value;

use super::{refusal, text};

/// The deepest nesting of fields and fragments, with every fragment expanded.
const MAX_DEPTH: usize = 32;

/// The most selected fields and fragments, with every fragment expanded. The full introspection query has about three
/// hundred. Together with [`MAX_DETAILS`] this bounds the time of the validation and the number of its errors.
const MAX_SELECTIONS: usize = 1000;

/// The most arguments, values within them, variables and directives, with every fragment expanded.
const MAX_DETAILS: usize = 1000;

/// The longest answer, by an estimate that is hardly ever too low, and mostly much too high. The full introspection is
/// estimated at three quarters of this limit, and has about 40 kB. How long the finished answer may be, and how much
/// memory the queries of one instance take together, `room.rs` says.
const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// What the memory of one value in the answer is estimated at, in bytes, besides its text: its entry in its object,
/// which may have twice the room that it needs, and the allocation of its text.
const VALUE_MEMORY: usize = 128;

/// What the memory of one selection is estimated at, in bytes: the field while it waits for its value, and for a field
/// of a product its text of up to 1,020 bytes, which is in the row, in the record, in what is written to Redis, in the
/// answer's value and in the answer's text.
const SELECTION_MEMORY: usize = 6 * 1024;

/// What the memory of one name, value or sign of the query is estimated at, in bytes, once it is parsed.
const TOKEN_MEMORY: usize = 128;

/// How often the bytes of the answer are in memory: as values, and as text that may have twice the room that it needs.
const COPIES_OF_ANSWER: usize = 3;

/// An upper bound for the bytes of any name or number in an introspection's answer. A product's name may have 1,020
/// bytes, but no list multiplies it: all names that one query can select under aliases have a megabyte.
const VALUE_BYTES: usize = 32;

/// An upper bound for the bytes of any description in the schema.
const TEXT_BYTES: usize = 640;

/// The types that a variable may have. The schema has no other input types. The GraphQL library must never see an
/// unknown type: it panics if a list of an unknown type has a default value.
const INPUT_TYPES: [&str; 5] = ["Boolean", "Float", "ID", "Int", "String"];

/// An upper bound for the number of members in a field's value: what introspection lists for this schema, rounded up.
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

/// An upper bound for the bytes of the field's value, if the value is not an object.
pub(super) fn value_bytes(field: &str) -> usize {
    match field {
        "description" => TEXT_BYTES,
        _ => VALUE_BYTES,
    }
}

/// What a query that is within the limits costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    selections: usize,
    /// The values in the answer, those of objects and lists included.
    values: usize,
    answer_bytes: usize,
}

/// The most that [`Cost::memory_bytes`] can be.
pub(super) const MOST_MEMORY: usize = TOKEN_MEMORY * text::MAX_TOKENS
    + SELECTION_MEMORY * MAX_SELECTIONS
    + VALUE_MEMORY * (MAX_ANSWER_BYTES / VALUE_BYTES)
    + COPIES_OF_ANSWER * MAX_ANSWER_BYTES;

impl Cost {
    /// The most bytes of memory that the query takes from its parsing until its answer is written, besides its own text
    /// and its variables.
    pub(super) fn memory_bytes(&self, query: &str) -> usize {
        TOKEN_MEMORY * text::most_tokens(query)
            + SELECTION_MEMORY * self.selections
            + VALUE_MEMORY * self.values
            + COPIES_OF_ANSWER * self.answer_bytes
    }
}

/// Counts what the query selects and estimates the length of its answer, expanding fragments as the execution will.
///
/// # Errors
/// If a limit is exceeded, if a fragment contains itself, or if a variable has an unknown type.
pub(super) fn check(document: &ExecutableDocument) -> Result<Cost, ServerError> {
    let mut budget = Budget::of(document);
    for (_, operation) in document.operations.iter() {
        budget.spend_operation(&operation.node)?;
    }
    let cost = budget.spent();
    // Fragments that no operation uses are validated too. They have a budget of their own, because they produce no
    // answer.
    let mut budget = Budget::of(document);
    for fragment in document.fragments.values() {
        budget.spend_directives(&fragment.node.directives)?;
        budget.spend_set(&fragment.node.selection_set.node, MAX_DEPTH, 0)?;
    }
    Ok(cost)
}

/// What the query may still spend.
struct Budget<'a> {
    document: &'a ExecutableDocument,
    selections: usize,
    details: usize,
    answer_bytes: usize,
    /// The values in the answer so far. They have no limit of their own, as each has bytes.
    values: usize,
}

impl<'a> Budget<'a> {
    fn of(document: &'a ExecutableDocument) -> Self {
        Self {
            document,
            selections: MAX_SELECTIONS,
            details: MAX_DETAILS,
            answer_bytes: MAX_ANSWER_BYTES,
            values: 0,
        }
    }

    fn spent(&self) -> Cost {
        Cost {
            selections: MAX_SELECTIONS - self.selections,
            values: self.values,
            answer_bytes: MAX_ANSWER_BYTES - self.answer_bytes,
        }
    }

    fn spend_operation(&mut self, operation: &OperationDefinition) -> Result<(), ServerError> {
        self.spend_directives(&operation.directives)?;
        for definition in &operation.variable_definitions {
            self.spend_variable(&definition.node)?;
        }
        self.spend_set(&operation.selection_set.node, MAX_DEPTH, 1)
    }

    /// Counts a selection set that is answered once for each of `objects` objects.
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
        self.values += values;
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

/// The named type inside lists and exclamation marks.
fn innermost(written: &Type) -> &Name {
    match &written.base {
        BaseType::Named(name) => name,
        BaseType::List(members) => innermost(members),
    }
}

fn too_much() -> ServerError {
    refusal("the query selects too much; ask for fewer fields".into())
}

#[cfg(test)]
pub(super) use tests::{FULL_INTROSPECTION, answer_bytes};

#[cfg(test)]
mod tests;
