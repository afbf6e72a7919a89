//! The folder in which a restart finds the components that were accepted, and which of them should serve.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::rollout_record::RolloutRecord;
use crate::instance::Source;
use crate::instance::source::signature_path;

/// One host's folder, locked while the host runs. `COMPONENT.json` is a [`Record`], `COMPONENT.rollout.json` a
/// [`RolloutRecord`]; `COMPONENT/DIGEST.wasm` are the files, with their signatures beside them. No component's name has a dot, so none is that of another file here.
pub(crate) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

/// Which accepted file should serve. Written when it began to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) generation: u64,
    /// SHA-256 of the accepted file.
    pub(crate) digest: String,
    /// SHA-256 of the file that the manifest named at the time. If that changes, somebody deployed anew.
    pub(crate) file_digest: Option<String>,
    /// RFC 3339, UTC.
    pub(crate) accepted_at: String,
    /// The versions that it can be rolled back to, the one that served last at the end.
    #[serde(default)]
    pub(crate) earlier: Vec<EarlierVersion>,
}

impl Record {
    /// A record of a version that begins to serve now. Of the earlier ones the last `most` are kept.
    pub(crate) fn now(
        generation: u64,
        digest: &str,
        file_digest: Option<&str>,
        mut earlier: Vec<EarlierVersion>,
        most: u32,
    ) -> Self {
        earlier.drain(..earlier.len().saturating_sub(most as usize));
        Self {
            generation,
            digest: digest.to_owned(),
            file_digest: file_digest.map(str::to_owned),
            accepted_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            earlier,
        }
    }

    /// The highest number in it.
    pub(crate) fn highest(&self) -> u64 {
        let earlier = self.earlier.iter().map(|earlier| earlier.generation);
        earlier.fold(self.generation, u64::max)
    }
}

/// A version that served before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlierVersion {
    pub(crate) generation: u64,
    /// SHA-256 of its file.
    pub(crate) digest: String,
}

impl StateFolder {
    /// Makes the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// The folder can't be written, or another host uses it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!(
                "--state-folder {}: {error}; name another, or `none` to forget swaps at the end",
                path.display()
            )
        };
        // Other users may not look at what serves.
        let mut folder = DirBuilder::new();
        let made = folder.recursive(true).mode(0o700).create(path);
        made.map_err(|error| wrong(&error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(".lock"))
            .map_err(|error| wrong(&error))?;
        lock.try_lock()
            .map_err(|_| wrong(&"another host uses it; give each host its own"))?;
        Ok(Self {
            path: path.to_owned(),
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
    /// The file can't be read, or has other bytes than were accepted.
    pub(crate) fn accepted(&self, component: &str, wanted: &str) -> io::Result<Source> {
        let source = Source::read(&self.file_path(component, wanted))?;
        if source.digest == wanted {
            Ok(source)
        } else {
            let found = source.digest;
            Err(io::Error::other(format!("its SHA-256 is {found}")))
        }
    }

    /// Whether there is an accepted file of this digest.
    pub(crate) fn holds(&self, component: &str, digest: &str) -> bool {
        self.file_path(component, digest).exists()
    }

    /// Keeps a file and its signature.
    ///
    /// # Errors
    /// The file can't be written. The folder is then as before.
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

    /// Writes down which file should serve from now on; `None` stands for the manifest's file.
    ///
    /// # Errors
    /// The record can't be written. It is then as before.
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

    /// Writes down where a roll-out stands, or how it ended.
    ///
    /// # Errors
    /// The record can't be written. It is then as before.
    pub(crate) fn note_rollout(&self, component: &str, record: &RolloutRecord) -> io::Result<()> {
        let path = self.rollout_path(component);
        replace(&path, &serde_json::to_vec_pretty(record)?)
    }

    /// Removes the files of `component` but those that `is_needed`, by digest, and those of its record.
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

/// Reads a record; `None` if there is none.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that a crash at any moment leaves the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Writes a folder's entries to the disk, so that a rename in it outlasts a crash.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::source::digest;

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
        assert!(second.contains("another host uses it"), "{second}");
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
}
