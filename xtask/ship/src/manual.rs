//! Man pages and completions of the two programs, made from their command lines.

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

/// The man pages and completions of a program.
pub(crate) struct Manual {
    /// `store-host` or `store-proxy`.
    pub(crate) program: &'static str,
    pub(crate) bash: Vec<u8>,
    pub(crate) zsh: Vec<u8>,
    pub(crate) fish: Vec<u8>,
    /// File names and pages in roff: one page for the program, and one for each of its commands.
    pub(crate) pages: Vec<(String, Vec<u8>)>,
}

/// The manuals of both programs.
///
/// # Errors
/// If a page can't be written, which in memory is not expected.
pub(crate) fn manuals() -> Result<[Manual; 2]> {
    Ok([
        manual("store-host", store_host::cli::Cli::command())?,
        manual("store-proxy", store_proxy::operate::cli::Cli::command())?,
    ])
}

fn manual(program: &'static str, command: Command) -> Result<Manual> {
    let completion = |shell: Shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), program, &mut text);
        text
    };
    // Without the commit, so that a page is the same in all builds of a version.
    let mut built = command.clone().version(env!("CARGO_PKG_VERSION"));
    // This gives the commands their full names.
    built.build();
    let commands = built
        .get_subcommands()
        .filter(|own| own.get_name() != "help");
    let pages = std::iter::once(&built).chain(commands).map(page);
    Ok(Manual {
        program,
        bash: completion(Shell::Bash),
        zsh: completion(Shell::Zsh),
        fish: completion(Shell::Fish),
        pages: pages.collect::<Result<_>>()?,
    })
}

fn page(command: &Command) -> Result<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut text = Vec::new();
    let written = Man::new(command.clone()).render(&mut text);
    written.with_context(|| format!("writing the page of {name}"))?;
    Ok((format!("{name}.1"), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_knows_it() {
        for manual in manuals().expect("in memory") {
            let names: Vec<&str> = manual.pages.iter().map(|(name, _)| name.as_str()).collect();
            assert!(names.contains(&format!("{}-healthcheck.1", manual.program).as_str()));
            for shell in [&manual.bash, &manual.zsh, &manual.fish] {
                let text = String::from_utf8_lossy(shell);
                assert!(text.contains("healthcheck"), "{}", manual.program);
            }
        }
    }
}
