//! Commands of other programs, which are built first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use xtask::{build, paths, setup};

/// What is handed over as it was written.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ForwardedArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// Builds `program` and lets it do `command` in our place: it takes over our process, and with it our signals.
pub(crate) async fn hand_over(
    program: &str,
    command: &str,
    rest: ForwardedArgs,
) -> Result<ExitCode> {
    setup::tools(&[setup::COMPILING]).await?;
    build::programs(&[program]).await?;
    become_program(program, command, rest)
}

/// Does not come back unless it fails.
pub(crate) fn become_program(
    program: &str,
    command: &str,
    rest: ForwardedArgs,
) -> Result<ExitCode> {
    let path = paths::program(program);
    let error = Command::new(&path).arg(command).args(rest.arguments).exec();
    Err(error).with_context(|| format!("starting {}", path.display()))
}
