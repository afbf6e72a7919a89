//! The fuzz targets. Each target is a unit test, next to the code that it tests.

/// A fuzz target.
#[derive(Debug)]
pub(super) struct Target {
    /// The name of the target's folder in `fuzz/seeds`.
    pub(super) name: &'static str,
    /// The crate of the test, under rustc's name.
    pub(super) krate: &'static str,
    /// The test's path in its crate.
    pub(super) test: &'static str,
    /// What is tried, in words.
    pub(super) tries: &'static str,
}

const fn target(
    name: &'static str,
    krate: &'static str,
    test: &'static str,
    tries: &'static str,
) -> Target {
    Target {
        name,
        krate,
        test,
        tries,
    }
}

/// The targets, in the order in which they run.
pub(super) const TARGETS: [Target; 12] = [
    target(
        "head",
        "store_proxy",
        "message::fuzz::head",
        "the proxy's check of request heads",
    ),
    target(
        "host-head",
        "store_host",
        "http::fuzz::heads",
        "the host's check of request heads, and of where bodies end",
    ),
    target(
        "answer",
        "store_proxy",
        "message::fuzz::answer",
        "the proxy's reader of answers' heads",
    ),
    target(
        "chunks",
        "store_proxy",
        "message::fuzz::chunks",
        "the end of a chunked body, in host and proxy",
    ),
    target(
        "forwarded",
        "store_proxy",
        "message::fuzz::forwarded",
        "what clients and other proxies say in Forwarded and X-Forwarded-For",
    ),
    target(
        "cache-headers",
        "store_proxy",
        "cache::fuzz::headers",
        "headers that say what the proxy's cache may keep",
    ),
    target(
        "proxy-toml",
        "store_proxy",
        "config::fuzz::file",
        "the proxy's configuration file",
    ),
    target(
        "spin-toml",
        "store_host",
        "fuzz::manifest",
        "the app's manifest",
    ),
    target(
        "mysql-values",
        "store_host",
        "mysql::fuzz::values",
        "values of MySQL's rows, on their way to a component",
    ),
    target(
        "redis-values",
        "store_host",
        "redis::fuzz::replies",
        "Redis's replies, on their way to a component",
    ),
    target(
        "graphql",
        "stocks",
        "graphql::tests::fuzz::query",
        "GraphQL queries: their limits and their answers",
    ),
    target(
        "order",
        "store_guest",
        "fuzz::order",
        "the body of POST /orders",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use toml::{Table, Value};

    use super::TARGETS;
    use xtask::paths;

    #[test]
    fn every_folder_of_seeds_is_a_target_s() {
        let folders = fs::read_dir(paths::root().join("fuzz/seeds")).expect("there are seeds");
        let mut folders: Vec<_> = folders
            .map(|entry| {
                entry
                    .expect("a folder")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .collect();
        folders.sort();
        let mut names = TARGETS.map(|target| target.name);
        names.sort_unstable();
        assert_eq!(folders, names);
    }

    #[test]
    fn every_target_is_in_the_documents() {
        let page = fs::read_to_string(paths::root().join("docs/FUZZING.md")).expect("the page");
        for target in TARGETS {
            let row = format!("\n| `{}` | {} |", target.name, target.tries);
            assert!(page.contains(&row), "{row}");
        }
    }

    /// A target tries code of its test's crate, or of one of ours that this crate depends on.
    #[test]
    fn every_crate_whose_code_is_tried_is_instrumented() {
        let crates = crates();
        for target in TARGETS {
            let tried = reachable(&crates, target.krate);
            assert!(tried.contains(target.krate), "{} is unknown", target.krate);
            let libraries = tried.iter().map(|krate| (krate.as_str(), "--crate-type"));
            for (krate, kind) in libraries.chain([(target.krate, "--test")]) {
                let compiled = compiled(&["--crate-name", krate, kind]);
                let is_instrumented = compiled.contains("-Cpasses=sancov-module");
                assert!(is_instrumented, "{}: {krate} {kind}", target.name);
            }
        }
    }

    #[test]
    fn only_test_programs_without_libfuzzer_may_lack_its_functions() {
        let may_lack_them = |arguments: &[&str]| {
            compiled(&[&["--crate-name", "a"][..], arguments].concat())
                .contains("unresolved-symbols")
        };
        assert!(may_lack_them(&["--test", "--extern", "store_domain=b"]));
        assert!(!may_lack_them(&["--test", "--extern", "store_fuzz=b"]));
        assert!(!may_lack_them(&["--crate-type", "lib"]));
    }

    /// The command that the script makes of a compiler's arguments.
    fn compiled(arguments: &[&str]) -> String {
        let mut script = Command::new(paths::root().join("fuzz/instrumented-rustc"));
        let output = script.arg("echo").args(arguments).output();
        let output = output.expect("the script can be started");
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// The dependencies of each of our crates, all under rustc's names. What only tests depend on is not among them.
    fn crates() -> HashMap<String, Vec<String>> {
        let root = manifest(paths::root());
        let members = root["workspace"]["members"].as_array().expect("a list");
        let krate = |member: &Value| {
            let manifest = manifest(&paths::root().join(member.as_str().expect("a folder")));
            let name = manifest["package"]["name"].as_str().expect("a name");
            let dependencies = manifest.get("dependencies").and_then(Value::as_table);
            let dependencies = dependencies.into_iter().flat_map(Table::keys);
            let dependencies = dependencies.map(|name| rustc_name(name)).collect();
            (rustc_name(name), dependencies)
        };
        members.iter().map(krate).collect()
    }

    fn manifest(folder: &Path) -> Table {
        let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        text.parse().expect("TOML")
    }

    fn rustc_name(package: &str) -> String {
        package.replace('-', "_")
    }

    /// `krate` and those of `crates` that it depends on, itself or through others.
    fn reachable(crates: &HashMap<String, Vec<String>>, krate: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut left = vec![krate.to_owned()];
        while let Some(next) = left.pop() {
            if let Some(dependencies) = crates.get(&next)
                && reached.insert(next)
            {
                left.extend_from_slice(dependencies);
            }
        }
        reached
    }
}
