//! All attacks, named by the number of the fault that each once showed, and variants of them.

use super::scene::{MakeAttempt, NOTHING};
use super::{admin, backends, bodies, graphql, heads, keys, messages, readers, streams};

/// One attack.
pub(super) struct Attack {
    /// The attack's name. A fault's number, alone or before a dot, selects all attacks of that fault.
    pub(super) name: &'static str,
    /// The documented answers, as the scene counts them; at least one attempt must get one of them. Attempts that are
    /// still unanswered when the time is over count as [`NOTHING`], which is always allowed. Where [`NOTHING`] is
    /// listed, all attempts may end so: the servers wait for slow clients that keep sending.
    pub(super) told: &'static [&'static str],
    /// How many attackers make attempts at the same time.
    pub(super) attackers: usize,
    pub(super) attempt: MakeAttempt,
}

/// A quarter of the requests that one instance handles at once.
const QUARTER: usize = 16;

/// Enough to be noticed; their number alone is no load.
const FEW: usize = 8;

impl Attack {
    /// Whether `name` selects the attack; upper and lower case don't matter.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let fault = self.name.split('.').next().unwrap_or_default();
        [self.name, fault]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Each line: a name, the number of attackers, the answers that are allowed, and the function that makes an attempt.
macro_rules! attacks {
    ($($name:literal $attackers:tt $told:tt $attempt:path,)*) => {
        &[$(Attack {
            name: $name,
            told: &$told,
            attackers: $attackers,
            attempt: |scene| Box::pin($attempt(scene)),
        },)*]
    };
}

pub(super) const ATTACKS: &[Attack] = attacks![
    "S1.nested" QUARTER ["200 with errors"] graphql::nested,
    "S1.dearest" QUARTER ["200", "429", "503"] graphql::dearest,
    "S1.products" QUARTER ["200", "429", "503"] graphql::products,
    "S1.deep" QUARTER ["200 with errors"] graphql::deep,
    "S2.http2" 13 ["408", "429"] bodies::absent,
    "S2.http1" 400 ["408", "429"] bodies::absent_http1,
    "S2.expect" 400 ["408", "429"] bodies::expected,
    "S2.endless" 20 ["408", "429", "GOAWAY"] bodies::endless,
    "S5.commands" 8 ["200, refused within"] backends::commands,
    "S5.script" 1 ["200, refused within", "504"] backends::script,
    "S6" 2 ["200"] backends::rows,
    "S7" QUARTER ["200 with errors", "429"] graphql::variables,
    "S8.20" 20 ["cut off", "200", NOTHING] readers::slow,
    "S8.200" 200 ["cut off", "200", "429", "503", NOTHING] readers::slow,
    "S8.windows" 20 ["cut off", NOTHING] readers::windows,
    "S9.lines" 200 ["400", "408", "closed", NOTHING] heads::empty_lines,
    "S9.slow" 400 ["408"] heads::slow,
    "S9.http2" 100 ["408", "closed", "GOAWAY"] heads::slow_http2,
    "S9.connections" 1_500 ["closed", "429", "503"] heads::connections,
    "S10" FEW ["404"] messages::without_host,
    "S12" 16 ["201", "409"] keys::one_key,
    "S13.host" FEW ["400", "reset"] messages::forged_host,
    "S13.expect" FEW ["417"] messages::unknown_expectation,
    "S13.asterisk" FEW ["400", "reset"] messages::asterisk,
    "S14" FEW ["400", "404"] messages::double_slash,
    "S15" FEW ["400"] messages::quoted,
    "S16.host" 8 ["421"] admin::rebound,
    "S16.token" 8 ["401"] admin::without_token,
    "resets" 8 ["GOAWAY", "closed"] streams::rapid_reset,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ATTACKS;

    #[test]
    fn names_are_distinct_and_a_fault_calls_all_of_its_own() {
        let names: HashSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ATTACKS.len());
        let called = |name| {
            ATTACKS
                .iter()
                .filter(|attack| attack.is_called(name))
                .count()
        };
        assert_eq!((called("s1"), called("S1.deep"), called("S")), (4, 1, 0));
    }
}
