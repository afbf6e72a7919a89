//! What is written down of the version that serves, on disk: a restart goes on with it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

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
