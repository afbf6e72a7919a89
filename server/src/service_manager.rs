//! What the service manager that started this process is told (sd_notify(3)): that it serves, reads its settings again,
//! ends, or is still alive. Without such a manager nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;

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

/// Says that this process is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often it wants to hear that; `None` if never. Half of what it waits for, as its manual advises.
#[must_use]
pub fn sign_of_life() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    Some(limit / 2).filter(|interval| !interval.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The service manager can't be told: see NOTIFY_SOCKET");
    }
}
