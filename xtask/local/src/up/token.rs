//! The admin token of `up`'s hosts: made once, and kept next to the data.

use std::path::PathBuf;

use anyhow::Result;
use testbed::Secret;

use xtask::paths;

/// The file with the token. Makes the file if it does not exist.
pub(super) fn file() -> Result<PathBuf> {
    let path = paths::store().join("admin-token");
    Secret::kept_in(&path)?;
    Ok(path)
}
