//! What is known about an upstream over time, and whether it may be picked.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config;

/// What is known about an upstream. It outlives a change of the configuration.
pub(crate) struct Standing {
    /// Written by health checks.
    checks: Mutex<Checks>,
    /// Written by operators.
    draining: AtomicBool,
    /// Number of failed requests in a row. Written by requests.
    failures: AtomicU32,
    /// Number of 503 answers in a row, if these count. Written by requests.
    unavailable: AtomicU32,
    /// Written by requests, when failures lead to an ejection.
    ejection: Mutex<Ejection>,
    in_flight: AtomicUsize,
    requests: AtomicUsize,
}

/// The result of a health check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// The expected status; also if there are no checks.
    #[default]
    Good,
    /// 503: the upstream answers but can't do its work (RFC 9110, section 15.6.4).
    Unready,
    /// Another status, or no answer.
    Bad,
}

#[derive(Default)]
struct Checks {
    /// The health that enough checks in a row found.
    health: Health,
    /// How many checks in a row disagree with `health` on whether the upstream is `Good`.
    opposite: u32,
    /// Whether the checks have ended. The result of a check that was still running then is ignored, as no later check
    /// would correct it.
    ended: bool,
}

#[derive(Default)]
struct Ejection {
    /// Number of ejections without a success between them.
    times: u32,
    until: Option<Instant>,
}

/// Whether an upstream may be picked, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The upstream may be picked.
    Up,
    /// Health checks are answered with 503. The upstream gets requests only if no other one can take them.
    Unready,
    /// Health checks fail.
    Down,
    /// Requests failed; the upstream gets none for a while.
    Ejected,
    /// An operator drains the upstream, and requests are still in flight.
    Draining,
    /// An operator drained the upstream, and no requests are in flight.
    Drained,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            checks: Mutex::default(),
            draining: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            unavailable: AtomicU32::new(0),
            ejection: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        }
    }
}

impl Standing {
    /// The standing of an upstream that is new. Until its first good check it gets requests only if no other upstream
    /// can take them.
    pub(crate) fn unproven(settings: &config::Health) -> Self {
        let checks = Checks {
            health: Health::Unready,
            opposite: settings.up_after.saturating_sub(1),
            ended: false,
        };
        Self {
            checks: Mutex::new(checks),
            ..Self::default()
        }
    }

    /// Whether the upstream may be picked, and if not, why.
    pub(crate) fn state(&self, now: Instant) -> State {
        if self.draining.load(Ordering::Relaxed) {
            return match self.in_flight.load(Ordering::Relaxed) {
                0 => State::Drained,
                _ => State::Draining,
            };
        }
        match self.checks.lock().health {
            Health::Bad => State::Down,
            Health::Unready => State::Unready,
            Health::Good if self.ejection.lock().until.is_some_and(|until| now < until) => {
                State::Ejected
            }
            Health::Good => State::Up,
        }
    }

    /// Notes that a request got a permit.
    pub(super) fn begin_request(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_request(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Number of requests that have a connection or are getting one.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Number of requests sent to the upstream since the proxy started.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Sets whether health checks run from now on. Without checks, the upstream counts as up.
    pub(crate) fn set_checked(&self, checked: bool) {
        let mut checks = self.checks.lock();
        if !checked {
            *checks = Checks::default();
        }
        checks.ended = !checked;
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Takes in the result of a check. Returns whether it changes the upstream's state.
    pub(crate) fn checked(&self, found: Health, settings: &config::Health) -> bool {
        let mut checks = self.checks.lock();
        if checks.ended {
            return false;
        }
        let is_good = found == Health::Good;
        if is_good == (checks.health == Health::Good) {
            checks.opposite = 0;
            return std::mem::replace(&mut checks.health, found) != found;
        }
        let needed = match is_good {
            true => settings.up_after,
            false => settings.down_after,
        };
        checks.opposite += 1;
        if checks.opposite < needed {
            return false;
        }
        *checks = Checks {
            health: found,
            ..Checks::default()
        };
        if is_good {
            self.succeeded();
        }
        true
    }

    /// Notes that a request was answered.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            *self.ejection.lock() = Ejection::default();
        }
    }

    /// Notes that a request failed. If that leads to an ejection, returns how long the upstream is ejected.
    pub(crate) fn failed(&self, settings: &config::Ejection, now: Instant) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if settings.failures == 0 || failures < settings.failures {
            return None;
        }
        self.eject(settings, now)
    }

    /// Notes that a request was answered with another status than 503.
    pub(super) fn served(&self) {
        if self.unavailable.load(Ordering::Relaxed) > 0 {
            self.unavailable.store(0, Ordering::Relaxed);
            *self.ejection.lock() = Ejection::default();
        }
    }

    /// Whether the last answer had another status than 503; also true if there was no answer.
    pub(super) fn last_served(&self) -> bool {
        self.unavailable.load(Ordering::Relaxed) == 0
    }

