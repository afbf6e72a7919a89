//! Which versions are tried, and how each must end.

use anyhow::Result;
use testbed::Guest;

/// The components, in the order in which good versions of them come.
pub(super) const COMPONENTS: [&str; 3] = ["orders", "stocks", "reports"];

/// The one that the bad versions are for. It serves only GET, so that a request which a canary fails can be served by
/// the other generation.
const VICTIM: &str = "reports";

/// The trial of a canary.
const TRIAL: &str = "?canary=10&for=2s";

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    GoodCanary,
    Garbage,
    MissingImport,
    FailingProbe,
    TrappingCanary,
}

/// One swap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swap {
    pub(super) number: u32,
    pub(super) component: &'static str,
    pub(super) kind: Kind,
}

/// `count` good versions, one component after the other.
pub(super) fn good(count: u32) -> impl Iterator<Item = Swap> {
    (0..count).map(|number| Swap {
        number: 100_000 + number,
        component: COMPONENTS[number as usize % COMPONENTS.len()],
        kind: Kind::Good,
    })
}

/// `count` versions: of ten, five good, one good one tried as a canary, and one of each bad kind.
pub(super) fn mixed(count: u32) -> impl Iterator<Item = Swap> {
    (0..count).map(|number| {
        let (kind, component) = match number % 10 {
            1 => (Kind::Garbage, VICTIM),
            3 => (Kind::MissingImport, VICTIM),
            5 => (Kind::FailingProbe, VICTIM),
            7 => (Kind::TrappingCanary, VICTIM),
            9 => (Kind::GoodCanary, VICTIM),
            even => (
                Kind::Good,
                COMPONENTS[(number / 10 + even / 2) as usize % COMPONENTS.len()],
            ),
        };
        Swap {
            number,
            component,
            kind,
        }
    })
}

impl Swap {
    /// The file.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let label = format!("swap {}", self.number);
        let guest =
            |mode: &str| Ok::<_, anyhow::Error>(Guest::test()?.mode(mode)?.labelled(&label));
        let version = match self.kind {
            Kind::Good | Kind::GoodCanary => Guest::built(self.component)?.labelled(&label),
            Kind::Garbage => return Ok(label.into_bytes()),
            Kind::MissingImport => Guest::built(self.component)?
                .missing_import()
                .labelled(&label),
            Kind::FailingProbe => guest("trap-on-probe")?,
            Kind::TrappingCanary => guest("trap-unless-probe")?,
        };
        Ok(version.into_bytes())
    }

    /// What is asked for beside the file.
    pub(super) fn query(&self) -> &'static str {
        match self.kind {
            Kind::GoodCanary | Kind::TrappingCanary => TRIAL,
            _ => "",
        }
    }

    /// What may become of it. The trial of a good canary is a comparison under load, and may go either way; [`super::report`] asks for one that was promoted.
    pub(super) fn expected(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Good => &["swapped"],
            Kind::GoodCanary => &["promoted", "withdrawn"],
            Kind::Garbage => &["refused: compile"],
            Kind::MissingImport => &["refused: link"],
            Kind::FailingProbe => &["refused: probe"],
            Kind::TrappingCanary => &["withdrawn"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_swaps_have_every_kind_and_every_component() {
        let plan: Vec<Swap> = mixed(100).collect();
        let count = |kind| plan.iter().filter(|swap| swap.kind == kind).count();
        assert_eq!(count(Kind::Good), 50);
        for kind in [
            Kind::GoodCanary,
            Kind::Garbage,
            Kind::MissingImport,
            Kind::FailingProbe,
            Kind::TrappingCanary,
        ] {
            assert_eq!(count(kind), 10, "{kind:?}");
        }
        for component in COMPONENTS {
            let good = |swap: &&Swap| swap.kind == Kind::Good && swap.component == component;
            assert!(plan.iter().filter(good).count() >= 16, "{component}");
        }
    }
}
