//! A component's file: its bytes, and what is known of them.

use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::component::digest;
use crate::trust::beside;

/// A component that is not compiled yet.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) bytes: Bytes,
    /// SHA-256, in hexadecimal.
    pub(crate) digest: String,
    /// A detached signature, as in a `.minisig` file. Whether there must be one is for [`crate::trust::Trust`] to say.
    pub(crate) signature: Option<String>,
}

impl Source {
    /// Hashes the bytes, which keeps this thread busy for milliseconds.
    pub(crate) fn new(bytes: impl Into<Bytes>, signature: Option<String>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: digest(&bytes),
            bytes,
            signature,
        }
    }

    /// Reads a file, and the signature beside it if there is one.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Ok(Self::new(bytes, std::fs::read_to_string(beside(path)).ok()))
    }
}
