//! The queue of one generation: requests that wait for an instance, and instances that wait for requests.
//!
//! An instance takes one request after the other as long as these only wait, for Redis for example. So a few instances
//! do all the work: they stay in the processor's caches, and commands of several requests are sent together. When these
//! instances are busy or full, others are called.

use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use super::roster::{Need, Roster, Seat};
use crate::clients::{Asker, Turns};

/// How long a request may wait before another instance is called for it, and how long a called instance may take to
/// come before another is called instead. The called instance may be held up by a guest that computes.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2);

/// Waiting requests, and waiting instances.
pub(crate) struct Queue<R> {
    inner: Mutex<Inner<R>>,
    /// Whether instances run on more than one thread, so that another instance can take requests while the first one
    /// works.
    has_threads: bool,
}

struct Inner<R> {
    waiting: Turns<R>,
    /// Whether a watchdog checks for requests that have waited long.
    is_watched: bool,
    instances: Roster,
}

/// What an instance gets when it looks for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextRequest<R> {
    Request(R),
    /// No request waits. The instance sleeps until it is called.
    Sleeps,
    /// Only requests wait that this instance may not take, so it is not called for them.
    Passes,
}

/// Whether the caller must begin to call [`Queue::watch`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchdogState {
    Running,
    Needed,
}

impl<R> Queue<R> {
    pub(crate) fn new(threads: usize) -> Self {
        let inner = Inner {
            waiting: Turns::new(),
            is_watched: false,
            instances: Roster::new(PATIENCE),
        };
        Self {
            inner: Mutex::new(inner),
            has_threads: threads > 1,
        }
    }

    /// Adds a request, and calls an instance unless a called one is on its way.
    pub(crate) fn push(&self, asker: Asker, request: R) -> (Need, WatchdogState) {
        let mut inner = self.inner.lock();
        inner.waiting.push(asker, request);
        inner.pushed()
    }

    /// Adds a request before all waiting ones.
    pub(crate) fn push_first(&self, request: R) -> (Need, WatchdogState) {
        let mut inner = self.inner.lock();
        inner.waiting.push_first(request);
        inner.pushed()
    }

    /// Calls an instance if a request has waited long. The watchdog calls this every [`PATIENCE`] until the result is
    /// `None`. All requests share this one timer, since most are taken at once.
    pub(crate) fn watch(&self) -> Option<Need> {
        let mut inner = self.inner.lock();
        inner.is_watched = !inner.waiting.is_empty();
        inner.is_watched.then(|| inner.call_for_who_waits_long())
    }

    /// Gives an instance with room the next request of an asker whom it `may` serve. If no request waits, the instance
    /// sleeps until it is woken. If only requests wait that it may not take, another instance is called for them.
    /// Another is also called for the remaining requests if one of them has waited long or if another thread can take
    /// them.
    pub(crate) fn take(
        &self,
        seat: &mut Seat,
        waker: &Waker,
        may: impl Fn(Asker) -> bool,
    ) -> (NextRequest<R>, Need) {
        let mut inner = self.inner.lock();
        inner.instances.arrived(seat);
        let Some(request) = inner.waiting.pop_first_or_of(may) else {
            if inner.waiting.is_empty() {
                inner.instances.sleeps(seat, waker);
                return (NextRequest::Sleeps, Need::Nothing);
            }
            return (NextRequest::Passes, inner.call_for_the_rest());
        };
        let others_can_help = self.has_threads && inner.instances.some_sleep();
        let need = if others_can_help {
            inner.call_for_the_rest()
        } else {
            inner.call_for_who_waits_long()
        };
        (NextRequest::Request(request), need)
    }

    /// Records that a called instance has come, though it can't take a request now. Another instance is called if a
    /// request has waited long.
    pub(crate) fn arrive(&self, seat: &mut Seat) -> Need {
        if seat.has_arrived() {
            return Need::Nothing;
        }
        let mut inner = self.inner.lock();
        inner.instances.arrived(seat);
        inner.call_for_who_waits_long()
    }

    /// Records that an instance takes no more requests for now. Another instance is called if requests wait.
    pub(crate) fn pass(&self, seat: &mut Seat) -> Need {
        let mut inner = self.inner.lock();
        inner.instances.arrived(seat);
        inner.call_for_the_rest()
    }

