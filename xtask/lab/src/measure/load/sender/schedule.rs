//! When each request is due.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// The times of all requests: number `k` is due `k` / rate seconds after the start, whatever became of those before.
pub(super) struct Schedule {
    timer: Timer,
    began: Instant,
    rate: Option<u32>,
    requests: Option<u64>,
    next: u64,
}

/// The turn of one request.
pub(super) struct Turn {
    /// The request's number, from 0.
    pub(super) number: u64,
    pub(super) due: Instant,
}

impl Schedule {
    /// A schedule of this many requests per second that begins now; without a rate, each request is due when it is
    /// asked for. Without a number of requests, there is no end.
    pub(super) fn start(rate: Option<u32>, requests: Option<u64>) -> io::Result<Self> {
        Ok(Self {
            timer: Timer::new()?,
            began: Instant::now(),
            rate,
            requests,
            next: 0,
        })
    }

    /// Waits until the next request is due; `None` if there are no more.
    pub(super) async fn next(&mut self) -> io::Result<Option<Turn>> {
        if self.requests.is_some_and(|requests| self.next >= requests) {
            return Ok(None);
        }
        let due = match self.rate {
            Some(rate) => self.began + after(self.next, rate),
            None => Instant::now(),
        };
        self.timer.until(due).await?;
        let turn = Turn {
            number: self.next,
            due,
        };
        self.next += 1;
        Ok(Some(turn))
    }
}

/// The time that `requests` requests take at `rate` requests per second.
pub(super) fn after(requests: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(requests as f64 / f64::from(rate))
}

/// A timer of the kernel's, which counts nanoseconds; tokio's own counts milliseconds. It sleeps instead of asking the
/// clock all the time, because Redis and MariaDB may have the same processor.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(unsafe_code, reason = "tokio has no other way to wait for a timer")]
        // SAFETY: the descriptor is open, belongs to `timer`, and is closed only when `timer` is dropped.
        let timer = unsafe { AsyncFd::register(timer) };
        Ok(Self(timer?))
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
            // Setting the timer also forgets that it has expired, so nothing needs to be read from it.
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            self.0.readable().await?.clear_ready();
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
    }

    #[tokio::test]
    async fn each_request_has_its_turn_once_and_not_before_its_time() {
        let mut schedule = Schedule::start(Some(100_000), Some(3)).expect("a timer");
        let began = schedule.began;
        for number in 0..3 {
            let turn = schedule.next().await.expect("waited").expect("a turn");
            assert_eq!(
                (turn.number, turn.due),
                (number, began + after(number, 100_000))
            );
            assert!(Instant::now() >= turn.due);
        }
        assert!(schedule.next().await.expect("waited").is_none());
    }
}
