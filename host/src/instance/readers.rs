//! Counts the answers that clients are still reading. They are in the memory of the instance that gave them. So an
//! instance takes no request in their place: together with unread answers, it has no more requests than it may have at
//! once, even if clients read slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;

/// The readers of one instance's answers.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicUsize,
    /// Whether the instance waits for a reader to end.
    is_awaited: AtomicBool,
    instance: AtomicWaker,
}

/// The reader of one answer, until this is dropped.
pub(crate) struct Reader(Readers);

impl Readers {
    /// Counts one more reader.
    pub(super) fn begin(&self) -> Reader {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Reader(self.clone())
    }

    /// Whether there are fewer than `most` readers. If not, `instance` is woken when a reader ends.
    pub(super) fn are_fewer_than(&self, most: usize, instance: &Waker) -> bool {
        let are_few = || self.0.count.load(Ordering::SeqCst) < most;
        if are_few() {
            return true;
        }
        self.0.instance.register(instance);
        self.0.is_awaited.store(true, Ordering::SeqCst);
        // A reader may have ended before `is_awaited` was set.
        are_few()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Readers(inner) = &self.0;
        inner.count.fetch_sub(1, Ordering::SeqCst);
        if inner.is_awaited.swap(false, Ordering::SeqCst) {
            inner.instance.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::tests::Alarm;
    use super::*;

    #[test]
    fn who_waits_for_room_is_woken_once_there_is_some() {
        let readers = Readers::default();
        let bell = Arc::new(Alarm::default());
        let waker = bell.clone().into();
        let one = readers.begin();
        assert!(readers.are_fewer_than(2, &waker));
        drop(one);
        assert_eq!(bell.rang(), 0, "nobody waited");
        let one = readers.begin();
        let other = readers.begin();
        assert!(!readers.are_fewer_than(2, &waker));
        drop(one);
        assert_eq!(bell.rang(), 1);
        assert!(readers.are_fewer_than(2, &waker));
        drop(other);
        assert_eq!(bell.rang(), 1);
    }
}
