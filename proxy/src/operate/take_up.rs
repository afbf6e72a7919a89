//! `store-proxy reload --or-upgrade`: puts changed settings, or a changed program, in force by the mildest means.

use std::fs;
use std::os::unix::fs::MetadataExt;

use store_server::build::Build;

use super::cli::{Serve, Target};
use super::client::{AdminClient, ClientError};
use super::upgrade::{Handover, UpgradeError, upgrade};
use crate::config;

/// How the change was put in force.
pub enum TakeUpOutcome {
    /// The running process has read its settings again.
    Reloaded,
    /// A new process serves in place of the old one.
    Upgraded(Handover),
}

/// Makes the running process read its settings again. If that process runs another program than this one, or the
/// settings need it, starts this program in its place.
///
/// # Errors
/// See [`UpgradeError`].
pub async fn take_up(serve: &Serve, target: &Target) -> Result<TakeUpOutcome, UpgradeError> {
    let server = config::load(&serve.config)?.server;
    let token = target.token(&serve.config).map_err(ClientError::Token)?;
    let running = match target.admin.as_deref() {
        Some(admin) => AdminClient::new(Some(admin), token)?,
        None => AdminClient::at(server.admin, token)?,
    };
    let status = running.status().await?;
    let is_ours = status.build == Some(Build::this()) && status.program == program();
    if is_ours && running.reload().await?.is_empty() {
        return Ok(TakeUpOutcome::Reloaded);
    }
    let done = upgrade(serve, None, target.admin.as_deref()).await?;
    Ok(TakeUpOutcome::Upgraded(done))
}

/// The file of the program that this process runs, by device and inode. A package may have replaced the file by another
/// one of the same commit.
pub(super) fn program() -> Option<String> {
    let file = fs::metadata("/proc/self/exe").ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}
