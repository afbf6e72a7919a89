//! `cargo xtask up`: builds and installs everything that a running store needs, at the same time, and hands over to the
//! program that runs the store.

use std::process::ExitCode;

use anyhow::Result;
use xtask::build;
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, PROMETHEUS, REDIS, Tool};

use crate::commands::LOCAL;
use crate::hand_over::{ForwardedArgs, become_program, hand_over};

pub(crate) async fn run(rest: ForwardedArgs) -> Result<ExitCode> {
    if given(&rest, "--help") || given(&rest, "-h") {
        return hand_over(LOCAL, "up", rest).await;
    }
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES]).await?;
    let servers = servers(&rest);
    tokio::try_join!(setup::tools_beside(&servers), compile())?;
    eprintln!("▸ {}start the store", front(3));
    become_program(LOCAL, "up", rest)
}

async fn compile() -> Result<()> {
    let components = build::components_beside(&front(2));
    let programs = [build::HOST_PACKAGE, build::PROXY_PACKAGE, LOCAL];
    build::programs_after(&front(1), &programs).await?;
    components.await
}

/// The steps that every run has: both builds, and the start, which prints its own steps. Missing packages are installed
/// before and beside them.
const STEPS: u32 = 3;

/// The start of a step's title.
fn front(step: u32) -> String {
    format!("step {step} of {STEPS}: ")
}

/// The servers that we start ourselves, because no URL names them.
fn servers(rest: &ForwardedArgs) -> Vec<&'static [Tool]> {
    let mut groups = Vec::new();
    if !given(rest, "--mysql-url") {
        groups.push(MARIADB);
    }
    if !given(rest, "--redis-url") {
        groups.push(REDIS);
    }
    if given(rest, "--observe") {
        groups.push(PROMETHEUS);
    }
    groups
}

fn given(rest: &ForwardedArgs, flag: &str) -> bool {
    rest.arguments.iter().any(|argument| {
        let text = argument.to_string_lossy();
        text == flag
            || text
                .strip_prefix(flag)
                .is_some_and(|rest| rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_which_of_how_many_it_is() {
        assert_eq!(front(1), "step 1 of 3: ");
    }

    #[test]
    fn a_server_that_is_given_is_not_installed() {
        let rest = |arguments: &[&str]| ForwardedArgs {
            arguments: arguments.iter().map(Into::into).collect(),
        };
        assert_eq!(servers(&rest(&[])).len(), 2);
        assert_eq!(
            servers(&rest(&["--mysql-url=mysql://a", "--observe"])).len(),
            2
        );
        assert_eq!(
            servers(&rest(&["--mysql-url", "a", "--redis-url", "b"])).len(),
            0
        );
        assert_eq!(servers(&rest(&["--mysql-urls"])).len(), 2);
    }
}
