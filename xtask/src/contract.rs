//! Installs the programs that test the HTTP contract for `host/tests/it/contract.rs`: schemathesis and newman, each in
//! its own folder under `target`, with every package pinned.

use anyhow::Result;

use crate::npm;
use crate::python::Python;

/// The files that npm reads; the second pins every package.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Installs both programs, unless they are installed.
///
/// # Errors
/// When a package can't be downloaded.
pub async fn ready() -> Result<()> {
    Python::ready("contract", "docs/contract/requirements.txt").await?;
    npm::ready("newman", "docs/contract", &NPM_FILES).await?;
    Ok(())
}
