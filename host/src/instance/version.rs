//! A version of a component that was accepted.

use super::component::Code;

/// Where a version came from, which decides whether it is there after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file that the manifest names.
    File,
    /// An upload that was saved in the state folder.
    Stored,
    /// An upload that is lost when the process ends.
    Ephemeral,
}

impl Origin {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stored | Self::Ephemeral => "upload",
        }
    }
}

/// Accepted code with its number. A version that is kept for a rollback outlives its instances.
pub(crate) struct Version {
    /// Counted from 1 for each component.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    /// The SHA-256 digest of the manifest's file when this version was accepted. If the version came from that file,
    /// its own digest.
    pub(crate) file_digest: Option<String>,
    pub(crate) compiled: Code,
}

impl Version {
    pub(crate) fn digest(&self) -> &str {
        &self.compiled.digest
    }
}
