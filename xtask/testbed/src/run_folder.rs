//! A folder for the servers of one test run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// The most test binaries that run at once on one checkout.
const MAX_RUNS: usize = 64;

/// This process's run folder under each base folder, held by its open lock file.
static RUNS: Mutex<Vec<Run>> = Mutex::new(Vec::new());

static NEXT: AtomicUsize = AtomicUsize::new(0);

struct Run {
    base: PathBuf,
    folder: PathBuf,
    /// The kernel closes, and so unlocks, this file when the process ends, however it ends.
    _lock: File,
}

/// A new empty folder `name-N` under this process's run folder in `base`.
///
/// Run folders are numbered and reused, and emptied first: servers that are killed with their test leave files behind,
/// which must not pile up.
///
/// # Errors
/// When a folder can't be made.
pub fn new_folder(base: &Path, name: &str) -> Result<PathBuf> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = run_folder(base)?.join(format!("{name}-{number}"));
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

fn run_folder(base: &Path) -> Result<PathBuf> {
    let mut runs = RUNS.lock();
    if let Some(run) = runs.iter().find(|run| run.base == base) {
        return Ok(run.folder.clone());
    }
    let run = claim(base)?;
    let folder = run.folder.clone();
    runs.push(run);
    Ok(folder)
}

fn claim(base: &Path) -> Result<Run> {
    fs::create_dir_all(base).with_context(|| format!("creating {}", base.display()))?;
    for number in 0..MAX_RUNS {
        let lock_path = base.join(format!("run-{number}.lock"));
        let lock = File::create(&lock_path)
            .with_context(|| format!("creating {}", lock_path.display()))?;
        if lock.try_lock().is_ok() {
            let folder = base.join(format!("run-{number}"));
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("emptying {}", folder.display()))?;
            }
            return Ok(Run {
                base: base.to_owned(),
                folder,
                _lock: lock,
            });
        }
    }
    bail!("{MAX_RUNS} test runs are using {} already", base.display())
}