    /// Notes that a request was answered with 503. `among_healthy` says that another upstream gives other answers. If
    /// the answer leads to an ejection, returns how long the upstream is ejected.
    pub(super) fn unavailable(
        &self,
        settings: &config::Ejection,
        among_healthy: bool,
        now: Instant,
    ) -> Option<Duration> {
        let answers = self.unavailable.fetch_add(1, Ordering::Relaxed) + 1;
        if !among_healthy || settings.failures == 0 || answers < settings.failures {
            return None;
        }
        self.eject(settings, now)
    }

    fn eject(&self, settings: &config::Ejection, now: Instant) -> Option<Duration> {
        let mut ejection = self.ejection.lock();
        if ejection.until.is_some_and(|until| now < until) {
            return None;
        }
        // After an ejection, a single failure leads to the next, as `failures` is reset only by a success.
        let factor = 2_u32.saturating_pow(ejection.times);
        let time = settings.base.saturating_mul(factor).min(settings.max);
        ejection.times = ejection.times.saturating_add(1);
        ejection.until = now.checked_add(time);
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_in_a_row_change_the_state() {
        let standing = Standing::default();
        let settings = config::Health {
            down_after: 2,
            up_after: 3,
            ..config::Health::default()
        };
        let seen: Vec<bool> = [false, true, false, false, true, true, true]
            .into_iter()
            .map(|good| if good { Health::Good } else { Health::Bad })
            .map(|found| standing.checked(found, &settings))
            .collect();
        assert_eq!(seen, [false, false, false, true, false, false, true]);
    }

    #[test]
    fn a_check_that_ends_after_the_last_one_changes_nothing() {
        let standing = Standing::default();
        let settings = config::Health {
            down_after: 1,
            ..config::Health::default()
        };
        assert!(standing.checked(Health::Bad, &settings));
        standing.set_checked(false);
        assert!(!standing.checked(Health::Bad, &settings));
        assert_eq!(standing.state(Instant::now()), State::Up);
        standing.set_checked(true);
        assert!(standing.checked(Health::Bad, &settings));
    }

    #[test]
    fn one_that_is_not_ready_may_go_down_and_come_back_at_once() {
        let standing = Standing::default();
        let settings = config::Health {
            down_after: 2,
            up_after: 1,
            ..config::Health::default()
        };
        let found = [
            (Health::Unready, State::Up),
            (Health::Unready, State::Unready),
            (Health::Bad, State::Down),
            (Health::Unready, State::Unready),
            (Health::Good, State::Up),
        ];
        for (found, state) in found {
            let before = standing.state(Instant::now());
            assert_eq!(standing.checked(found, &settings), before != state);
            assert_eq!(standing.state(Instant::now()), state);
        }
    }

    #[test]
    fn one_that_is_new_is_proven_by_a_single_good_check() {
        let settings = config::Health {
            up_after: 3,
            ..config::Health::default()
        };
        let standing = Standing::unproven(&settings);
        assert_eq!(standing.state(Instant::now()), State::Unready);
        assert!(standing.checked(Health::Good, &settings));
        assert_eq!(standing.state(Instant::now()), State::Up);

        let standing = Standing::unproven(&settings);
        assert!(standing.checked(Health::Bad, &settings));
        assert_eq!(standing.state(Instant::now()), State::Down);
        assert!(!standing.checked(Health::Good, &settings));
    }

    #[test]
    fn answers_of_503_count_only_among_healthy_ones() {
        let standing = Standing::default();
        let settings = config::Ejection {
            failures: 2,
            ..config::Ejection::default()
        };
        let now = Instant::now();
        assert!(standing.last_served());
        assert_eq!(standing.unavailable(&settings, false, now), None);
        assert!(!standing.last_served());
        assert_eq!(standing.unavailable(&settings, false, now), None);
        let time = standing.unavailable(&settings, true, now);
        assert_eq!(time, Some(settings.base));
        standing.served();
        assert_eq!(standing.state(now), State::Up);
        assert_eq!(standing.unavailable(&settings, true, now), None);
    }

    #[test]
    fn each_ejection_lasts_twice_as_long_until_a_success() {
        let standing = Standing::default();
        let settings = config::Ejection {
            failures: 3,
            base: Duration::from_secs(1),
            max: Duration::from_secs(3),
            ..config::Ejection::default()
        };
        let start = Instant::now();
        assert_eq!(standing.failed(&settings, start), None);
        assert_eq!(standing.failed(&settings, start), None);
        assert_eq!(
            standing.failed(&settings, start),
            Some(Duration::from_secs(1))
        );
        assert_eq!(standing.state(start), State::Ejected);
        assert_eq!(standing.failed(&settings, start), None, "it is out already");
        let mut now = start + Duration::from_secs(1);
        assert_eq!(standing.state(now), State::Up);
        for seconds in [2, 3, 3] {
            assert_eq!(
                standing.failed(&settings, now),
                Some(Duration::from_secs(seconds))
            );
            now += Duration::from_secs(seconds);
        }
        standing.succeeded();
        assert_eq!(standing.failed(&settings, now), None);
    }
}
