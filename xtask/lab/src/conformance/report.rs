//! The result of http-cache-tests: a list for people, and JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::choices;
use super::run::SuiteResults;

/// The suite's names of the kinds that count. Tests of other kinds show what a cache does, not whether it is right.
const KINDS: [&str; 2] = ["required", "optimal"];

/// The kind that must not fail.
const REQUIRED: &str = KINDS[0];

/// All tests of one kind.
struct Kind {
    name: &'static str,
    count: usize,
    failures: Vec<Failure>,
}

struct Failure {
    id: String,
    test: String,
    /// The suite's explanation.
    why: String,
    /// Why the proxy fails on purpose, if it does.
    choice: Option<&'static str>,
}

/// The results of a run.
pub(super) struct Report {
    version: String,
    kinds: Vec<Kind>,
}

impl Report {
    pub(super) fn new(found: SuiteResults) -> Self {
        let kinds = KINDS.map(|name| {
            let tests = found.tests.iter().filter(|test| test.kind == name);
            let failures = tests.clone().filter_map(|test| {
                let result = found.results.get(&test.id);
                (result != Some(&Value::Bool(true))).then(|| Failure {
                    id: test.id.clone(),
                    test: test.name.clone(),
                    why: why(result),
                    choice: choices::reason(&test.id, found.edition).filter(|_| name == REQUIRED),
                })
            });
            Kind {
                name,
                count: tests.clone().count(),
                failures: failures.collect(),
            }
        });
        Self {
            version: found.version,
            kinds: kinds.into(),
        }
    }

    /// Whether every required test passed, except our documented choices.
    pub(super) fn is_good(&self) -> bool {
        let required = self.kinds.iter().filter(|kind| kind.name == REQUIRED);
        let mut failures = required.flat_map(|kind| &kind.failures);
        failures.all(|failure| failure.choice.is_some())
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = format!("{:#}\n", self.json());
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    fn json(&self) -> Value {
        let kinds = self.kinds.iter().map(|kind| {
            let failures = kind.failures.iter().map(|failure| {
                json!({
                    "id": failure.id,
                    "test": failure.test,
                    "why": failure.why,
                    "choice": failure.choice,
                })
            });
            let value = json!({
                "tests": kind.count,
                "passed": kind.passed(),
                "failed": failures.collect::<Vec<_>>(),
            });
            (kind.name.to_owned(), value)
        });
        let mut all: serde_json::Map<String, Value> = kinds.collect();
        all.insert("suite".into(), "http-cache-tests".into());
        all.insert("version".into(), self.version.clone().into());
        Value::Object(all)
    }
}

impl Kind {
    fn passed(&self) -> usize {
        self.count - self.failures.len()
    }
}

fn why(result: Option<&Value>) -> String {
    let Some(Value::Array(parts)) = result else {
        return "not run".to_owned();
    };
    let words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
    match words.as_slice() {
        ["Assertion", said] => (*said).to_owned(),
        words => words.join(": "),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "http-cache-tests {}", self.version)?;
        for kind in &self.kinds {
            let chosen = kind.failures.iter().filter(|one| one.choice.is_some());
            let chosen = match chosen.count() {
                0 => String::new(),
                count => format!(", {count} of them by choice"),
            };
            writeln!(
                f,
                "{:<9} {:>4} tests: {} passed, {} failed{chosen}",
                kind.name,
                kind.count,
                kind.passed(),
                kind.failures.len()
            )?;
        }
        for kind in &self.kinds {
            for failure in &kind.failures {
                write!(f, "\n{} {}: {}", kind.name, failure.id, failure.why)?;
                if let Some(choice) = failure.choice {
                    write!(f, "\n    our choice: {choice}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &str, result: Value) -> Report {
        let found = json!({
            "version": "1",
            "edition": "repository",
            "tests": [
                { "id": "good", "name": "Good", "kind": "required" },
                { "id": id, "name": "Other", "kind": "required" },
                { "id": "better", "name": "Better", "kind": "optimal" },
                { "id": "known", "name": "Known", "kind": "check" },
            ],
            "results": { "good": true, id: result, "known": ["Assertion", "no"] },
        });
        Report::new(serde_json::from_value(found).expect("what the client writes"))
    }

    #[test]
    fn a_required_test_may_fail_only_by_choice() {
        let failed = json!(["Setup", "it is old"]);
        assert!(report("other", json!(true)).is_good());
        assert!(!report("other", failed.clone()).is_good());
        assert!(report("headers-store-Set-Cookie", failed).is_good());
    }

    #[test]
    fn what_failed_is_said_with_the_suites_words() {
        let report = report("other", json!(["Assertion", "it is old"]));
        let said = report.to_string();
        for line in [
            "required     2 tests: 1 passed, 1 failed",
            "optimal      1 tests: 0 passed, 1 failed",
            "required other: it is old",
            "optimal better: not run",
        ] {
            assert!(said.lines().any(|said| said == line), "no {line} in {said}");
        }
        assert_eq!(report.json()["required"]["failed"][0]["id"], "other");
    }
}
