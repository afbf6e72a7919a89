//! What all commands need: paths, the installation of tools, and building our programs.
//!
//! A fresh clone compiles all of this crate before its first `cargo xtask` can print anything, so the crate has few
//! dependencies. Commands that need more are separate programs: `store-local` runs the store on this machine, `lab`
//! measures and tests it, `ship` makes the packages.

pub mod build;
pub mod cargo;
pub mod contract;
pub mod deny;
pub mod kubernetes;
pub mod mysql;
pub mod npm;
pub mod paths;
pub mod pgo;
pub mod programs;
pub mod progress;
pub mod python;
pub mod setup;
pub mod stop_signals;

use std::process::ExitCode;

use anyhow::{Error, Result};

/// The exit code of a command. An error is printed in one line.
#[must_use]
pub fn report(outcome: Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The exit code of a command that has printed its own result.
#[must_use]
pub fn verdict(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The error and its causes in one line. Some libraries repeat a cause in their message; such a cause is not printed
/// again.
fn one_line(error: &Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::one_line;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow!("refused")
            .context("i/o: refused")
            .context("connecting");
        assert_eq!(one_line(&error), "connecting: i/o: refused");
    }
}
