//! The folder in which a restart finds the accepted components, and which of them should serve.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use super::rollout_record::RolloutRecord;
use super::version_record::Record;
use crate::durable::{read, replace, sync};
use crate::instance::Source;
use crate::instance::source::signature_path;

/// One host's folder, locked while the host runs. `COMPONENT.json` is a [`Record`], `COMPONENT.rollout.json` a
/// [`RolloutRecord`]; the accepted files are `COMPONENT/DIGEST.wasm`, with their signatures beside them. Another module
/// writes `mysql.writer.json`. The name of a component has no dot, so it can't collide with another file here.
pub(crate) struct StateFolder {
    path: PathBuf,
    /// Locked by the caller that records the state of a roll-out.
    noting: Mutex<()>,
    _lock: File,
}

/// The right to record the states of roll-outs. A caller must take this right before it reads the state. Otherwise two
/// callers could write at the same time, and the older state could remain.
pub(crate) struct RolloutNotes<'a> {
    folder: &'a StateFolder,
    _right: MutexGuard<'a, ()>,
}

impl RolloutNotes<'_> {
    /// Records the state of a roll-out, or how it ended.
    ///
    /// # Errors
    /// The record can't be written. It stays as it was.
    pub(crate) fn write(&self, component: &str, record: &RolloutRecord) -> io::Result<()> {
        let path = self.folder.rollout_path(component);
        replace(&path, &serde_json::to_vec_pretty(record)?)
    }
}

