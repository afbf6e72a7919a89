//! A waker that tells whether it was woken while its task ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Wakes its task; while the task runs, it only takes note.
#[derive(Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    runs: AtomicBool,
    rang: AtomicBool,
}

impl Bell {
    /// From now on the task runs, and can be woken by `task` when it does not.
    pub(crate) fn mute(&self, task: &Waker) {
        self.task.register(task);
        self.runs.store(true, Ordering::SeqCst);
    }

    /// Whether it was rung since this was last asked.
    pub(crate) fn rang(&self) -> bool {
        self.rang.swap(false, Ordering::SeqCst)
    }

    /// From now on the task does not run, and is woken: at once, if the bell was rung.
    pub(crate) fn unmute(&self) {
        self.runs.store(false, Ordering::SeqCst);
        if self.rang() {
            self.task.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        if !self.runs.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}
