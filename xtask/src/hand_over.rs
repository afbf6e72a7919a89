//! Commands that another program runs, which is built first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use xtask::{build, paths, setup};

/// The arguments that are passed on unchanged.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ForwardedArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// Builds `program` and replaces our process with it to run `command`; so the program also gets our signals.
pub(crate) async fn hand_over(
    program: &str,
    command: &str,
    rest: ForwardedArgs,
) -> Result<ExitCode> {
    setup::tools(&[setup::COMPILING]).await?;
    build::programs(&[program]).await?;
    become_program(program, command, rest)
}

/// Returns only if this fails.
pub(crate) fn become_program(
    program: &str,
    command: &str,
    rest: ForwardedArgs,
) -> Result<ExitCode> {
    let path = paths::program(program);
    let error = Command::new(&path).arg(command).args(rest.arguments).exec();
    Err(error).with_context(|| format!("starting {}", path.display()))
}
