//! Finds programs on this machine, and reads their output.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::paths;

/// The folders in which Debian installs servers. An ordinary user's `PATH` does not contain them.
const SERVER_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of `program`, searched in `PATH` and then in the folders of servers.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SERVER_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// As [`find_program`], for a program that is required.
///
/// # Errors
/// If the program is not installed.
pub fn require_program(program: &str) -> Result<PathBuf> {
    find_program(program)
        .with_context(|| format!("`{program}` is not installed; `cargo xtask setup` installs it"))
}

/// What a program prints on stdout or stderr; empty if it can't be run.
pub async fn output_of(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root());
    let Ok(output) = command.output().await else {
        return String::new();
    };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_on_the_path_is_found() {
        assert!(find_program("sh").is_some());
    }

    #[test]
    fn an_unknown_program_is_reported_with_its_remedy() {
        let error = require_program("no-such-program").expect_err("nothing has this name");
        assert!(error.to_string().contains("cargo xtask setup"), "{error}");
    }
}
