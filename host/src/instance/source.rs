//! A component's file: its bytes, and what is known of them.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A component that is not compiled yet.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) bytes: Bytes,
    /// SHA-256, in hexadecimal.
    pub(crate) digest: String,
    /// A detached signature, as in a `.minisig` file, if there is one.
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
    /// The file can't be read.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Ok(Self::new(
            bytes,
            std::fs::read_to_string(signature_path(path)).ok(),
        ))
    }
}

/// SHA-256, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Where the signature of a file stands: beside it.
pub(crate) fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}
