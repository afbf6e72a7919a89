//! `--watch`: a component is swapped when its file changes, and the app reloaded when its manifest does.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::component::digest;
use crate::control::{Control, ControlError, Peer, Upload};
use crate::generation::Origin;
use crate::trust::beside;

/// Between two looks at the files. Looking is one system call for each, works on every file system, and shows a file
/// that stays the same for a while, which is how one that is being written is told from one that is done.
const LOOK: Duration = Duration::from_millis(250);

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// `None` while there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// A file, and how it was when it was last acted upon and last looked at.
struct Watched {
    done: Option<Stamp>,
    seen: Option<Stamp>,
}

/// The files of an app, as they were at the last look.
pub(crate) struct Files {
    /// The manifest and what is read with it.
    app: [PathBuf; 2],
    watched: HashMap<PathBuf, Watched>,
}

impl Files {
    /// Looks at the manifest before it is read, so that no change in between is missed. Components are looked at later:
    /// their digests tell whether they are what was loaded.
    pub(crate) fn of(manifest: &Path) -> Self {
        let app = [manifest.with_file_name(".env"), manifest.to_owned()];
        let watched = app.iter().map(|path| {
            let now = Stamp::of(path);
            (
                path.clone(),
                Watched {
                    done: now,
                    seen: now,
                },
            )
        });
        Self {
            watched: watched.collect(),
            app,
        }
    }

    /// Whether a file is another than the one that was acted upon, and rests since the look before.
    fn has_changed(&mut self, path: &Path) -> bool {
        let now = Stamp::of(path);
        let file = self.watched.entry(path.to_owned()).or_insert(Watched {
            done: None,
            seen: None,
        });
        let rests = file.seen == now;
        file.seen = now;
        rests && now.is_some() && file.done != now
    }

    fn accept(&mut self, path: &Path) {
        if let Some(file) = self.watched.get_mut(path) {
            file.done = file.seen;
        }
    }
}

/// Watches until the returned set is dropped.
pub(crate) fn start(control: Arc<Control>, files: Files) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(control, files));
    tasks
}

async fn watch(control: Arc<Control>, mut files: Files) {
    loop {
        tokio::time::sleep(LOOK).await;
        if control.is_on_trial() {
            // Until its end nothing else may change.
            continue;
        }
        let app = files.app.clone();
        let changed: Vec<_> = app.iter().filter(|path| files.has_changed(path)).collect();
        if !changed.is_empty() && is_concluded(&control.reload(&peer()).await) {
            changed.into_iter().for_each(|path| files.accept(path));
        }
        for (id, path) in control.sources() {
            if files.has_changed(&path) && swap(&control, &id, &path).await {
                files.accept(&path);
            }
        }
    }
}

fn peer() -> Peer {
    Peer("watch".into())
}

/// Whether trying again is of no use before the file changes again.
fn is_concluded<T>(outcome: &Result<T, ControlError>) -> bool {
    !matches!(
        outcome,
        Err(ControlError::Busy(_) | ControlError::OnTrial(_))
    )
}

/// Whether the file was acted upon.
async fn swap(control: &Arc<Control>, id: &str, path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    if control.has_loaded(id, &digest(&bytes)) {
        return true;
    }
    let upload = Upload {
        bytes: Bytes::from(bytes),
        digest: None,
        signature: fs::read_to_string(beside(path)).ok(),
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
        let mut files = Files::of(&path);
        assert!(!files.has_changed(&path), "as it was found");
        fs::write(&path, "half").expect("written");
        assert!(!files.has_changed(&path), "perhaps half written");
        fs::write(&path, "whole").expect("written");
        assert!(!files.has_changed(&path), "still growing");
        assert!(files.has_changed(&path), "at rest");
        files.accept(&path);
        assert!(!files.has_changed(&path), "acted upon");
        fs::remove_file(&path).expect("ours");
        assert!(!files.has_changed(&path));
        assert!(!files.has_changed(&path), "nothing to act upon");
    }
}
