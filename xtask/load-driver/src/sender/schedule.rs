//! When each request is due.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Notify};

/// The times of all requests: number `k` is due `k` / rate seconds after the start, whatever became of those before.
pub(super) struct Schedule {
    timer: Timer,
    began: Instant,
    rate: Option<u32>,
    /// The number of requests; `None` until it is known.
    requests: Cell<Option<u64>>,
    next: Cell<u64>,
    /// Who has the lock waits until the next request is due. The others wait for the lock in turn, so that all
    /// connections are used; if none is free, the next one that is sends what is overdue at once.
    waiting: Mutex<()>,
    /// Wakes who has the lock, because `requests` has changed.
    ended: Notify,
}

/// The turn of one request.
pub(super) struct Turn {
    /// The request's number, from 0.
    pub(super) number: u64,
    pub(super) due: Instant,
}

impl Schedule {
    /// A schedule of this many requests per second that begins now; without a rate, each request is due when it is
    /// asked for. Without a number of requests, it goes on until [`Schedule::end`].
    pub(super) fn start(rate: Option<u32>, requests: Option<u64>) -> io::Result<Self> {
        Ok(Self {
            timer: Timer::new()?,
            began: Instant::now(),
            rate,
            requests: Cell::new(requests),
            next: Cell::new(0),
            waiting: Mutex::new(()),
            ended: Notify::new(),
        })
    }

    /// Waits until the next request is due; `None` if there are no more.
    pub(super) async fn next(&self) -> io::Result<Option<Turn>> {
        let _waiting = self.waiting.lock().await;
        let number = self.next.get();
        loop {
            if self.requests.get().is_some_and(|count| number >= count) {
                return Ok(None);
            }
            let due = match self.rate {
                Some(rate) => self.began + after(number, rate),
                None => Instant::now(),
            };
            tokio::select! {
                biased;
                waited = self.timer.until(due) => {
                    waited?;
                    self.next.set(number + 1);
                    return Ok(Some(Turn { number, due }));
                }
                // The number of requests is looked at again.
                () = self.ended.notified() => {}
            }
        }
    }

    /// Leaves out the requests that are not due yet; those that are due keep their turns.
    pub(super) fn end(&self) {
        let due = match self.rate {
            Some(rate) => due_within(self.began.elapsed(), rate),
            None => self.next.get(),
        };
        let count = self.requests.get().map_or(due, |count| count.min(due));
        self.requests.set(Some(count));
        self.ended.notify_one();
    }

    /// The number of requests, once it is known.
    pub(super) fn requests(&self) -> Option<u64> {
        self.requests.get()
    }

    /// The time for all requests at the rate, once their number is known; `None` without a rate.
    pub(super) fn length(&self) -> Option<Duration> {
        let (count, rate) = self.requests.get().zip(self.rate)?;
        Some(after(count, rate))
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The time that `requests` requests take at `rate` requests per second.
pub(super) fn after(requests: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(requests as f64 / f64::from(rate))
}

/// The number of requests that are due within this time of the start, the first one at once.
fn due_within(time: Duration, rate: u32) -> u64 {
    (time.as_secs_f64() * f64::from(rate)) as u64 + 1
}

/// A timer of the kernel's, which counts nanoseconds; tokio's own counts milliseconds. It sleeps instead of asking the
/// clock all the time, because Redis and MariaDB may have the same processor. It is read like a pipe.
struct Timer(pipe::Receiver);

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(pipe::Receiver::from_owned_fd_unchecked(timer)?))
    }

    async fn until(&self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            // A timer that is set to 0 is switched off.
            if left.is_zero() {
                return Ok(());
            }
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec::try_from(left).map_err(io::Error::other)?,
            };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            self.expired().await?;
        }
    }

    async fn expired(&self) -> io::Result<()> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 8]) {
                // Tokio remembers the last time that it expired, until a read finds nothing.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_over_each_second() {
        assert_eq!(after(0, 20_000), Duration::ZERO);
        assert_eq!(after(1, 20_000), Duration::from_micros(50));
        assert_eq!(after(60_000, 20_000), Duration::from_secs(3));
        assert_eq!(due_within(Duration::ZERO, 20_000), 1);
        assert_eq!(due_within(Duration::from_micros(1020), 20_000), 21);
    }

    #[tokio::test]
    async fn each_request_has_its_turn_once_and_not_before_its_time() {
        let schedule = Schedule::start(Some(10_000), Some(3)).expect("a timer");
        let began = schedule.began;
        for number in 0..3 {
            let turn = schedule.next().await.expect("waited").expect("a turn");
            assert_eq!(
                (turn.number, turn.due),
                (number, began + after(number, 10_000))
            );
            assert!(Instant::now() >= turn.due);
        }
        assert!(schedule.next().await.expect("waited").is_none());
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_is_told_that_there_is_none() {
        let schedule = Schedule::start(Some(1), None).expect("a timer");
        schedule.next().await.expect("waited").expect("a turn");
        schedule.end();
        while let Some(turn) = schedule.next().await.expect("waited") {
            // On a machine that stood still, more were due.
            assert!(turn.number < schedule.requests().expect("known"));
        }
        assert_eq!(schedule.requests(), Some(schedule.next.get()));
        assert_eq!(schedule.length(), Some(after(schedule.next.get(), 1)));
    }
}
