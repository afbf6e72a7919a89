//! `store-proxy reload --or-upgrade`: what was changed on disk, settings or program, comes into force as gently as it can.

use std::fs;
use std::os::unix::fs::MetadataExt;

use store_server::build::Build;

use super::cli::{Serve, Target};
use super::client::{AdminClient, ClientError};
use super::upgrade::{Handover, UpgradeError, upgrade};
use crate::config;

/// How it came into force.
pub enum TakenUp {
    /// The running process has read its settings again.
    Reloaded,
    /// Another process serves in its place.
    Upgraded(Handover),
}

/// Makes the running process read its settings again, and starts this program in its place if it is another one or if the
/// settings need that.
///
/// # Errors
/// See [`UpgradeError`].
pub async fn take_up(serve: &Serve, target: &Target) -> Result<TakenUp, UpgradeError> {
    let server = config::load(&serve.config)?.server;
    let token = target.token(&serve.config).map_err(ClientError::Token)?;
    let running = match target.admin.as_deref() {
        Some(admin) => AdminClient::new(Some(admin), token)?,
        None => AdminClient::at(server.admin, token)?,
    };
    let status = running.status().await?;
    let is_ours = status.build == Some(Build::this()) && runs_our_file(status.pid);
    if is_ours && running.reload().await?.is_empty() {
        return Ok(TakenUp::Reloaded);
    }
    let done = upgrade(serve, None, target.admin.as_deref()).await?;
    Ok(TakenUp::Upgraded(done))
}

/// Whether a process runs the file that we run, which a package may have replaced by one of the same commit. Where that
/// can't be seen it is taken for granted.
fn runs_our_file(process: u32) -> bool {
    let file = |process: &str| {
        let file = fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((file.dev(), file.ino()))
    };
    let (theirs, ours) = (file(&process.to_string()), file("self"));
    theirs.is_none() || ours.is_none() || theirs == ours
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_of_another_file_is_told_apart() {
        assert!(runs_our_file(std::process::id()));
        let mut other = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .expect("a process");
        let is_ours = runs_our_file(other.id());
        other.kill().expect("it runs");
        other.wait().expect("it ends");
        assert!(!is_ours);
        assert!(runs_our_file(other.id()), "nobody knows");
    }
}
