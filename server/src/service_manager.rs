//! What the service manager that started this process is told (sd_notify(3)): that it serves, reads its settings again,
//! ends, or is still alive. Without such a manager nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;

/// Says that this process serves, or has taken up its settings again. After an upgrade it says so in place of another.
pub fn ready() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// Says that the settings are read again. [`ready`] ends that, whether they were taken up or not.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "There is no time to name"),
    }
}

/// Says that this process ends, and that no other goes on in its place.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says again and again that this process is alive, if the service manager wants to hear that, until the task is dropped.
/// To be called inside a runtime.
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

/// How often it wants to hear that; `None` if never. Half of what it waits for, as its manual advises.
fn sign_of_life() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    Some(limit / 2).filter(|interval| !interval.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The service manager can't be told: see NOTIFY_SOCKET");
    }
}
