//! Counts instructions outside the kernel with valgrind's tool callgrind: the count depends neither on the processor
//! nor on other programs that run at the time.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The file with the counts of one run of a server.
pub(crate) struct Counts(PathBuf);

impl Counts {
    /// The counts of a run that is about to begin. Removes an old file.
    ///
    /// # Errors
    /// If the file can't be removed.
    pub(crate) fn new(file: PathBuf) -> Result<Self> {
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(Self(file))
    }

    /// The start of the server's command line, which makes valgrind count it. Child processes are not counted.
    pub(crate) fn wrapper(&self) -> [String; 4] {
        [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            // Some code is created at run time, because components are compiled then.
            "--smc-check=all-non-file".to_owned(),
            format!("--callgrind-out-file={}", self.0.display()),
        ]
    }

    /// All instructions of the server. Call this after the server has ended.
    ///
    /// # Errors
    /// If nothing was counted.
    pub(crate) fn total(&self) -> Result<u64> {
        let what = || format!("reading {}", self.0.display());
        let text = fs::read_to_string(&self.0).with_context(what)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
        total
            .and_then(|total| total.trim().parse().ok())
            .with_context(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read_once_the_server_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("counted");
        let counts = Counts::new(file.clone()).expect("nothing there");
        assert!(counts.total().is_err());
        fs::write(&file, "version: 1\nsummary: 1\n").expect("written");
        assert!(counts.total().is_err());
        fs::write(&file, "version: 1\nsummary: 1\n\ntotals: 42\n").expect("written");
        assert_eq!(counts.total().expect("counted"), 42);
        let counts = Counts::new(file).expect("removed");
        assert!(counts.total().is_err());
    }
}
