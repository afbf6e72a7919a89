//! The decisions of a host when nobody leads its roll-out any more: it asks the other hosts of the roll-out, and they
//! all come to the same end (`docs/adr/0027`).

/// The state of the roll-out on another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Both versions are live on that host.
    Open,
    Promoted,
    /// The new version was taken out of service on that host.
    Withdrawn,
    /// That host does not know the roll-out: it never began there, the host has lost its state, or it had another
    /// roll-out since.
    Unknown,
    /// That host gives no answer.
    Silent,
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanAction {
    /// Asks again later.
    Wait,
    Promote,
    Withdraw,
    /// Keeps its state for good: all hosts came to the same end, or it can't be found out.
    Settle,
}

/// The decision of a host on which both versions are live. By this time no host obeys a leader any more, so a host that
/// has neither promoted nor withdrawn will not do so on the leader's word. `is_late` is true after a long time of
/// waiting for silent hosts.
pub(crate) fn while_open(votes: &[Vote], is_late: bool) -> OrphanAction {
    if votes.contains(&Vote::Withdrawn) {
        OrphanAction::Withdraw
    } else if votes.contains(&Vote::Promoted) {
        OrphanAction::Promote
    } else if votes.contains(&Vote::Silent) && !votes.contains(&Vote::Unknown) && !is_late {
        // The silent host may have promoted. That is possible only if all hosts take part, so a host that does not know
        // the roll-out rules it out.
        OrphanAction::Wait
    } else {
        OrphanAction::Withdraw
    }
}

/// The decision of a host that has promoted and does not know whether all hosts have. A host that does not know the
/// roll-out is no reason to go back: hosts are told to promote only when all take part, so that host must have lost its
/// state. `is_late` is true after such a long time that silent hosts are no longer waited for.
pub(crate) fn once_promoted(votes: &[Vote], is_late: bool) -> OrphanAction {
    let is_settled = |vote: &Vote| matches!(vote, Vote::Promoted | Vote::Unknown);
    if votes.contains(&Vote::Withdrawn) {
        OrphanAction::Withdraw
    } else if is_late || votes.iter().all(is_settled) {
        OrphanAction::Settle
    } else {
        OrphanAction::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_promoted_takes_the_others_along_and_one_withdrawn_all() {
        use Vote::{Open, Promoted, Silent, Unknown, Withdrawn};
        for (votes, expected) in [
            (&[Open, Open][..], OrphanAction::Withdraw),
            (&[Open, Promoted], OrphanAction::Promote),
            (&[Silent, Promoted], OrphanAction::Promote),
            (&[Promoted, Withdrawn], OrphanAction::Withdraw),
            (&[Unknown, Promoted], OrphanAction::Promote),
            (&[Unknown, Silent], OrphanAction::Withdraw),
            (&[Open, Silent], OrphanAction::Wait),
            (&[], OrphanAction::Withdraw),
        ] {
            assert_eq!(while_open(votes, false), expected, "{votes:?}");
        }
        assert_eq!(while_open(&[Open, Silent], true), OrphanAction::Withdraw);
        for (votes, expected) in [
            (&[Promoted, Promoted][..], OrphanAction::Settle),
            (&[Promoted, Unknown], OrphanAction::Settle),
            (&[Promoted, Open], OrphanAction::Wait),
            (&[Unknown, Silent], OrphanAction::Wait),
            (&[Silent, Withdrawn], OrphanAction::Withdraw),
        ] {
            assert_eq!(once_promoted(votes, false), expected, "{votes:?}");
        }
        assert_eq!(
            once_promoted(&[Promoted, Silent], true),
            OrphanAction::Settle
        );
        assert_eq!(
            once_promoted(&[Withdrawn, Silent], true),
            OrphanAction::Withdraw
        );
    }

    /// Three hosts in any state ask one another in any order, and may fail to reach one another. Once every host
    /// reaches every other, the hosts that know the roll-out agree. An operator may replace a promoted version, and any
    /// host may lose its state.
    #[test]
    fn all_come_to_the_same_end() {
        #[derive(Clone, Copy, Debug)]
        enum Mishap {
            None,
            Overruled,
            Forgot,
        }
        let states = [Vote::Open, Vote::Promoted, Vote::Withdrawn];
        let mishaps = [Mishap::None, Mishap::Overruled, Mishap::Forgot];
        let silences = 0..64_u32;
        let cases = (0..27).flat_map(|start| silences.clone().map(move |silent| (start, silent)));
        for ((start, silent), mishap) in cases.flat_map(|case| mishaps.map(|mishap| (case, mishap)))
        {
            let mut hosts = [start % 3, start / 3 % 3, start / 9].map(|state| states[state]);
            let mut is_settled = [false; 3];
            match mishap {
                Mishap::None => {}
                // As in the ledger: an unsettled promotion that is overruled counts as withdrawn.
                Mishap::Overruled if hosts[0] == Vote::Promoted => hosts[0] = Vote::Withdrawn,
                Mishap::Overruled => continue,
                // A host that has withdrawn does not forget it here, because the other hosts may or may not have seen
                // that vote.
                Mishap::Forgot if hosts[0] != Vote::Withdrawn => hosts[0] = Vote::Unknown,
                Mishap::Forgot => continue,
            }
            for round in 0..12 {
                let host = round % 3;
                let is_silent = |round: usize| round < 6 && silent >> (round % 6) & 1 == 1;
                let votes = [1, 2].map(|other| match is_silent(round) {
                    true => Vote::Silent,
                    false => hosts[(host + other) % 3],
                });
                let fate = match hosts[host] {
                    Vote::Open => while_open(&votes, round >= 3),
                    Vote::Promoted if !is_settled[host] => once_promoted(&votes, false),
                    _ => OrphanAction::Wait,
                };
                match fate {
                    OrphanAction::Promote => hosts[host] = Vote::Promoted,
                    OrphanAction::Withdraw => hosts[host] = Vote::Withdrawn,
                    OrphanAction::Settle => is_settled[host] = true,
                    OrphanAction::Wait => {}
                }
            }
            let mut know = hosts.iter().filter(|host| **host != Vote::Unknown);
            let first = know.next().expect("two hosts know of it");
            let what = format!("{start}, {silent}, {mishap:?}: {hosts:?}, {is_settled:?}");
            assert!(know.all(|host| host == first), "{what}");
            assert!(matches!(first, Vote::Promoted | Vote::Withdrawn), "{what}");
        }
    }
}
