//! Man pages and completions of the two programs, which write them themselves: importing their command lines would
//! compile both programs a second time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::paths;

/// The man pages and completions of a program.
#[derive(Clone)]
pub(crate) struct Manual {
    /// `store-host` or `store-proxy`.
    pub(crate) program: &'static str,
    pub(crate) bash: Vec<u8>,
    pub(crate) zsh: Vec<u8>,
    pub(crate) fish: Vec<u8>,
    /// Pages in roff by their file names: one page for the program, and one for each of its commands.
    pub(crate) pages: BTreeMap<String, Vec<u8>>,
}

impl Manual {
    /// Has `program`, which was built at `path`, write its manual.
    ///
    /// # Errors
    /// If the program does not run or fails, or a file is missing.
    pub(crate) fn of(program: &'static str, path: &Path) -> Result<Self> {
        let folder = paths::target().join("ship/manual").join(program);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        let output = Command::new(path)
            .arg("manual")
            .arg(&folder)
            // Flags can be set by variables too, and the program fails if one of this shell has a wrong value.
            .env_clear()
            .output()
            .with_context(|| format!("starting {}", path.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let (status, said) = (output.status, said.trim());
        ensure!(status.success(), "{program} manual: {status}: {said}");
        Self::from_files(program, files(&folder)?)
    }

    fn from_files(program: &'static str, mut files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let mut take = |name: String| {
            let file = files.remove(&name);
            file.with_context(|| format!("`{program} manual` wrote no {name}"))
        };
        let bash = take(format!("{program}.bash"))?;
        let zsh = take(format!("_{program}"))?;
        let fish = take(format!("{program}.fish"))?;
        for name in files.keys() {
            ensure!(
                name.ends_with(".1"),
                "`{program} manual` wrote {name}, which no package has a place for"
            );
        }
        Ok(Self {
            program,
            bash,
            zsh,
            fish,
            pages: files,
        })
    }
}

/// The contents of the files in `folder`, by name.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = || {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, fs::read(entry.path())?);
        }
        Ok::<_, std::io::Error>(files)
    };
    read().with_context(|| format!("reading {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual(names: &[&str]) -> Result<Manual> {
        let files = names.iter().map(|name| ((*name).to_owned(), Vec::new()));
        Manual::from_files("p", files.collect())
    }

    #[test]
    fn what_is_not_for_a_shell_is_a_page() {
        let manual = manual(&["_p", "p-swap.1", "p.1", "p.bash", "p.fish"]).expect("all is there");
        let pages: Vec<&String> = manual.pages.keys().collect();
        assert_eq!(pages, ["p-swap.1", "p.1"]);
    }

    #[test]
    fn a_file_too_few_or_too_many_ends_the_packaging() {
        for (names, blamed) in [
            (["_p", "p.1", "p.bash", "p.elv"], "p.fish"),
            (["_p", "p.bash", "p.elv", "p.fish"], "p.elv"),
        ] {
            let error = manual(&names).err().expect("refused").to_string();
            assert!(error.contains(blamed), "{error}");
        }
    }
}
