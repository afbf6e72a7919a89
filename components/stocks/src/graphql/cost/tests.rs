use async_graphql::parser::parse_query;

use super::*;

/// The query by which GraphiQL and Apollo read a schema: the costliest query that must pass.
pub(in super::super) const FULL_INTROSPECTION: &str = include_str!("introspection.graphql");

/// The estimated length of the query's answer, in bytes.
pub(in super::super) fn answer_bytes(query: &str) -> usize {
    let document = async_graphql::parser::parse_query(query).expect("it is GraphQL");
    let mut budget = Budget::of(&document);
    for (_, operation) in document.operations.iter() {
        budget.spend_operation(&operation.node).expect("it passes");
    }
    MAX_ANSWER_BYTES - budget.answer_bytes
}

fn check(query: &str) -> Result<(), ServerError> {
    cost(query).map(drop)
}

fn cost(query: &str) -> Result<Cost, ServerError> {
    super::check(&parse_query(query).expect("it is GraphQL"))
}

#[test]
fn the_full_introspection_passes_and_leaves_room() {
    assert_eq!(check(FULL_INTROSPECTION), Ok(()));
    let bytes = answer_bytes(FULL_INTROSPECTION);
    assert!(bytes < MAX_ANSWER_BYTES * 4 / 5, "{bytes}");
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

#[test]
fn memory_is_for_values_selections_and_the_query_itself() {
    let bytes = |query: &str| cost(query).expect("it passes").memory_bytes(query);
    let product = bytes("{product(id:\"1\"){id name sku price quantity}}");
    assert!(product < 64 * 1024, "{product}");
    let many: String = (0..300)
        .map(|n| format!("a{n}:product(id:\"{n}\"){{name}} "))
        .collect();
    assert!(bytes(&format!("{{{many}}}")) > 600 * SELECTION_MEMORY);
    let names: String = (0..900).map(|n| format!("a{n}:name ")).collect();
    let values = format!("{{__type(name:\"__DirectiveLocation\"){{enumValues{{{names}}}}}}}");
    assert!(bytes(&values) > 900 * 20 * VALUE_MEMORY);
    assert!(bytes(&values) < MOST_MEMORY);
    // Names that no operation uses are parsed all the same.
    let unused = format!("{{a}} fragment F on Query {{{names}}}");
    assert!(bytes(&unused) > 3 * 900 * TOKEN_MEMORY);
}
