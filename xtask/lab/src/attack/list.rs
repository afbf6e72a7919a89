//! All attacks, named by the number of the fault that each once showed, and variants of them.

use std::pin::Pin;
use std::sync::Arc;

use super::scene::{NOTHING, Scene};
use super::{admin, backends, bodies, graphql, heads, keys, messages, readers, streams};

/// One attack.
pub(super) struct Attack {
    /// The attack's name. A fault's number, alone or before a dot, selects all attacks of that fault.
    pub(super) name: &'static str,
    /// The documented answers, as [`Scene`] counts them; at least one attempt must get one of them. Attempts that are
    /// still unanswered when the time is over count as [`NOTHING`], which is always allowed. Where [`NOTHING`] is
    /// listed, all attempts may end so: the servers wait for slow clients that keep sending.
    pub(super) told: &'static [&'static str],
    pub(super) run: fn(Arc<Scene>) -> AttackFuture,
}

type AttackFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Attack {
    /// Whether `name` selects the attack; upper and lower case don't matter.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let fault = self.name.split('.').next().unwrap_or_default();
        [self.name, fault]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Each line: a name, the answers that are allowed, and the function that attacks.
macro_rules! attacks {
    ($($name:literal $told:tt $run:path,)*) => {
        &[$(Attack { name: $name, told: &$told, run: |scene| Box::pin($run(scene)) },)*]
    };
}

pub(super) const ATTACKS: &[Attack] = attacks![
    "S1.nested" ["200 with errors"] graphql::nested,
    "S1.dearest" ["200", "429", "503"] graphql::dearest,
    "S1.products" ["200", "429", "503"] graphql::products,
    "S1.deep" ["200 with errors"] graphql::deep,
    "S2.http2" ["408", "429"] bodies::absent,
    "S2.http1" ["408", "429"] bodies::absent_http1,
    "S2.expect" ["408", "429"] bodies::expected,
    "S2.endless" ["408", "429", "GOAWAY"] bodies::endless,
    "S5.commands" ["200, refused within"] backends::commands,
    "S5.script" ["200, refused within", "504"] backends::script,
    "S6" ["200"] backends::rows,
    "S7" ["200 with errors", "429"] graphql::variables,
    "S8.20" ["cut off", "200", NOTHING] readers::twenty,
    "S8.200" ["cut off", "200", "429", "503", NOTHING] readers::two_hundred,
    "S8.windows" ["cut off", NOTHING] readers::windows,
    "S9.lines" ["400", "408", "closed", NOTHING] heads::empty_lines,
    "S9.slow" ["408"] heads::slow,
    "S9.http2" ["408", "closed", "GOAWAY"] heads::slow_http2,
    "S9.connections" ["closed", "429", "503"] heads::connections,
    "S10" ["404"] messages::without_host,
    "S12" ["201", "409"] keys::one_key,
    "S13.host" ["400", "reset"] messages::forged_host,
    "S13.expect" ["417"] messages::unknown_expectation,
    "S13.asterisk" ["400", "reset"] messages::asterisk,
    "S14" ["400", "404"] messages::double_slash,
    "S15" ["400"] messages::quoted,
    "S16.host" ["421"] admin::rebound,
    "S16.token" ["401"] admin::without_token,
    "resets" ["GOAWAY", "closed"] streams::rapid_reset,
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
