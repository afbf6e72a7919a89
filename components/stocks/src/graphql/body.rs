//! The body of a GraphQL request.

use async_graphql::parser::parse_query;
use async_graphql::{Request, ServerError, Variables};
use serde::Deserialize;
use serde_json::value::RawValue;
use store_domain::StoreError;

use super::{cost, refusal, skipped, text};

/// The most bytes, values and nesting levels of the variables: each value may be copied wherever the query uses it.
const MAX_VARIABLES_BYTES: usize = 64 * 1024;
const MAX_VARIABLE_VALUES: usize = 1000;
const MAX_VARIABLE_NESTING: usize = 32;

/// The body, in the form of GraphQL over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    query: String,
    /// Kept as text until it is known to be small: parsed values take forty times the memory.
    #[serde(default)]
    variables: Option<Box<RawValue>>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    /// Clients send this field unasked; the store has no extensions.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde::de::IgnoredAny>,
}

/// A query that has passed the checks.
pub(super) struct CheckedQuery {
    pub(super) request: Request,
    /// The most bytes of memory that the query takes until its answer is written.
    pub(super) memory_bytes: usize,
    /// Whether the answer will contain fields that [`skipped`] added.
    pub(super) has_kept_objects: bool,
}

/// Why a query has no data.
pub(super) enum Refusal {
    /// The body is not a GraphQL request, or a lookup failed: the answer is a problem, as on every route.
    Store(StoreError),
    /// The query is wrong or costs too much. GraphQL answers this in its own format.
    Query(ServerError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ServerError> for Refusal {
    fn from(error: ServerError) -> Self {
        Self::Query(error)
    }
}

impl Body {
    /// Parses the query and refuses one that costs too much.
    ///
    /// # Errors
    /// What is wrong with the variables, the query or the `operationName`.
    pub(super) fn prepare(&self) -> Result<CheckedQuery, Refusal> {
        text::check(&self.query)?;
        let variables = match &self.variables {
            Some(raw) => read_variables(raw)?,
            None => Variables::default(),
        };
        let mut document = parse_query(&self.query).map_err(ServerError::from)?;
        // Before the check, so that the fields that this adds are counted.
        let has_kept_objects = skipped::keep_objects(&mut document);
        let memory_bytes = cost::check(&document)?.memory_bytes(&self.query);
        // The text is not needed beside the parsed document.
        let mut request = Request::new("").variables(variables);
        // Some clients send an empty name instead of none.
        if let Some(name) = self.operation_name.as_deref()
            && !name.is_empty()
        {
            if name.len() > text::MAX_NAME_BYTES {
                return Err(refusal("operationName is longer than a name can be".into()).into());
            }
            request = request.operation_name(name);
        }
        request.set_parsed_query(document);
        Ok(CheckedQuery {
            request,
            memory_bytes,
            has_kept_objects,
        })
    }
}

/// Parses the variables, unless they are too large.
fn read_variables(raw: &RawValue) -> Result<Variables, Refusal> {
    let text = raw.get();
    if text.len() > MAX_VARIABLES_BYTES || !is_small(text) {
        return Err(refusal(format!(
            "variables must have at most {MAX_VARIABLES_BYTES} bytes and {MAX_VARIABLE_VALUES} values, \
             and nest at most {MAX_VARIABLE_NESTING} deep"
        ))
        .into());
    }
    serde_json::from_str(text).map_err(|_| {
        let wanted = "variables must be an object, its numbers in range and its texts Unicode";
        StoreError::Malformed(wanted.into()).into()
    })
}

/// Whether a JSON value contains few values and nests little.
fn is_small(json: &str) -> bool {
    let (mut values, mut nesting) = (1, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b',' => values += 1,
            b'[' | b'{' => {
                values += 1;
                nesting += 1;
            }
            b']' | b'}' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if values > MAX_VARIABLE_VALUES || nesting > MAX_VARIABLE_NESTING {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_of_a_query_are_read() {
        for body in [
            "{}",
            r#"{"query":1}"#,
            r#"{"query":"","queries":""}"#,
            r#"{"query":"","operationName":1}"#,
        ] {
            assert!(serde_json::from_str::<Body>(body).is_err(), "{body}");
        }
    }

    #[test]
    fn variables_are_an_object_or_nothing() {
        let prepare = |variables: &str| {
            let body = format!(r#"{{"query":"{{a}}","variables":{variables}}}"#);
            serde_json::from_str::<Body>(&body)
                .expect("a body")
                .prepare()
        };
        for fine in ["null", "{}", r#"{"a":{"b":[1,"2",null]}}"#] {
            assert!(prepare(fine).is_ok(), "{fine}");
        }
        for wrong in ["[]", r#"[["a","1"]]"#, "1", r#""{}""#, "true"] {
            assert!(
                matches!(
                    prepare(wrong),
                    Err(Refusal::Store(StoreError::Malformed(_)))
                ),
                "{wrong}"
            );
        }
    }

    #[test]
    fn fields_that_are_added_for_skipped_ones_are_counted() {
        let prepare = |directive: &str| {
            let fields: String = (1..1000).map(|n| format!("a{n}:__typename ")).collect();
            let query = format!("{{{fields} a:__typename {directive}}}");
            let body = serde_json::json!({ "query": query }).to_string();
            serde_json::from_str::<Body>(&body)
                .expect("a body")
                .prepare()
        };
        assert!(prepare("").is_ok());
        assert!(matches!(
            prepare("@skip(if: false)"),
            Err(Refusal::Query(_))
        ));
    }

    #[test]
    fn what_is_small_is_counted_without_being_read() {
        let list = |count| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(count));
        assert!(is_small(&list(MAX_VARIABLE_VALUES - 3)));
        assert!(!is_small(&list(MAX_VARIABLE_VALUES - 2)));
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_small(&nested(MAX_VARIABLE_NESTING)));
        assert!(!is_small(&nested(MAX_VARIABLE_NESTING + 1)));
        let text = r#"[\"\\,"#.repeat(MAX_VARIABLE_VALUES);
        assert!(is_small(&format!(r#"{{"a":"{text}"}}"#)));
    }
}
