//! Computes how long clients got no good answer of some kind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Answer, Errand, Try};

/// The longest wait of any client, read at the end of each of its requests between `from` and `until`. A client waits
/// from the start of its first request after its last good answer; a request that succeeds at once counts too.
pub(super) fn longest(
    tries: &[Try],
    errands: &[Errand],
    from: Duration,
    until: Duration,
) -> Duration {
    // The requests of one client are in order.
    let mut waiting: BTreeMap<u32, Duration> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for one in tries.iter().filter(|one| errands.contains(&one.errand)) {
        let began = *waiting.entry(one.client).or_insert(one.began);
        let is_last = one.answer == Answer::Good;
        if (from..until).contains(&one.ended) {
            longest = longest.max(one.ended - began);
        }
        if is_last {
            waiting.remove(&one.client);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(client: u32, began: u64, ended: u64, answer: Answer) -> Try {
        Try {
            client,
            errand: Errand::Stock,
            began: Duration::from_millis(began),
            ended: Duration::from_millis(ended),
            answer,
        }
    }

    #[test]
    fn an_outage_lasts_from_the_first_try_to_the_first_good_answer() {
        let tries = [
            one(1, 0, 5, Answer::Good),
            one(1, 100, 130, Answer::Broken),
            one(2, 110, 125, Answer::Good),
            one(1, 150, 160, Answer::Bad(503)),
            one(1, 180, 200, Answer::Good),
            one(1, 900, 999, Answer::Good),
        ];
        let longest = |from, until| {
            let [from, until] = [from, until].map(Duration::from_millis);
            longest(&tries, &[Errand::Stock], from, until)
        };
        assert_eq!(longest(0, 90), Duration::from_millis(5));
        assert_eq!(longest(90, 500), Duration::from_millis(100));
        assert_eq!(longest(150, 190), Duration::from_millis(60));
        assert_eq!(longest(300, 500), Duration::ZERO);
        assert_eq!(longest(500, 1000), Duration::from_millis(99));
    }
}
