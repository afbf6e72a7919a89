//! The Kubernetes manifests: built as `kubectl apply -k` would build them, validated against the schemas of Kubernetes
//! and of the operators, and compared with one another.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use xtask::{kubernetes, paths};

use super::passed;

/// Checks all overlays.
///
/// # Errors
/// What is wrong with the overlays.
pub(super) async fn check() -> Result<()> {
    let said = run("check.py").await?;
    passed(&format!(
        "the Kubernetes manifests fit their schemas and one another: {said}"
    ));
    Ok(())
}

/// Runs a script in `deploy/kubernetes`, and returns what it printed.
async fn run(script: &str) -> Result<String> {
    let python = kubernetes::ready().await?;
    let script = paths::root().join("deploy/kubernetes").join(script);
    let mut command = Command::new(python.program());
    let output = command.arg(&script).output().await;
    let output = output.with_context(|| format!("running {}", script.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    ensure!(output.status.success(), "{}: {said}", script.display());
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn manifests_fit_their_schemas_and_one_another() {
        check().await.expect("all overlays are good");
    }

    #[tokio::test]
    async fn each_fault_of_a_manifest_is_noticed() {
        run("check_test.py").await.expect("each fault is reported");
    }
}
