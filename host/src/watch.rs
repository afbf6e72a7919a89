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

/// Watches until the returned set is dropped.
pub(crate) fn start(control: Arc<Control>, manifest: PathBuf) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(control, manifest));
    tasks
}

async fn watch(control: Arc<Control>, manifest: PathBuf) {
    let mut files = HashMap::new();
    let app_files = [manifest.with_file_name(".env"), manifest];
    loop {
        let mut reload = Vec::new();
        for path in &app_files {
            if has_changed(&mut files, path) {
                reload.push(path.clone());
            }
        }
        if control.is_on_trial() {
            // Until its end nothing else may change.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if !reload.is_empty() && is_concluded(&control.reload(&peer()).await) {
            reload.iter().for_each(|path| accept(&mut files, path));
        }
        for (id, path) in control.sources() {
            if has_changed(&mut files, &path) && swap(&control, &id, &path).await {
                accept(&mut files, &path);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn peer() -> Peer {
    Peer("watch".into())
}

/// Whether a file is another than the one that was acted upon, and rests since the look before.
fn has_changed(files: &mut HashMap<PathBuf, Watched>, path: &Path) -> bool {
    let now = Stamp::of(path);
    let file = files.entry(path.to_owned()).or_insert(Watched {
        done: now,
        seen: now,
    });
    let rests = file.seen == now;
    file.seen = now;
    rests && now.is_some() && file.done != now
}

fn accept(files: &mut HashMap<PathBuf, Watched>, path: &Path) {
    if let Some(file) = files.get_mut(path) {
        file.done = file.seen;
    }
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
        let mut files = HashMap::new();
        fs::write(&path, "one").expect("written");
        assert!(!has_changed(&mut files, &path), "as it was found");
        fs::write(&path, "half").expect("written");
        assert!(!has_changed(&mut files, &path), "perhaps half written");
        fs::write(&path, "whole").expect("written");
        assert!(!has_changed(&mut files, &path), "still growing");
        assert!(has_changed(&mut files, &path), "at rest");
        accept(&mut files, &path);
        assert!(!has_changed(&mut files, &path), "acted upon");
        fs::remove_file(&path).expect("ours");
        assert!(!has_changed(&mut files, &path));
        assert!(!has_changed(&mut files, &path), "nothing to act upon");
    }
}
