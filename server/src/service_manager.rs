//! Tells the service manager that started this process (sd_notify(3)) that the process serves, reads its settings
//! again, ends, or is alive. Without a service manager, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;

/// Tells that this process serves, or has finished a reload. After an upgrade, this also names the new main process.
pub fn ready() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// Tells that the settings are read again. Call [`ready`] afterwards, whether the reload succeeded or not.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "The monotonic clock can't be read"),
    }
}

/// Tells that this process ends, and that no other process continues its work.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells repeatedly that this process is alive, if the service manager expects that, until the returned task is
/// dropped. Must be called inside a runtime.
#[must_use]
pub fn show_life() -> JoinSet<()> {
    let mut task = JoinSet::new();
    if let Some(interval) = sign_of_life() {
        task.spawn(async move {
            loop {
                tell(&[NotifyState::Watchdog]);
                tokio::time::sleep(interval).await;
            }
        });
    }
    task
}

/// How often to send a sign of life; `None` if none is expected. This is half of the manager's limit, as its manual
/// advises.
fn sign_of_life() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    Some(limit / 2).filter(|interval| !interval.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "Can't notify the service manager; check NOTIFY_SOCKET");
    }
}
