//! A waker that records whether it was woken while its task ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// A waker that wakes its task; while the task runs, it only records that it was called ("rung").
#[derive(Default)]
pub(crate) struct Bell {
    task: AtomicWaker,
    runs: AtomicBool,
    rang: AtomicBool,
}

impl Bell {
    /// Begins a run of the task: from now on a ring is recorded and wakes nobody. An earlier ring is forgotten, because
    /// it is the reason why the task runs. Rings after [`Bell::unmute`] wake `task`.
    pub(crate) fn mute(&self, task: &Waker) {
        self.task.register(task);
        self.runs.store(true, Ordering::SeqCst);
        self.rang();
    }

    /// Whether the bell was rung since the last call of this function.
    pub(crate) fn rang(&self) -> bool {
        self.rang.swap(false, Ordering::SeqCst)
    }

    /// Ends a run of the task: from now on a ring wakes it. A recorded ring that [`Bell::rang`] has not returned wakes
    /// it at once.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl Task {
        fn was_woken(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    #[test]
    fn a_task_that_runs_is_not_woken_until_it_ends() {
        let task = Arc::new(Task::default());
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        bell.mute(&task.clone().into());
        assert!(!bell.rang());
        waker.wake_by_ref();
        assert!(bell.rang());
        bell.unmute();
        assert!(!task.was_woken(), "it has seen to that");

        bell.mute(&task.clone().into());
        waker.wake_by_ref();
        assert!(!task.was_woken());
        bell.unmute();
        assert!(task.was_woken());

        bell.mute(&task.clone().into());
        bell.unmute();
        waker.wake();
        assert!(task.was_woken());
        bell.mute(&task.clone().into());
        assert!(!bell.rang(), "that is why it runs");
    }
}
