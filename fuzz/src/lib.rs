//! Fuzz targets that are unit tests: each is under the code it tests and reaches its private functions.
//!
//! `cargo test` replays the seeds in `fuzz/seeds/NAME`. `cargo xtask fuzz` builds the same tests with libFuzzer and with
//! coverage of the crates under test (`instrumented-rustc`), and lets it look for inputs that fail.

#[cfg(feature = "libfuzzer")]
mod engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// The target `name`, whose `check` panics if it finds anything wrong with what the code makes of an input.
///
/// # Panics
/// When `check` does, or there are no seeds.
pub fn target(name: &str, check: fn(&[u8])) {
    for path in seeds(name) {
        let input = fs::read(&path).expect("a seed can be read");
        let _shown = FailingSeed(path);
        check(&input);
    }
    #[cfg(feature = "libfuzzer")]
    engine::run(check);
}

fn seeds(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let entries = fs::read_dir(&folder).expect("a target has a folder of seeds");
    let mut seeds: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    seeds.sort();
    seeds
}

/// Names the seed that is tried, if its test fails.
struct FailingSeed(PathBuf);

impl Drop for FailingSeed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the seed is {}", self.0.display());
        }
    }
}
