//! The command `manual` of both programs: it writes man pages and completions, made from the program's command line.

use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use clap::{Args, Command, CommandFactory};
use clap_complete::{Generator, Shell};
use clap_mangen::Man;

/// The shells that there are completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Where the manual goes.
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// The folder, which is made if it is missing; files of the same names are replaced
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// The manual can't be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write {}: {source}; name a folder that you may write to", path.display())]
pub struct ManualError {
    path: PathBuf,
    source: io::Error,
}

/// Writes the man pages and completions of the program with the command line `C` to `folder`, and returns what to tell
/// the user.
///
/// # Errors
/// The folder can't be made, or a file in it can't be written.
pub fn write<C: CommandFactory>(folder: &Path) -> Result<String, ManualError> {
    let unwritten = |path: &Path, source| ManualError {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    let files = files(C::command());
    for (name, bytes) in &files {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|error| unwritten(&path, error))?;
    }
    let (count, folder) = (files.len(), folder.display());
    Ok(format!("wrote {count} files to {folder}"))
}

/// The names and contents of the files: a man page for the program, one for each of its commands, and a file for each
/// shell.
fn files(command: Command) -> Vec<(String, Vec<u8>)> {
    // Without the commit, so that a page is the same in all builds of a version.
    let mut command = command.version(env!("CARGO_PKG_VERSION"));
    // This gives the commands their full names.
    command.build();
    let commands = command
        .get_subcommands()
        .filter(|own| own.get_name() != "help");
    let pages = iter::once(&command).chain(commands).map(page);
    let completions = SHELLS.map(|shell| completion(shell, command.clone()));
    pages.chain(completions).collect()
}

fn page(command: &Command) -> (String, Vec<u8>) {
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    let written = page.render(&mut text);
    written.expect("memory takes all that is written");
    (page.get_filename(), text)
}

fn completion(shell: Shell, mut command: Command) -> (String, Vec<u8>) {
    let program = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, program.as_str(), &mut text);
    (shell.file_name(&program), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::VERSION;

    #[test]
    fn every_command_has_a_page_and_every_shell_knows_it() {
        let swap = Command::new("swap").about("Replaces a component");
        let program = Command::new("program").version(VERSION).subcommand(swap);
        let files = files(program);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "program.1",
            "program-swap.1",
            "program.bash",
            "_program",
            "program.fish",
        ];
        assert_eq!(names, expected);
        for (name, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains("swap"), "{name}: {text}");
        }
    }

    #[test]
    fn a_page_names_the_version_and_no_commit() {
        let files = files(Command::new("program").version(VERSION));
        let (_, page) = &files[0];
        let text = String::from_utf8_lossy(page);
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
        assert!(!text.contains("commit"), "{text}");
    }
}
