//! The Kubernetes manifests: built as `kubectl apply -k` would build them, and validated against the schemas of
//! Kubernetes.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use xtask::{kubernetes, paths};

use super::passed;

/// Checks all overlays.
///
/// # Errors
/// What is wrong with the overlays.
pub(super) async fn check() -> Result<()> {
    let python = kubernetes::ready().await?;
    let mut check = Command::new(python.program());
    check.arg(paths::root().join("deploy/kubernetes/check.py"));
    let output = check.output().await.context("running check.py")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    ensure!(output.status.success(), "deploy/kubernetes: {said}");
    passed(&format!(
        "the Kubernetes manifests fit their schemas: {said}"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn manifests_fit_their_schemas() {
        check().await.expect("all overlays are good");
    }
}
