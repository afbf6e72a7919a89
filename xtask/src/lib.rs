//! What all of our commands need: where things are, what must be installed, how our programs are built.
//!
//! Everything is compiled before a fresh clone's first `cargo xtask` says a word, so this crate depends on little. What
//! needs more is a program of its own: `store-local` runs the store on this machine, `lab` measures and tests it.

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

/// What a command's program ends with. An error is said in one line.
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

/// What a command ends with that has said itself whether all is good.
#[must_use]
pub fn verdict(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The error and its causes. Some libraries' messages repeat their cause; a cause that was said is not said again.
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
