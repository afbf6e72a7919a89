//! What a host does whose roll-out nobody leads any more: it asks the others of the roll-out, and they all come to the
//! same end (`docs/adr/0027`).

/// Where the roll-out stands on another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Both versions are live there.
    Open,
    Promoted,
    /// The new version was taken out of service there.
    Withdrawn,
    /// It knows nothing of it: it never began there, or the host has lost its memory or had another roll-out since.
    Unknown,
    /// It gives no answer.
    Silent,
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanAction {
    /// It asks again later.
    Wait,
    Promote,
    Withdraw,
    /// Nothing, ever: all came to the same end, or nobody will know.
    Settle,
}

/// For a host on which both versions are live. No host takes a leader's word any more when this is asked, so a vote that is
/// neither promoted nor withdrawn will not become one of them by itself. `is_late` after a long time of waiting for
/// hosts that are silent.
pub(crate) fn while_open(votes: &[Vote], is_late: bool) -> OrphanAction {
    if votes.contains(&Vote::Withdrawn) {
        OrphanAction::Withdraw
    } else if votes.contains(&Vote::Promoted) {
        OrphanAction::Promote
    } else if votes.contains(&Vote::Silent) && !votes.contains(&Vote::Unknown) && !is_late {
        // It may have been told to promote, which nobody is before all hosts take part.
        OrphanAction::Wait
    } else {
        OrphanAction::Withdraw
    }
}

/// For a host that was told to promote, and was not told that all have. A host that knows nothing of it is no reason to go
/// back: nobody is told to promote before all hosts take part, so that one has forgotten. `is_late` after so long a time that
/// whoever is silent is not waited for.
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

    /// Three hosts in any state, each asked in any order and reached or not: once all reach all, those that know of the
    /// roll-out agree. One that had promoted may be overruled by a hand, and any may forget.
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
                // As the ledger does: a promotion that is not settled ends as withdrawn.
                Mishap::Overruled if hosts[0] == Vote::Promoted => hosts[0] = Vote::Withdrawn,
                Mishap::Overruled => continue,
                // What a host has forgotten that had withdrawn, the others may have seen or not.
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
