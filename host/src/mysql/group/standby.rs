//! The members that may answer reads while there is no writer.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::config::HostPort;

/// The members that can stand by, and whether one has been used since there was a writer.
#[derive(Default)]
pub(super) struct Standbys {
    members: Mutex<Vec<HostPort>>,
    pub(super) are_used: AtomicBool,
}

impl Standbys {
    /// The members, in the order of the group.
    pub(super) fn members(&self) -> Vec<HostPort> {
        self.members.lock().clone()
    }

    /// Replaces the members after a check.
    pub(super) fn set(&self, members: Vec<HostPort>) {
        *self.members.lock() = members;
    }

    /// Records that reads go to a member. Logs the first time since there was a writer.
    pub(super) fn begin(&self, at: &HostPort) {
        if !self.are_used.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "There is no MySQL writer at the moment: reads that may be stale go to member {at}"
            );
        }
    }

    /// Records that there is a writer. Logs it if a member has been used meanwhile.
    pub(super) fn end(&self) {
        if self.are_used.swap(false, Ordering::Relaxed) {
            tracing::info!("All reads go to the MySQL writer again");
        }
    }
}
