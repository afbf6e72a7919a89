//! The programs that judge the HTTP contract, for the tests in `host/tests/it/contract.rs`: schemathesis and newman,
//! each in a folder of its own under `target`, with every package pinned.

use anyhow::Result;

use crate::npm;
use crate::python::Python;

/// What npm reads. The second pins every package.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Makes sure that both are there.
///
/// # Errors
/// When a package can't be had.
pub async fn ready() -> Result<()> {
    Python::ready("contract", "docs/contract/requirements.txt").await?;
    npm::ready("newman", "docs/contract", &NPM_FILES).await?;
    Ok(())
}
