//! `--watch`: swaps a component when its file changes, and reloads the app when its manifest or a file of variables
//! changes.

use std::collections::HashMap;
use std::fs;
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::{Control, ControlError, Initiator, Upload};
use crate::app::Manifest;
use crate::config::VariableFile;
use crate::instance::source::signature_path;
use crate::instance::{Origin, Source};

/// The time between two checks of the files. A check costs one system call for each file and works on every file
/// system. It also shows when a file has stayed the same for a while, so that nobody is still writing it.
const LOOK: Duration = Duration::from_millis(250);

/// The state of a file. A changed file has a different stamp.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// `None` while the file does not exist.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// The stamps of files that belong together, such as a component and its signature.
type Stamps = Vec<Option<Stamp>>;

/// The stamps of some files at the last change that was carried out, and at the last check.
#[derive(Default)]
struct History {
    done: Stamps,
    seen: Stamps,
}

/// The watched files of an app.
pub(crate) struct Files {
    manifest: PathBuf,
    /// The files that are read with the manifest: `.env` beside it, and those of `--variable-file`. Any of them may be
    /// missing.
    variables: Vec<PathBuf>,
    /// The histories of the watched files, by the first path of each group of files.
    watched: HashMap<PathBuf, History>,
    /// Whether the last reload failed. Then a change of any file that the manifest names leads to another attempt.
    is_behind: bool,
}

impl Files {
    /// Records the manifest and the variables before they are read, so that no later change is missed. Components are
    /// recorded later, because their digests show whether they are what was loaded.
    pub(crate) fn of(manifest: &Path, variables: &[VariableFile]) -> Self {
        let dotenv = manifest.with_file_name(".env");
        let named = variables.iter().map(|variable| variable.file.clone());
        let mut files = Self {
            manifest: manifest.to_owned(),
            variables: iter::once(dotenv).chain(named).collect(),
            watched: HashMap::new(),
            is_behind: false,
        };
        for paths in [files.variables.clone(), vec![manifest.to_owned()]] {
            let now: Stamps = paths.iter().map(|path| Stamp::of(path)).collect();
            let history = History {
                done: now.clone(),
                seen: now,
            };
            files.watched.insert(paths[0].clone(), history);
        }
        files
    }

    /// Whether the files differ from those of the last change, and are the same as at the last check. A missing file
    /// differs too.
    fn differ(&mut self, paths: &[PathBuf]) -> bool {
        let now: Stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        let files = self.watched.entry(paths[0].clone()).or_default();
        let rest = files.seen == now;
        files.seen = now;
        rest && files.done != files.seen
    }

    /// Like [`Files::differ`], but false while the first of the files is missing, because nothing can be done without
    /// it.
    fn have_changed(&mut self, paths: &[PathBuf]) -> bool {
        self.differ(paths) && self.watched[&paths[0]].seen[0].is_some()
    }

    fn accept(&mut self, paths: &[PathBuf]) {
        if let Some(files) = self.watched.get_mut(&paths[0]) {
            files.done.clone_from(&files.seen);
        }
    }

    /// The files that the manifest names now. The app may not know some of them yet.
    fn wanted(&self) -> Vec<PathBuf> {
        let manifest = Manifest::load(&self.manifest).ok();
        let components = manifest.into_iter().flat_map(|app| app.components);
        components.map(|(_, component)| component.source).collect()
    }
}

/// The path of a component's file, and that of its signature.
fn with_signature(path: PathBuf) -> Vec<PathBuf> {
    let signature = signature_path(&path);
    vec![path, signature]
}

/// Watches the files until the returned set is dropped.
pub(crate) fn start(control: Arc<Control>, files: Files) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(control, files));
    tasks
}

async fn watch(control: Arc<Control>, mut files: Files) {
    loop {
        tokio::time::sleep(LOOK).await;
        let on_trial = control.on_trial();
        let mut changed = Vec::new();
        for (id, path) in control.sources() {
            let paths = with_signature(path);
            // A component on trial can't be changed until the trial has ended.
            if files.have_changed(&paths) && !on_trial.contains(&id) {
                changed.push((id, paths));
            }
        }
        if on_trial.is_empty() {
            reload(&control, &mut files, !changed.is_empty()).await;
        }
        for (id, paths) in changed {
            if swap(&control, &id, &paths[0]).await {
                files.accept(&paths);
            }
        }
    }
}

