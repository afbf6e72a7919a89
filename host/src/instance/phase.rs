//! Where an instance stands in its round of letting its guest run and looking for requests.

/// Written by a worker's event loop, which looks for requests, and by what polls that loop, which says when a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its guest waits, for Redis for example. It has not looked for requests in this round.
    Waiting,
    /// Its guest has more to do at once, so it takes no request. It has not looked in this round.
    Computing,
    /// Its guest waits, and it has looked.
    Looked,
    /// Its guest has more to do at once, and it has looked nevertheless.
    LookedComputing,
    /// It has taken a request in this round.
    Took,
    /// It found no request to take, and sleeps until it is woken.
    Asleep,
    /// The event loop has come to its end. A worker that is dropped before that is never in this phase.
    Ended,
}

impl Phase {
    /// The event loop looks for requests. Gives whether it may take one.
    pub(super) fn look(&mut self) -> bool {
        match self {
            Self::Waiting | Self::Asleep => *self = Self::Looked,
            Self::Computing => *self = Self::LookedComputing,
            Self::Looked | Self::LookedComputing | Self::Took | Self::Ended => {}
        }
        *self != Self::LookedComputing
    }

    /// It has taken a request.
    pub(super) fn take(&mut self) {
        *self = Self::Took;
    }

    /// It found none. One that took a request in the same round has another round in any case.
    pub(super) fn sleep(&mut self) {
        if *self != Self::Took {
            *self = Self::Asleep;
        }
    }

    /// Whether it has looked for requests in this round. If not, its guest computes, or the host does something for it
    /// that nothing else can go beside.
    pub(super) fn has_looked(self) -> bool {
        !matches!(self, Self::Waiting | Self::Computing)
    }

    /// A round is over, after which the guest `goes_on` or not. Gives whether another one follows at once.
    pub(super) fn end_round(&mut self, goes_on: bool) -> bool {
        let was_at_work = matches!(self, Self::Computing | Self::LookedComputing | Self::Took);
        *self = match self {
            _ if goes_on => Self::Computing,
            Self::Asleep => Self::Asleep,
            _ => Self::Waiting,
        };
        goes_on || was_at_work
    }

    /// It is woken. Gives whether it slept: then others that were woken too go first.
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

    /// What each phase of [`ALL`] becomes, and what the step gives.
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
