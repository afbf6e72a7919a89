//! Which of our crates may depend on which: the table of `CONTRIBUTING.md`, held against every `Cargo.toml`. A crate
//! can only import what its own names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter;
use std::path::Path;

use toml::{Table, Value};
use xtask::paths;

/// The crates by their folders, and the others of ours that each may depend on.
const RULES: [(&str, &[&str]); 18] = [
    ("components/domain", &[]),
    ("components/guest", &["store-domain"]),
    ("components/orders", &["store-domain", "store-guest"]),
    ("components/stocks", &["store-domain", "store-guest"]),
    ("components/reports", &["store-domain", "store-guest"]),
    ("server", &[]),
    ("host", &["store-server"]),
    ("proxy", &["store-server"]),
    ("fuzz", &[]),
    ("host/tests/guests", &[]),
    ("loadtest/native", &["store-domain", "store-guest"]),
    ("loadtest/empty", &[]),
    ("xtask", &[]),
    ("xtask/testbed", &["store-domain", "xtask"]),
    ("xtask/local", &["store-domain", "testbed", "xtask"]),
    ("xtask/load-driver", &[]),
    (
        "xtask/lab",
        &["load-driver", "store-domain", "testbed", "xtask"],
    ),
    ("xtask/ship", &["testbed", "xtask"]),
];

/// What the tests of every crate may use besides.
const FOR_TESTS: [&str; 2] = ["store-fuzz", "testbed"];

#[test]
fn each_crate_depends_only_on_those_of_ours_that_it_may() {
    let rules: BTreeMap<&str, &[&str]> = RULES.into_iter().collect();
    let crates = members();
    let ours: BTreeSet<&str> = crates.values().map(name).collect();
    let is_stranger = |dependency: &&str, allowed: &[&str]| {
        ours.contains(*dependency) && !allowed.contains(dependency)
    };
    let mut faults = Vec::new();
    for (folder, manifest) in &crates {
        let Some(&allowed) = rules.get(folder.as_str()) else {
            faults.push(format!("no rule for {folder}"));
            continue;
        };
        for kind in ["dependencies", "build-dependencies"] {
            let strangers = dependencies(manifest, kind);
            let strangers = strangers.filter(|dependency| is_stranger(dependency, allowed));
            faults.extend(strangers.map(|stranger| format!("{folder} depends on {stranger}")));
        }
        let for_tests = [allowed, &FOR_TESTS[..]].concat();
        let strangers = dependencies(manifest, "dev-dependencies");
        let strangers = strangers.filter(|dependency| is_stranger(dependency, &for_tests));
        faults.extend(strangers.map(|stranger| format!("{folder}'s tests use {stranger}")));
    }
    let left = rules.keys().filter(|folder| !crates.contains_key(**folder));
    faults.extend(left.map(|folder| format!("there is no crate {folder}")));
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_dependency_is_found_in_each_section() {
    let manifest = "[dependencies]\na.workspace = true\n[dev-dependencies]\nb = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nc = { workspace = true }\n";
    let manifest: Table = manifest.parse().unwrap();
    let found: Vec<&str> = dependencies(&manifest, "dependencies").collect();
    assert_eq!(found, ["a", "c"]);
    let found: Vec<&str> = dependencies(&manifest, "dev-dependencies").collect();
    assert_eq!(found, ["b"]);
}

/// The manifests of all crates of the workspace, by their folders.
fn members() -> BTreeMap<String, Table> {
    let workspace = manifest(paths::root());
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let folders = members.iter().map(|member| member.as_str().unwrap());
    folders
        .map(|folder| (folder.to_owned(), manifest(&paths::root().join(folder))))
        .collect()
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.parse::<Table>()
        .unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn name(manifest: &Table) -> &str {
    manifest["package"]["name"].as_str().unwrap()
}

/// What the section `kind` of a manifest names, for all platforms and for single ones.
fn dependencies<'a>(manifest: &'a Table, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values);
    iter::once(manifest)
        .chain(platforms.filter_map(Value::as_table))
        .filter_map(move |section| section.get(kind)?.as_table())
        .flat_map(Table::keys)
        .map(String::as_str)
}