/// Reloads if the manifest or the variables have changed, or if the last reload failed and a file has changed since
/// then.
async fn reload(control: &Arc<Control>, files: &mut Files, mut is_retry: bool) {
    let mut accepted = Vec::new();
    let (variables, manifest) = (files.variables.clone(), vec![files.manifest.clone()]);
    if files.differ(&variables) {
        accepted.push(variables);
    }
    if files.have_changed(&manifest) {
        accepted.push(manifest);
    }
    let has_changed = !accepted.is_empty();
    if files.is_behind {
        let wanted = files.wanted();
        for paths in wanted.into_iter().map(with_signature) {
            // The caller checks the files of the app's own components.
            let known = control.sources().iter().any(|(_, path)| *path == paths[0]);
            if !known && files.have_changed(&paths) {
                is_retry = true;
                accepted.push(paths);
            }
        }
    }
    if !(has_changed || files.is_behind && is_retry) {
        return;
    }
    let outcome = control.reload(&peer()).await;
    if is_concluded(&outcome) {
        files.is_behind = outcome.is_err();
        accepted.iter().for_each(|paths| files.accept(paths));
    }
}

fn peer() -> Initiator {
    Initiator("watch".into())
}

/// Whether the attempt is over: it succeeded, or would fail again until a file changes.
fn is_concluded<T>(outcome: &Result<T, ControlError>) -> bool {
    !matches!(
        outcome,
        Err(ControlError::Busy(_) | ControlError::OnTrial(_))
    )
}

/// Swaps in the file at `path`. Returns whether the change of the file is dealt with.
async fn swap(control: &Arc<Control>, id: &str, path: &Path) -> bool {
    let Ok(source) = tokio::task::block_in_place(|| Source::read(path)) else {
        return false;
    };
    if control.has_loaded(id, &source.digest) {
        return true;
    }
    let upload = Upload {
        source,
        expected_digest: None,
        origin: Origin::File,
        trial: None,
    };
    is_concluded(&control.swap(id, upload, &peer()).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_changed_once_it_rests() {
        let path = std::env::temp_dir().join(format!("store-host-watch-{}", std::process::id()));
        fs::write(&path, "one").expect("written");
        let mut files = Files::of(&path, &[]);
        let paths = [path.clone()];
        assert!(!files.have_changed(&paths), "as it was found");
        fs::write(&path, "half").expect("written");
        assert!(!files.have_changed(&paths), "perhaps half written");
        fs::write(&path, "whole").expect("written");
        assert!(!files.have_changed(&paths), "still growing");
        assert!(files.have_changed(&paths), "at rest");
        files.accept(&paths);
        assert!(!files.have_changed(&paths), "acted upon");
        fs::remove_file(&path).expect("ours");
        assert!(!files.have_changed(&paths));
        assert!(!files.have_changed(&paths), "nothing to act upon");
    }

    #[test]
    fn variables_that_are_gone_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        let variable = VariableFile {
            name: "password".into(),
            file: secret.clone(),
        };
        let mut files = Files::of(&folder.path().join("spin.toml"), &[variable]);
        let paths = files.variables.clone();
        for path in [folder.path().join(".env"), secret] {
            assert!(!files.differ(&paths), "{path:?}: none from the beginning");
            fs::write(&path, "A=1").expect("written");
            assert!(!files.differ(&paths), "{path:?}: perhaps half written");
            assert!(files.differ(&paths), "{path:?}: made anew");
            files.accept(&paths);
            fs::remove_file(&path).expect("ours");
            assert!(
                !files.differ(&paths),
                "{path:?}: perhaps about to be replaced"
            );
            assert!(files.differ(&paths), "{path:?}: gone");
            files.accept(&paths);
            assert!(!files.differ(&paths), "{path:?}: acted upon");
        }
    }
}
