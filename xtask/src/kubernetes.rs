//! What judges the Kubernetes manifests, for the test in `xtask/ship`: kubectl, the schemas of Kubernetes and a validator,
//! each pinned.

use anyhow::Result;

use crate::python::Python;

/// Makes sure that it is there.
///
/// # Errors
/// When a package can't be had.
pub async fn ready() -> Result<Python> {
    Python::ready("kubernetes", "deploy/kubernetes/requirements.txt").await
}
