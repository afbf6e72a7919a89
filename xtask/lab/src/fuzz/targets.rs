//! The fuzz targets. Each target is a unit test, next to the code that it tests.

/// A fuzz target.
#[derive(Debug)]
pub(super) struct Target {
    /// The name of the target's folder in `fuzz/seeds`.
    pub(super) name: &'static str,
    /// The crate of the test, under rustc's name; `fuzz/instrumented-rustc` knows it too.
    pub(super) krate: &'static str,
    /// The test's path in its crate.
    pub(super) test: &'static str,
}

const fn target(name: &'static str, krate: &'static str, test: &'static str) -> Target {
    Target { name, krate, test }
}

/// The targets, in the order in which they run.
pub(super) const TARGETS: [Target; 11] = [
    target("head", "store_proxy", "message::fuzz::head"),
    target("answer", "store_proxy", "message::fuzz::answer"),
    target("chunks", "store_proxy", "message::fuzz::chunks"),
    target("forwarded", "store_proxy", "message::fuzz::forwarded"),
    target("cache-headers", "store_proxy", "cache::fuzz::headers"),
    target("proxy-toml", "store_proxy", "config::fuzz::file"),
    target("spin-toml", "store_host", "fuzz::manifest"),
    target("mysql-values", "store_host", "mysql::fuzz::values"),
    target("redis-values", "store_host", "redis::fuzz::replies"),
    target("graphql", "stocks", "graphql::tests::fuzz::query"),
    target("order", "store_guest", "fuzz::order"),
];

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn every_target_s_crate_is_instrumented() {
        let script = fs::read_to_string(paths::root().join("fuzz/instrumented-rustc"));
        let script = script.expect("the script");
        for target in TARGETS {
            let name = format!("--crate-name {} ", target.krate);
            assert!(script.contains(&name), "{name}");
        }
    }
}
