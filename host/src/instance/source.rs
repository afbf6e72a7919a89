//! A component's file: its bytes, digest and signature.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A component that is not compiled yet.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) bytes: Bytes,
    /// The SHA-256 digest of the bytes, in hexadecimal.
    pub(crate) digest: String,
    /// The text of the detached signature (a `.minisig` file), if there is one.
    pub(crate) signature: Option<String>,
}

impl Source {
    /// Hashes the bytes, which blocks the thread for some milliseconds.
    pub(crate) fn new(bytes: impl Into<Bytes>, signature: Option<String>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: digest(&bytes),
            bytes,
            signature,
        }
    }

    /// Reads a component's file, and the signature file beside it if there is one.
    ///
    /// # Errors
    /// The component's file can't be read.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Ok(Self::new(
            bytes,
            std::fs::read_to_string(signature_path(path)).ok(),
        ))
    }
}

/// The SHA-256 digest of `bytes`, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The path of a file's signature, which stands beside the file.
pub(crate) fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}
