//! The routes that `spin.toml`, the description and the Postman collection name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::file;

/// A method of a path, as in `GET /orders/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
}

/// The paths of the app, spelled as the description spells them, without the one that catches the rest.
pub(super) fn routes() -> BTreeSet<String> {
    let manifest = fs::read_to_string(file("spin.toml")).unwrap();
    let manifest: toml::Value = toml::from_str(&manifest).unwrap();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    let routes = triggers.iter().map(|trigger| trigger["route"].as_str());
    routes
        .map(Option::unwrap)
        .filter(|route| *route != "/...")
        .map(in_braces)
        .collect()
}

/// `/orders/:id` as `/orders/{id}`.
fn in_braces(route: &str) -> String {
    let segments = route.split('/').map(|segment| {
        segment
            .strip_prefix(':')
            .map_or_else(|| segment.to_owned(), |name| format!("{{{name}}}"))
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The description. Python reads the YAML: it is there for the tools.
pub(super) fn description(python: &Path) -> Value {
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let yaml = fs::File::open(file("docs/openapi.yaml")).unwrap();
    let output = Command::new(python)
        .args(["-c", program])
        .stdin(yaml)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The operations of the description.
pub(super) fn described(description: &Value) -> BTreeSet<Operation> {
    let mut operations = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let members = item.as_object().unwrap().keys();
        for method in members.filter(|member| *member != "parameters") {
            operations.insert(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
            });
        }
    }
    operations
}

/// The Postman collection.
pub(super) fn collection() -> Value {
    let text = fs::read_to_string(file("docs/store-manager.postman_collection.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the requests of the collection ask for, by the described path that each one matches best.
pub(super) fn requested(
    collection: &Value,
    described: &BTreeSet<Operation>,
) -> BTreeSet<Operation> {
    let mut found = BTreeSet::new();
    let mut items: Vec<&Value> = vec![collection];
    while let Some(item) = items.pop() {
        items.extend(item["item"].as_array().into_iter().flatten());
        if let Some(method) = item["request"]["method"].as_str() {
            let url = item["request"]["url"]["raw"].as_str().unwrap();
            let path = url.strip_prefix("{{baseUrl}}").unwrap();
            let paths = described.iter().map(|operation| operation.path.as_str());
            // A name sorts after every literal, so the smallest is the most exact.
            let known = paths.filter(|pattern| matches(pattern, path)).min();
            found.insert(Operation {
                method: method.to_owned(),
                path: known.unwrap_or(path).to_owned(),
            });
        }
    }
    found
}

fn matches(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern
            .split('/')
            .zip(path.split('/'))
            .all(|(expected, segment)| expected.starts_with('{') || expected == segment)
}
