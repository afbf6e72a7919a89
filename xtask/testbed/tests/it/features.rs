//! Tests ask the crates that they share with the programs for no other features: otherwise `cargo xtask test` would
//! build those crates, and all that use them, a second time after `cargo xtask up`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;

use xtask::paths;

/// The features of each build of a crate.
type Builds = BTreeSet<String>;

#[test]
fn tests_ask_for_no_features_that_programs_do_not_ask_for() {
    let for_programs = builds("normal,build");
    let with_tests = builds("normal,build,dev");
    let mut names = for_programs.keys().map(|(name, _)| name);
    assert!(names.any(|name| name == "wasmtime"));
    for (package, builds) in for_programs {
        assert_eq!(with_tests[&package], builds, "{package:?}");
    }
}

/// The crates that the workspace builds for dependencies of these kinds, by name and version.
fn builds(kinds: &str) -> BTreeMap<(String, String), Builds> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap());
    cargo.current_dir(paths::root());
    cargo.args(["tree", "--locked", "--workspace", "--edges", kinds]);
    cargo.args(["--prefix", "none", "--format", "{p} {f}"]);
    let output = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut builds: BTreeMap<_, Builds> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // A crate that was listed before is marked.
        let line = line.trim_end_matches(" (*)");
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        let features = words.next().unwrap_or_default();
        builds.entry((name, version)).or_default().insert(features);
    }
    builds
}
