//! What a host remembers of the writer of each database, longer than a group lives: in memory during a reload, in a
//! file during a restart.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::durable;

/// Whose data the members of a database hold, and how often their writer was changed, as far as this host knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WriterRecord {
    pub(super) origin: String,
    pub(super) term: i64,
}

/// A record, and the members that the settings named when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    members: Vec<String>,
    #[serde(flatten)]
    record: WriterRecord,
}

type Entries = BTreeMap<String, Entry>;

/// The records of all databases. A process has one of these, and each reload keeps it.
#[derive(Default)]
pub(crate) struct WriterRecords {
    /// The entries by database. The groups of a database write its entry.
    entries: Mutex<Entries>,
    /// The file that holds the entries; `None` if they are only in memory. It is locked during a write, and each write
    /// takes the newest entries, so an old state never replaces a newer one.
    file: Mutex<Option<PathBuf>>,
}

impl WriterRecords {
    /// Reads the file at `path`, if there is one, and from now on keeps all records there. If reading or writing fails,
    /// that is logged and the records are kept in memory.
    pub(crate) fn keep_at(&self, path: PathBuf) {
        match durable::read::<Entries>(&path) {
            Ok(entries) => *self.entries.lock() = entries.unwrap_or_default(),
            Err(error) => tracing::warn!(
                "Can't read {}: {error}; which MySQL members are outdated is unknown until they show their rows",
                path.display()
            ),
        }
        *self.file.lock() = Some(path);
    }

    /// The record of `database`. `None` if it was made for other servers: then none of its members is in `members`.
    fn of(&self, database: &str, members: &[String]) -> Option<WriterRecord> {
        let entries = self.entries.lock();
        let entry = entries.get(database)?;
        let is_same = entry.members.iter().any(|then| members.contains(then));
        is_same.then(|| entry.record.clone())
    }

    /// Sets the entry of `database`. Returns whether it has changed.
    fn set(&self, database: &str, entry: Entry) -> bool {
        let mut entries = self.entries.lock();
        if entries.get(database) == Some(&entry) {
            return false;
        }
        entries.insert(database.to_owned(), entry);
        true
    }

    fn write(&self) {
        let file = self.file.lock();
        let Some(path) = &*file else { return };
        if let Err(error) = self.write_to(path) {
            tracing::warn!(
                "Can't write {}: {error}; after a restart, the host may write to an outdated MySQL member",
                path.display()
            );
        }
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&*self.entries.lock())?;
        durable::replace(path, &text)
    }
}

/// The entry of one database in the records.
pub(in crate::mysql) struct Notebook {
    records: Arc<WriterRecords>,
    database: String,
    members: Vec<String>,
}

impl Notebook {
    /// The entry of `database`, which `members` hold.
    pub(in crate::mysql) fn new(
        records: Arc<WriterRecords>,
        database: &str,
        members: Vec<String>,
    ) -> Self {
        Self {
            records,
            database: database.to_owned(),
            members,
        }
    }

    /// The record, if there is one.
    pub(super) fn read(&self) -> Option<WriterRecord> {
        self.records.of(&self.database, &self.members)
    }

    /// Replaces the record. The file is written in the background, because the disk may be slow.
    pub(super) fn write(&self, record: WriterRecord) {
        let entry = Entry {
            members: self.members.clone(),
            record,
        };
        if self.records.set(&self.database, entry) {
            let records = self.records.clone();
            tokio::task::spawn_blocking(move || records.write());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn record(term: i64) -> WriterRecord {
        WriterRecord {
            origin: "ours".into(),
            term,
        }
    }

    fn entry(term: i64) -> Entry {
        Entry {
            members: names(&["a:1", "b:1"]),
            record: record(term),
        }
    }

    #[test]
    fn a_restart_finds_what_was_remembered_of_the_same_members() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mysql.writer.json");
        let records = WriterRecords::default();
        records.keep_at(path.clone());
        assert_eq!(records.of("store", &names(&["a:1"])), None);
        assert!(records.set("store", entry(5)));
        assert!(records.set("store", entry(6)));
        assert!(!records.set("store", entry(6)));
        records.write();

        let restarted = WriterRecords::default();
        restarted.keep_at(path);
        let of = |database, members: &[&str]| restarted.of(database, &names(members));
        assert_eq!(of("store", &["c:1", "b:1"]), Some(record(6)));
        assert_eq!(of("store", &["c:1", "d:1"]), None);
        assert_eq!(of("other", &["a:1", "b:1"]), None);
    }

    #[test]
    fn a_file_that_fails_is_done_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mysql.writer.json");
        std::fs::write(&path, "{\"store\": 5}").expect("written");
        let records = WriterRecords::default();
        records.keep_at(path.clone());
        assert_eq!(records.of("store", &names(&["a:1"])), None);
        assert!(records.set("store", entry(6)));
        records.write();
        let mended = WriterRecords::default();
        mended.keep_at(path);
        assert_eq!(mended.of("store", &names(&["a:1"])), Some(record(6)));

        let nowhere = WriterRecords::default();
        nowhere.keep_at(folder.path().join("missing/mysql.writer.json"));
        assert!(nowhere.set("store", entry(6)));
        nowhere.write();
        assert_eq!(nowhere.of("store", &names(&["a:1"])), Some(record(6)));
    }
}
