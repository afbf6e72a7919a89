//! The record on disk of the version that serves, which a restart reads.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Which accepted file should serve. Written when that version begins to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) generation: u64,
    /// The SHA-256 digest of the accepted file.
    pub(crate) digest: String,
    /// The SHA-256 digest of the file that the manifest named at the time. If that file changes, a new one was
    /// deployed.
    pub(crate) file_digest: Option<String>,
    /// When the version was accepted: RFC 3339, in UTC.
    pub(crate) accepted_at: String,
    /// The versions that a rollback can choose; the one that served last is at the end.
    #[serde(default)]
    pub(crate) earlier: Vec<EarlierVersion>,
}

impl Record {
    /// The record of a version that begins to serve now. Of the earlier versions, the last `most` are kept.
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

    /// The highest version number in the record.
    pub(crate) fn highest(&self) -> u64 {
        let earlier = self.earlier.iter().map(|earlier| earlier.generation);
        earlier.fold(self.generation, u64::max)
    }
}

/// A version that served before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlierVersion {
    pub(crate) generation: u64,
    /// The SHA-256 digest of its file.
    pub(crate) digest: String,
}