impl StateFolder {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// The folder can't be written, or another host uses it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Other users must not read the components.
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(".lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(
                ErrorKind::ResourceBusy,
                "another host uses it; give each host its own",
            ),
        })?;
        Ok(Self {
            path: path.to_owned(),
            noting: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The record of `component`; `None` if the manifest's file should serve.
    ///
    /// # Errors
    /// The record can't be read.
    pub(crate) fn record(&self, component: &str) -> io::Result<Option<Record>> {
        read(&self.record_path(component))
    }

    /// Reads an accepted file.
    ///
    /// # Errors
    /// The file can't be read, or its digest is not `wanted`.
    pub(crate) fn accepted(&self, component: &str, wanted: &str) -> io::Result<Source> {
        let source = Source::read(&self.file_path(component, wanted))?;
        if source.digest == wanted {
            Ok(source)
        } else {
            let found = source.digest;
            Err(io::Error::other(format!("its SHA-256 is {found}")))
        }
    }

    /// Whether there is an accepted file with this digest.
    pub(crate) fn holds(&self, component: &str, digest: &str) -> bool {
        self.file_path(component, digest).exists()
    }

    /// Keeps a file and its signature.
    ///
    /// # Errors
    /// The file can't be written. The folder stays as it was.
    pub(crate) fn keep(&self, component: &str, source: &Source) -> io::Result<()> {
        let path = self.file_path(component, &source.digest);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if let Some(signature) = &source.signature {
            replace(&signature_path(&path), signature.as_bytes())?;
        }
        replace(&path, &source.bytes)
    }

    /// Records which file should serve from now on; `None` stands for the manifest's file.
    ///
    /// # Errors
    /// The record can't be written. It stays as it was.
    pub(crate) fn point(&self, component: &str, record: Option<&Record>) -> io::Result<()> {
        let path = self.record_path(component);
        match record {
            Some(record) => replace(&path, &serde_json::to_vec_pretty(record)?),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => sync(&self.path),
            },
        }
    }

    /// The last roll-out of `component`.
    ///
    /// # Errors
    /// Its record can't be read.
    pub(crate) fn rollout(&self, component: &str) -> io::Result<Option<RolloutRecord>> {
        read(&self.rollout_path(component))
    }

    /// Takes the right to record the states of roll-outs. Waits while another caller has it.
    pub(crate) fn rollout_notes(&self) -> RolloutNotes<'_> {
        RolloutNotes {
            folder: self,
            _right: self.noting.lock(),
        }
    }

    /// The path of the file with the records of MySQL's writers.
    pub(crate) fn writers_path(&self) -> PathBuf {
        self.path.join("mysql.writer.json")
    }

    /// Removes the files of `component`, except those whose digests are needed (`is_needed`) or are in its record.
    pub(crate) fn prune(&self, component: &str, is_needed: impl Fn(&str) -> bool) {
        let recorded = self.record(component).ok().flatten();
        let is_recorded = |digest: &str| {
            recorded.as_ref().is_some_and(|record| {
                let earlier = record.earlier.iter().map(|earlier| &earlier.digest);
                earlier.chain([&record.digest]).any(|one| one == digest)
            })
        };
        let Ok(entries) = fs::read_dir(self.path.join(component)) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = name.split('.').next().unwrap_or_default();
            if !is_recorded(digest)
                && !is_needed(digest)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!("Can't remove {}: {error}", path.display());
            }
        }
    }

    fn record_path(&self, component: &str) -> PathBuf {
        self.path.join(format!("{component}.json"))
    }

    fn rollout_path(&self, component: &str) -> PathBuf {
        self.path.join(format!("{component}.rollout.json"))
    }

    fn file_path(&self, component: &str, digest: &str) -> PathBuf {
        self.path.join(component).join(format!("{digest}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rollout_record::tests::led;
    use super::super::version_record::EarlierVersion;
    use super::*;
    use crate::instance::source::digest;
    use crate::rollout::Phase;

    fn source(bytes: &'static [u8]) -> Source {
        Source::new(bytes, Some("signed".into()))
    }

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("store-host-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_folder_gives_back_what_it_was_given_and_only_that() {
        let path = folder("state");
        let state = StateFolder::open(&path).expect("writable");
        let second = StateFolder::open(&path).err().expect("it is in use");
        assert!(
            second.to_string().contains("another host uses it"),
            "{second}"
        );
        let record = Record {
            generation: 2,
            digest: digest(b"two"),
            file_digest: None,
            accepted_at: "2026-01-01T00:00:00Z".into(),
            earlier: vec![EarlierVersion {
                generation: 4,
                digest: digest(b"four"),
            }],
        };
        assert_eq!(record.highest(), 4);
        for bytes in [&b"one"[..], b"two", b"three", b"four"] {
            state.keep("orders", &source(bytes)).expect("kept");
        }
        state.point("orders", Some(&record)).expect("pointed");
        assert_eq!(state.record("orders").expect("readable"), Some(record));
        state.prune("orders", |needed| needed == digest(b"one"));
        let found = |bytes| state.accepted("orders", &digest(bytes));
        assert_eq!(&found(b"two").expect("recorded").bytes[..], b"two");
        assert!(found(b"four").is_ok(), "recorded as an earlier one");
        assert_eq!(
            found(b"one").expect("needed").signature.as_deref(),
            Some("signed")
        );
        let pruned = found(b"three").err().expect("neither recorded nor needed");
        assert_eq!(pruned.kind(), io::ErrorKind::NotFound);
        fs::write(state.file_path("orders", &digest(b"two")), b"tow").expect("written");
        let changed = found(b"two").err().expect("changed since");
        assert_eq!(
            changed.to_string(),
            format!("its SHA-256 is {}", digest(b"tow"))
        );
        state.point("orders", None).expect("pointed");
        assert_eq!(state.record("orders").expect("readable"), None);
        fs::remove_dir_all(&path).expect("ours");
    }

    #[test]
    fn of_two_that_note_a_roll_out_the_later_one_is_kept() {
        let path = folder("notes");
        let state = StateFolder::open(&path).expect("writable");
        let current = Mutex::new(led(Phase::Step(0)));
        for _ in 0..20 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        current.lock().restarts += 1;
                        let notes = state.rollout_notes();
                        let record = current.lock().clone();
                        notes.write("orders", &record).expect("written");
                    });
                }
            });
            let kept = state.rollout("orders").expect("readable");
            assert_eq!(kept.as_ref(), Some(&*current.lock()));
        }
        fs::remove_dir_all(&path).expect("ours");
    }
}
