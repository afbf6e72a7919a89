//! The results folder: the run's settings, a file for each finished stage, Locust's own files, the report.
//!
//! Each file is written under another name and then moved to its place, so that an existing file is always complete.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::about::About;
use super::model::StageResult;
use super::settings::Settings;
use super::stage::Stage;

/// The settings and the machine of the folder's run.
const RUN: &str = "run.json";

/// The folder with a file for each finished stage.
const STAGES: &str = "stages";

/// Locust's files, a folder for each stage.
const LOCUST: &str = "locust";

/// The folder of one run.
pub(super) struct Folder(PathBuf);

/// The content of [`RUN`].
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Run {
    pub(super) settings: Settings,
    pub(super) about: About,
}

impl Folder {
    /// Opens the folder for a run with these settings on this machine. With `fresh`, removes what an earlier run left.
    ///
    /// # Errors
    /// When the folder holds a run with other settings.
    pub(super) fn open(path: &Path, run: &Run, fresh: bool) -> Result<Self> {
        let folder = Self(path.to_owned());
        if fresh {
            folder.forget()?;
        }
        match folder.read::<Run>(&folder.0.join(RUN))? {
            Some(there) if there.settings != run.settings => bail!(
                "{} holds a run with other settings ({}): choose another --results, or remove it with --fresh",
                path.display(),
                run.settings.differences(&there.settings).join("; ")
            ),
            Some(_) => {}
            None => folder.write(&folder.0.join(RUN), run)?,
        }
        Ok(folder)
    }

    /// The run that the folder holds.
    pub(super) fn run(&self) -> Result<Run> {
        let found = self.read(&self.0.join(RUN))?;
        found.with_context(|| format!("{} is gone", self.0.join(RUN).display()))
    }

    /// The result of a stage, if the stage is finished.
    pub(super) fn finished(&self, stage: Stage) -> Result<Option<StageResult>> {
        self.read(&self.stage_file(stage))
    }

    /// Stores the result of a stage, which makes the stage finished.
    pub(super) fn keep(&self, result: &StageResult) -> Result<()> {
        self.write(&self.stage_file(result.stage), result)
    }

    /// An empty folder for Locust's files.
    pub(super) fn locust(&self, stage: Stage) -> Result<PathBuf> {
        let folder = self.0.join(LOCUST).join(stage.name());
        remove_folder(&folder)?;
        create(&folder)?;
        Ok(folder)
    }

    /// Writes a file of the report.
    pub(super) fn write_text(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        replace(&path, text.as_bytes())?;
        Ok(path)
    }

    fn stage_file(&self, stage: Stage) -> PathBuf {
        let name = format!("{}-{}.json", stage.number(), stage.name());
        self.0.join(STAGES).join(name)
    }

    fn forget(&self) -> Result<()> {
        // The run's file is removed last: without it, the other files would seem to belong to no run.
        for folder in [STAGES, LOCUST] {
            remove_folder(&self.0.join(folder))?;
        }
        let run = self.0.join(RUN);
        match fs::remove_file(&run) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", run.display()))
            }
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        let value = serde_json::from_slice(&text);
        value
            .map(Some)
            .with_context(|| format!("{} is not of this lab; --fresh starts anew", path.display()))
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(value).context("turning a result into JSON")?;
        replace(path, &text)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        create(folder)?;
    }
    let unfinished = path.with_added_extension("unfinished");
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Half a file is useless, and takes space on a full disk.
        _ = fs::remove_file(&unfinished);
    }
    written.with_context(|| format!("writing {}", path.display()))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::settings;
    use crate::lab::testing::result;

    fn run(users: u32) -> Run {
        let settings = Settings {
            users,
            ..settings::sample()
        };
        Run {
            settings,
            about: About::default(),
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("lab");
        (parent, path)
    }

    #[test]
    fn a_finished_stage_is_found_by_the_next_run_with_the_same_settings() {
        let (_parent, path) = place();
        let first = Folder::open(&path, &run(150), false).expect("new");
        assert!(first.finished(Stage::Cached).expect("readable").is_none());
        first.keep(&result(Stage::Cached)).expect("written");

        let second = Folder::open(&path, &run(150), false).expect("the same");
        assert!(second.finished(Stage::Cached).expect("readable").is_some());
        let other = second.finished(Stage::RedisNaive);
        assert!(other.expect("readable").is_none());
    }

    #[test]
    fn a_folder_of_other_settings_is_refused_with_what_differs_and_kept() {
        let (_parent, path) = place();
        let first = Folder::open(&path, &run(150), false).expect("new");
        first.keep(&result(Stage::Cached)).expect("written");

        let refused = Folder::open(&path, &run(50), false).err().expect("refused");
        let said = refused.to_string();
        assert!(said.contains("users: 150 there, 50 here"), "{said}");
        assert!(said.contains("--fresh"), "{said}");
        assert!(first.finished(Stage::Cached).expect("readable").is_some());
    }

    #[test]
    fn fresh_forgets_what_was_there() {
        let (_parent, path) = place();
        let first = Folder::open(&path, &run(150), false).expect("new");
        first.keep(&result(Stage::Cached)).expect("written");

        let second = Folder::open(&path, &run(50), true).expect("emptied");
        assert!(second.finished(Stage::Cached).expect("readable").is_none());
        assert_eq!(second.run().expect("readable").settings.users, 50);
    }

    #[test]
    fn half_a_file_is_nobodys() {
        let (_parent, path) = place();
        let folder = Folder::open(&path, &run(150), false).expect("new");
        create(&path.join(STAGES)).expect("made");
        let file = path.join(STAGES).join("4-cached.json.unfinished");
        fs::write(file, "{").expect("written");
        assert!(folder.finished(Stage::Cached).expect("readable").is_none());
    }

    #[test]
    fn a_write_that_fails_names_the_file() {
        let (parent, _) = place();
        let file = parent.path().join("file");
        fs::write(&file, "").expect("written");
        let refused = Folder::open(&file, &run(150), false)
            .err()
            .expect("refused");
        assert!(format!("{refused:#}").contains("file"), "{refused:#}");
    }
}
