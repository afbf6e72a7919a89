//! Installs the validators of the Kubernetes manifests, for the test in `xtask/ship`: kubectl, the schemas of
//! Kubernetes and a validator, each pinned.

use anyhow::Result;

use crate::python::Python;

/// Installs them, unless they are installed.
///
/// # Errors
/// When a package can't be downloaded.
pub async fn ready() -> Result<Python> {
    Python::ready("kubernetes", "deploy/kubernetes/requirements.txt").await
}
