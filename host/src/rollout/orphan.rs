//! What a host does whose roll-out nobody leads any more: it asks the others of the roll-out, and they all come to the
//! same end (`docs/adr/0027`).

/// Where the roll-out stands on another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Both versions are live there.
    Open,
    Promoted,
    /// The new version does not serve there, or never did.
    Withdrawn,
    /// It gives no answer.
    Silent,
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It asks again later.
    Wait,
    Promote,
    Withdraw,
    /// Nothing, ever: all came to the same end.
    Settle,
}

/// For a host on which both versions are live. No host takes a leader's word any more when this is asked, so a vote that is
/// neither promoted nor withdrawn will not become one of them by itself. `is_late` after a long time of waiting for
/// hosts that are silent.
pub(crate) fn while_open(votes: &[Vote], is_late: bool) -> Fate {
    if votes.contains(&Vote::Withdrawn) {
        Fate::Withdraw
    } else if votes.contains(&Vote::Promoted) {
        Fate::Promote
    } else if votes.contains(&Vote::Silent) && !is_late {
        // It may have been told to promote.
        Fate::Wait
    } else {
        Fate::Withdraw
    }
}

/// For a host that was told to promote, and was not told that all have.
pub(crate) fn once_promoted(votes: &[Vote]) -> Fate {
    if votes.contains(&Vote::Withdrawn) {
        Fate::Withdraw
    } else if votes.iter().all(|vote| *vote == Vote::Promoted) {
        Fate::Settle
    } else {
        Fate::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTES: [Vote; 4] = [Vote::Open, Vote::Promoted, Vote::Withdrawn, Vote::Silent];

    #[test]
    fn one_that_was_promoted_takes_the_others_along_and_one_withdrawn_all() {
        use Vote::{Open, Promoted, Silent, Withdrawn};
        for (votes, expected) in [
            (&[Open, Open][..], Fate::Withdraw),
            (&[Open, Promoted], Fate::Promote),
            (&[Silent, Promoted], Fate::Promote),
            (&[Promoted, Withdrawn], Fate::Withdraw),
            (&[Open, Silent], Fate::Wait),
            (&[], Fate::Withdraw),
        ] {
            assert_eq!(while_open(votes, false), expected, "{votes:?}");
        }
        assert_eq!(while_open(&[Open, Silent], true), Fate::Withdraw);
        assert_eq!(once_promoted(&[Promoted, Promoted]), Fate::Settle);
        assert_eq!(once_promoted(&[Promoted, Open]), Fate::Wait);
        assert_eq!(once_promoted(&[Silent, Withdrawn]), Fate::Withdraw);
    }

    /// Three hosts in any state, each asked in any order and reached or not: once all reach all, they agree.
    #[test]
    fn all_come_to_the_same_end() {
        let states = [Vote::Open, Vote::Promoted, Vote::Withdrawn];
        for start in 0..27 {
            for silences in 0..64_u32 {
                let mut hosts = [start % 3, start / 3 % 3, start / 9].map(|state| states[state]);
                for round in 0..12 {
                    let host = round % 3;
                    let votes: Vec<Vote> = (1..3)
                        .map(|other| {
                            let is_silent = round < 6 && silences >> (round % 6) & 1 == 1;
                            if is_silent {
                                Vote::Silent
                            } else {
                                hosts[(host + other) % 3]
                            }
                        })
                        .collect();
                    let fate = match hosts[host] {
                        Vote::Open => while_open(&votes, round >= 3),
                        Vote::Promoted => once_promoted(&votes),
                        _ => Fate::Settle,
                    };
                    match fate {
                        Fate::Promote => hosts[host] = Vote::Promoted,
                        Fate::Withdraw => hosts[host] = Vote::Withdrawn,
                        Fate::Wait | Fate::Settle => {}
                    }
                }
                assert!(
                    hosts.iter().all(|host| *host == hosts[0]),
                    "{start}, {silences}: {hosts:?}"
                );
                assert!(VOTES.contains(&hosts[0]) && hosts[0] != Vote::Open);
            }
        }
    }
}
