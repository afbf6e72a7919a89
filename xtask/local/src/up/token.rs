//! The admin token of `up`'s hosts: made once, and kept beside the data.

use std::path::PathBuf;

use anyhow::Result;
use testbed::Secret;

use xtask::paths;

/// The file with the token, which is made if there is none.
pub(super) fn file() -> Result<PathBuf> {
    let path = paths::store().join("admin-token");
    Secret::kept_in(&path)?;
    Ok(path)
}
