//! The instances of one generation as their queue sees them: sleeping, called, or being made.

use std::task::Waker;
use std::time::{Duration, Instant};

/// After an instance could not be made, no other is made for this many times the patience, as long as other instances
/// live. Each further failure would cost a request, which the living instances can serve.
const RESPITE: u32 = 50;

/// The instances that have not ended.
pub(crate) struct Roster {
    /// Sleeping instances with room, by number. The one that worked last is at the end.
    asleep: Vec<(u64, Waker)>,
    /// The number of instances that were called and have not looked for a request since.
    called: usize,
    /// When an instance was last called.
    called_at: Instant,
    /// The number of instances that are being made.
    new: usize,
    /// When an instance last could not be made.
    failed_at: Option<Instant>,
    /// The number of instances that were ever made. New instances get their numbers from it.
    instances: u64,
    /// The number of instances that have not ended.
    alive: usize,
    /// How long a called instance may take to come.
    pub(super) patience: Duration,
}

/// Whether the caller must make an instance.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// An instance must be made; the queue knows it by this seat.
    Instance(Seat),
}

/// An instance as the queue knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    number: u64,
    state: SeatState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeatState {
    /// The instance is being made.
    New,
    /// The instance sleeps, or was called after it slept.
    Expected,
    /// The instance has looked for requests, and has not slept since.
    Arrived,
}

impl Seat {
    /// Whether the queue does not expect the instance to come.
    pub(super) fn has_arrived(&self) -> bool {
        self.state == SeatState::Arrived
    }
}

impl Roster {
    /// A roster without instances. A called instance may take `patience` to come.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            asleep: Vec::new(),
            called: 0,
            called_at: Instant::now(),
            new: 0,
            failed_at: None,
            instances: 0,
            alive: 0,
            patience,
        }
    }

    /// Whether there are sleeping instances to wake.
    pub(super) fn some_sleep(&self) -> bool {
        !self.asleep.is_empty()
    }

    /// Calls an instance, unless a called one is on its way: wakes a sleeping one, or else asks for a new one.
    pub(super) fn call(&mut self) -> Need {
        if self.called > 0 && self.called_at.elapsed() < self.patience {
            return Need::Nothing;
        }
        if let Some((_, waker)) = self.asleep.pop() {
            self.called += 1;
            self.called_at = Instant::now();
            waker.wake();
            return Need::Nothing;
        }
        // If one is being made, another would be ready no sooner. If one has just failed, another would probably fail
        // too.
        if self.new > 0 || (self.alive > 0 && self.has_just_failed()) {
            return Need::Nothing;
        }
        self.new += 1;
        self.instances += 1;
        self.alive += 1;
        Need::Instance(Seat {
            number: self.instances,
            state: SeatState::New,
        })
    }

    fn has_just_failed(&self) -> bool {
        let respite = self.patience.saturating_mul(RESPITE);
        self.failed_at.is_some_and(|at| at.elapsed() < respite)
    }

    /// Records that an instance, which has arrived, sleeps from now on.
    pub(super) fn sleeps(&mut self, seat: &mut Seat, waker: &Waker) {
        self.asleep.push((seat.number, waker.clone()));
        seat.state = SeatState::Expected;
    }

    /// Records that an instance has ended. Returns whether another may be called in its place: not if it could not be
    /// made, as long as others live.
    pub(super) fn left(&mut self, seat: &mut Seat, was_made: bool) -> bool {
        self.arrived(seat);
        self.alive -= 1;
        if !was_made {
            self.failed_at = Some(Instant::now());
        }
        was_made || self.alive == 0
    }

    /// Records that an instance has come: it no longer counts as sleeping, called or being made.
    pub(super) fn arrived(&mut self, seat: &mut Seat) {
        match std::mem::replace(&mut seat.state, SeatState::Arrived) {
            SeatState::New => self.new -= 1,
            SeatState::Expected => {
                let asleep = self.asleep.iter();
                match asleep.rev().position(|(number, _)| *number == seat.number) {
                    Some(from_end) => {
                        let at = self.asleep.len() - 1 - from_end;
                        self.asleep.remove(at);
                    }
                    None => self.called -= 1,
                }
            }
            SeatState::Arrived => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often its instance was woken.
    #[derive(Default)]
    pub(in super::super) struct Alarm(AtomicUsize);

    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Alarm {
        pub(in super::super) fn rang(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    pub(in super::super) fn made(need: Need) -> Seat {
        match need {
            Need::Instance(seat) => seat,
            Need::Nothing => panic!("no instance was asked for"),
        }
    }

    /// A roster for which no time passes, until a test changes its patience.
    fn patient() -> Roster {
        Roster::new(Duration::MAX)
    }

    /// An instance at work.
    fn busy(roster: &mut Roster) -> Seat {
        let mut seat = made(roster.call());
        roster.arrived(&mut seat);
        seat
    }

    /// A sleeping instance.
    fn asleep(roster: &mut Roster) -> (Seat, Arc<Alarm>) {
        let mut seat = busy(roster);
        let alarm = Arc::new(Alarm::default());
        roster.sleeps(&mut seat, &alarm.clone().into());
        (seat, alarm)
    }

    #[test]
    fn an_instance_may_look_without_having_been_woken() {
        let mut roster = patient();
        let (mut seat, alarm) = asleep(&mut roster);
        roster.arrived(&mut seat);
        assert_eq!(alarm.rang(), 0);
        made(roster.call());
    }

    #[test]
    fn who_sleeps_is_called_while_another_is_made() {
        let mut roster = patient();
        let mut first = busy(&mut roster);
        let mut slow = made(roster.call());
        assert_eq!(roster.call(), Need::Nothing, "one is being made");
        let alarm = Arc::new(Alarm::default());
        roster.sleeps(&mut first, &alarm.clone().into());
        assert_eq!(roster.call(), Need::Nothing);
        assert_eq!(alarm.rang(), 1);
        roster.arrived(&mut slow);
        roster.arrived(&mut first);
        made(roster.call());
    }

    #[test]
    fn an_instance_that_was_called_and_does_not_come_holds_nobody_up() {
        let mut roster = patient();
        let (mut stuck, alarm) = asleep(&mut roster);
        assert_eq!(roster.call(), Need::Nothing);
        assert_eq!(alarm.rang(), 1);
        roster.patience = Duration::ZERO;
        let mut other = made(roster.call());
        roster.arrived(&mut other);
        roster.arrived(&mut stuck);
        roster.sleeps(&mut other, &alarm.clone().into());
        assert_eq!(roster.call(), Need::Nothing, "who sleeps is called");
        assert_eq!(alarm.rang(), 2);
    }

    #[test]
    fn one_that_can_not_be_made_is_not_tried_again_while_others_live() {
        let mut roster = patient();
        let mut alive = busy(&mut roster);
        let mut failed = made(roster.call());
        assert!(!roster.left(&mut failed, false));
        assert_eq!(roster.call(), Need::Nothing, "it would fail again");
        roster.patience = Duration::ZERO;
        let mut other = made(roster.call());
        assert!(roster.left(&mut other, true));
        roster.patience = Duration::MAX;
        assert!(roster.left(&mut alive, true));
        made(roster.call());
    }
}