    /// Records that an instance has ended. Another one is called if requests wait; but after one that could not be
    /// made, no other is made while some live.
    pub(crate) fn leave(&self, seat: &mut Seat, was_made: bool) -> Need {
        let mut inner = self.inner.lock();
        if inner.instances.left(seat, was_made) {
            inner.call_for_the_rest()
        } else {
            Need::Nothing
        }
    }

    /// Removes the request whose turn it is, because an instance could not be made. That request is refused.
    pub(crate) fn refuse(&self, seat: &mut Seat) -> Option<R> {
        let mut inner = self.inner.lock();
        inner.instances.arrived(seat);
        inner.waiting.pop()
    }
}

impl<R> Inner<R> {
    fn pushed(&mut self) -> (Need, WatchdogState) {
        let watch = match std::mem::replace(&mut self.is_watched, true) {
            true => WatchdogState::Running,
            false => WatchdogState::Needed,
        };
        (self.instances.call(), watch)
    }

    fn call_for_who_waits_long(&mut self) -> Need {
        let since = self.waiting.since();
        if since.is_some_and(|since| since.elapsed() >= self.instances.patience) {
            return self.instances.call();
        }
        Need::Nothing
    }

    fn call_for_the_rest(&mut self) -> Need {
        if self.waiting.is_empty() {
            return Need::Nothing;
        }
        self.instances.call()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::roster::tests::{Alarm, made};
    use super::*;

    const ANY: fn(Asker) -> bool = |_| true;

    /// A queue for which no time passes, until a test changes its patience.
    fn patient(threads: usize) -> Queue<u32> {
        let queue = Queue::new(threads);
        queue.inner.lock().instances.patience = Duration::MAX;
        queue
    }

    fn let_time_pass(queue: &Queue<u32>) {
        queue.inner.lock().instances.patience = Duration::ZERO;
    }

    /// A sleeping instance.
    fn asleep(queue: &Queue<u32>) -> (Seat, Arc<Alarm>) {
        let mut seat = made(queue.push(None, 0).0);
        let bell = Arc::new(Alarm::default());
        let waker = bell.clone().into();
        assert_eq!(
            queue.take(&mut seat, &waker, ANY),
            (NextRequest::Request(0), Need::Nothing)
        );
        assert_eq!(
            queue.take(&mut seat, &waker, ANY),
            (NextRequest::Sleeps, Need::Nothing)
        );
        (seat, bell)
    }

    #[test]
    fn one_instance_is_made_for_the_first_requests() {
        let queue = patient(1);
        let mut seat = made(queue.push(None, 1).0);
        assert_eq!(queue.push(None, 2).0, Need::Nothing);
        assert_eq!(
            queue.take(&mut seat, Waker::noop(), ANY).0,
            NextRequest::Request(1)
        );
        assert_eq!(
            queue.take(&mut seat, Waker::noop(), ANY).0,
            NextRequest::Request(2)
        );
        assert_eq!(
            queue.take(&mut seat, Waker::noop(), ANY).0,
            NextRequest::Sleeps
        );
    }

    #[test]
    fn the_instance_that_slept_last_is_woken_once() {
        let queue = patient(1);
        let mut first = made(queue.push(None, 1).0);
        let waker = Waker::noop();
        assert_eq!(
            queue.take(&mut first, waker, ANY).0,
            NextRequest::Request(1)
        );
        let (mut second, bell) = {
            // The first instance is at work, so another one is made.
            let (seat, bell) = asleep(&queue);
            assert_eq!(queue.take(&mut first, waker, ANY).0, NextRequest::Sleeps);
            (seat, bell)
        };
        assert_eq!(queue.push(None, 2).0, Need::Nothing);
        assert_eq!(queue.push(None, 3).0, Need::Nothing);
        assert_eq!(bell.rang(), 0, "the first slept last");
        assert_eq!(
            queue.take(&mut first, waker, ANY).0,
            NextRequest::Request(2)
        );
        assert_eq!(queue.pass(&mut first), Need::Nothing);
        assert_eq!(bell.rang(), 1, "the first takes no more");
        assert_eq!(
            queue.take(&mut second, waker, ANY).0,
            NextRequest::Request(3)
        );
    }

    #[test]
    fn an_instance_that_looks_later_holds_nobody_up() {
        let queue = patient(1);
        let mut busy = made(queue.push(None, 1).0);
        assert_eq!(queue.arrive(&mut busy), Need::Nothing);
        assert_eq!(queue.watch(), Some(Need::Nothing), "it has not waited long");
        let_time_pass(&queue);
        let mut other = queue.watch().map(made).expect("it waits");
        assert_eq!(
            queue.take(&mut other, Waker::noop(), ANY).0,
            NextRequest::Request(1)
        );
    }

    #[test]
    fn a_queue_is_watched_while_something_waits() {
        let queue = patient(1);
        let (need, watch) = queue.push(None, 1);
        assert_eq!(watch, WatchdogState::Needed);
        assert_eq!(queue.push(None, 2).1, WatchdogState::Running);
        let mut seat = made(need);
        assert_eq!(
            queue.take(&mut seat, Waker::noop(), ANY).0,
            NextRequest::Request(1)
        );
        assert_eq!(queue.watch(), Some(Need::Nothing));
        assert_eq!(
            queue.take(&mut seat, Waker::noop(), ANY).0,
            NextRequest::Request(2)
        );
        assert_eq!(queue.watch(), None);
        assert_eq!(queue.push(None, 3).1, WatchdogState::Needed);
    }

    #[test]
    fn what_has_waited_long_has_another_instance_made() {
        let queue = patient(1);
        let mut seat = made(queue.push(None, 1).0);
        for request in 2..=3 {
            assert_eq!(queue.push(None, request).0, Need::Nothing);
        }
        let_time_pass(&queue);
        assert_eq!(queue.watch(), Some(Need::Nothing), "one is being made");
        let mut other = made(queue.arrive(&mut seat));
        let (request, need) = queue.take(&mut other, Waker::noop(), ANY);
        assert_eq!(request, NextRequest::Request(1));
        made(need);
    }

    #[test]
    fn another_thread_helps() {
        let queue = patient(2);
        let mut busy = made(queue.push(None, 1).0);
        assert_eq!(
            queue.take(&mut busy, Waker::noop(), ANY).0,
            NextRequest::Request(1)
        );
        let (mut other, bell) = asleep(&queue);
        assert_eq!(
            queue.take(&mut busy, Waker::noop(), ANY).0,
            NextRequest::Sleeps
        );
        for request in 2..=4 {
            assert_eq!(queue.push(None, request).0, Need::Nothing);
        }
        assert_eq!(bell.rang(), 0, "the one that slept last is on its way");
        assert_eq!(
            queue.take(&mut busy, Waker::noop(), ANY).0,
            NextRequest::Request(2)
        );
        assert_eq!(bell.rang(), 1);
        assert_eq!(
            queue.take(&mut other, Waker::noop(), ANY).0,
            NextRequest::Request(3)
        );
    }

    #[test]
    fn what_an_instance_may_not_have_is_for_another() {
        let queue = patient(1);
        let client = Some(std::net::Ipv4Addr::LOCALHOST.into());
        let mut seat = made(queue.push(client, 1).0);
        assert_eq!(queue.push(None, 2).0, Need::Nothing);
        assert_eq!(queue.push(client, 3).0, Need::Nothing);
        let waker = Waker::noop();
        let not_theirs = |asker| asker != client;
        let (taken, _) = queue.take(&mut seat, waker, not_theirs);
        assert_eq!(taken, NextRequest::Request(2));
        let (taken, need) = queue.take(&mut seat, waker, not_theirs);
        assert_eq!(taken, NextRequest::Passes);
        let mut other = made(need);
        assert_eq!(
            queue.take(&mut other, waker, ANY).0,
            NextRequest::Request(1)
        );
        assert_eq!(
            queue.take(&mut other, waker, ANY).0,
            NextRequest::Request(3)
        );
        let (taken, _) = queue.take(&mut seat, waker, not_theirs);
        assert_eq!(taken, NextRequest::Sleeps);
    }

    #[test]
    fn an_instance_that_can_not_be_made_costs_one_request() {
        let queue = patient(1);
        let mut seat = made(queue.push(None, 1).0);
        assert_eq!(queue.push(None, 2).0, Need::Nothing);
        assert_eq!(queue.refuse(&mut seat), Some(1));
        let mut seat = made(queue.leave(&mut seat, false));
        assert_eq!(queue.refuse(&mut seat), Some(2));
        assert_eq!(queue.leave(&mut seat, false), Need::Nothing);
        made(queue.push(None, 3).0);
    }
}
