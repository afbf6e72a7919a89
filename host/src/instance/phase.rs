//! The phase of an instance in its loop: let the guest run, then look for requests.

/// The phase of a worker. Two parts of the worker change it: its event loop, which looks for requests, and the code
/// that polls the loop and ends each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The guest waits, for Redis for example. The worker has not looked for requests in this round.
    Waiting,
    /// The guest has more to compute, so the worker takes no request. It has not looked for requests in this round.
    Computing,
    /// The guest waits, and the worker has looked for requests.
    Looked,
    /// The guest has more to compute. The worker has looked nevertheless, but may take no request.
    LookedComputing,
    /// The worker has taken a request in this round.
    Took,
    /// The worker found no request, and sleeps until it is woken.
    Asleep,
    /// The event loop has ended. A worker that is dropped earlier never reaches this phase.
    Ended,
}

impl Phase {
    /// The event loop looks for requests. Returns whether it may take one.
    pub(super) fn look(&mut self) -> bool {
        match self {
            Self::Waiting | Self::Asleep => *self = Self::Looked,
            Self::Computing => *self = Self::LookedComputing,
            Self::Looked | Self::LookedComputing | Self::Took | Self::Ended => {}
        }
        *self != Self::LookedComputing
    }

    /// The worker has taken a request.
    pub(super) fn take(&mut self) {
        *self = Self::Took;
    }

    /// The worker found no request. If it took one earlier in this round, another round follows in any case.
    pub(super) fn sleep(&mut self) {
        if *self != Self::Took {
            *self = Self::Asleep;
        }
    }

    /// Whether the worker has looked for requests in this round. If not, its guest computes, or waits for the host in a
    /// call that blocks the whole instance.
    pub(super) fn has_looked(self) -> bool {
        !matches!(self, Self::Waiting | Self::Computing)
    }

    /// Ends a round, after which the guest has more to compute (`goes_on`) or not. Returns whether another round
    /// follows at once.
    pub(super) fn end_round(&mut self, goes_on: bool) -> bool {
        let was_at_work = matches!(self, Self::Computing | Self::LookedComputing | Self::Took);
        *self = match self {
            _ if goes_on => Self::Computing,
            Self::Asleep => Self::Asleep,
            _ => Self::Waiting,
        };
        goes_on || was_at_work
    }

    /// The worker is woken. Returns whether it slept; if so, it lets other woken tasks run first.
    pub(super) fn wake(&mut self) -> bool {
        let slept = *self == Self::Asleep;
        if slept {
            *self = Self::Waiting;
        }
        slept
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{self, Asleep, Computing, Ended, Looked, LookedComputing, Took, Waiting};

    const ALL: [Phase; 7] = [
        Waiting,
        Computing,
        Looked,
        LookedComputing,
        Took,
        Asleep,
        Ended,
    ];

    /// For each phase of [`ALL`], the phase after `step` and the step's result.
    fn after<T>(step: impl Fn(&mut Phase) -> T) -> [(Phase, T); 7] {
        ALL.map(|mut phase| {
            let given = step(&mut phase);
            (phase, given)
        })
    }

    #[test]
    fn a_guest_that_computes_is_left_alone_and_any_other_may_get_a_request() {
        let expected = [
            (Looked, true),
            (LookedComputing, false),
            (Looked, true),
            (LookedComputing, false),
            (Took, true),
            (Looked, true),
            (Ended, true),
        ];
        assert_eq!(after(Phase::look), expected);
    }

    #[test]
    fn who_took_a_request_does_not_sleep_in_the_same_round() {
        let mut phase = Looked;
        phase.take();
        assert_eq!(phase, Took);
        phase.sleep();
        assert_eq!(phase, Took);
        let mut phase = Looked;
        phase.sleep();
        assert_eq!(phase, Asleep);
    }

    #[test]
    fn another_round_follows_work_and_a_sleeper_sleeps_on() {
        let expected = [
            (Waiting, false),
            (Waiting, true),
            (Waiting, false),
            (Waiting, true),
            (Waiting, true),
            (Asleep, false),
            (Waiting, false),
        ];
        assert_eq!(after(|phase| phase.end_round(false)), expected);
        assert_eq!(after(|phase| phase.end_round(true)), [(Computing, true); 7]);
    }

    #[test]
    fn only_a_sleeper_lets_others_go_first_and_once() {
        let mut phase = Asleep;
        assert!(phase.wake());
        assert_eq!(phase, Waiting);
        for mut phase in [Waiting, Computing, Looked, LookedComputing, Took, Ended] {
            let before = phase;
            assert!(!phase.wake());
            assert_eq!(phase, before);
        }
    }

    #[test]
    fn a_round_without_a_look_is_told() {
        let looked = ALL.map(Phase::has_looked);
        assert_eq!(looked, [false, false, true, true, true, true, true]);
    }
}
