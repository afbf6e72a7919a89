//! What a query may cost. Checked before the GraphQL library sees the query: its own limits come after it has followed
//! every fragment, and its parser recurses as deep as the text nests.

use async_graphql::ServerError;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// Longest query, in bytes. The full introspection query has two thousand.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Deepest nesting of brackets. The full introspection query has thirteen.
const MAX_NESTING: usize = 32;

/// Most selections once every fragment is in its place. The full introspection query has about three hundred.
const MAX_SELECTIONS: usize = 1000;

/// Checks the query's text.
///
/// # Errors
/// If it is too long or nests too deeply.
pub(super) fn check_text(query: &str) -> Result<(), ServerError> {
    if query.len() > MAX_TEXT_BYTES {
        return Err(refusal(format!(
            "the query must have at most {MAX_TEXT_BYTES} bytes"
        )));
    }
    let mut nesting: usize = 0;
    for byte in query.bytes() {
        match byte {
            b'{' | b'(' | b'[' => nesting += 1,
            b'}' | b')' | b']' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting > MAX_NESTING {
            return Err(refusal(format!(
                "the query must nest at most {MAX_NESTING} deep"
            )));
        }
    }
    Ok(())
}

/// Counts what the query selects, following fragments as the execution will.
///
/// # Errors
/// If it is too much, or a fragment leads back to itself.
pub(super) fn check_cost(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut budget = Budget {
        document,
        selections: MAX_SELECTIONS,
    };
    for (_, operation) in document.operations.iter() {
        budget.spend(&operation.node.selection_set.node, MAX_NESTING)?;
    }
    Ok(())
}

struct Budget<'a> {
    document: &'a ExecutableDocument,
    selections: usize,
}

impl Budget<'_> {
    fn spend(&mut self, set: &SelectionSet, depth: usize) -> Result<(), ServerError> {
        let too_much = || refusal("the query selects too much".into());
        let depth = depth.checked_sub(1).ok_or_else(too_much)?;
        for selection in &set.items {
            self.selections = self.selections.checked_sub(1).ok_or_else(too_much)?;
            match &selection.node {
                Selection::Field(field) => self.spend(&field.node.selection_set.node, depth)?,
                Selection::InlineFragment(fragment) => {
                    self.spend(&fragment.node.selection_set.node, depth)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.document.fragments.get(&spread.node.fragment_name.node);
                    if let Some(fragment) = fragment {
                        self.spend(&fragment.node.selection_set.node, depth)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn refusal(message: String) -> ServerError {
    ServerError::new(message, None)
}

/// What GraphiQL and Apollo ask to learn a schema: the costliest query that must pass.
#[cfg(test)]
pub(super) const FULL_INTROSPECTION: &str = "query IntrospectionQuery { __schema { \
    queryType { name } mutationType { name } subscriptionType { name } types { ...FullType } \
    directives { name description locations args { ...InputValue } } } } \
    fragment FullType on __Type { kind name description \
    fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } \
    isDeprecated deprecationReason } inputFields { ...InputValue } interfaces { ...TypeRef } \
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } \
    possibleTypes { ...TypeRef } } \
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn check(query: &str) -> Result<(), ServerError> {
        check_text(query)?;
        check_cost(&parse_query(query).expect("it is GraphQL"))
    }

    #[test]
    fn the_full_introspection_passes() {
        assert_eq!(check(FULL_INTROSPECTION), Ok(()));
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        for query in [
            "{a".repeat(20_000),
            "{a(b:".to_owned() + &"[".repeat(20_000),
        ] {
            assert!(check_text(&query).is_err());
        }
    }

    #[test]
    fn a_long_query_is_refused() {
        assert!(check_text(&" ".repeat(MAX_TEXT_BYTES + 1)).is_err());
        assert!(check_text(&" ".repeat(MAX_TEXT_BYTES)).is_ok());
    }

    #[test]
    fn many_selections_are_refused() {
        let fields = |count| format!("{{{}}}", " a".repeat(count));
        assert_eq!(check(&fields(MAX_SELECTIONS)), Ok(()));
        assert!(check(&fields(MAX_SELECTIONS + 1)).is_err());
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
    fn a_fragment_of_itself_is_refused() {
        assert!(check("{ ...f } fragment f on Query { ...f }").is_err());
    }
}
