//! The versions that are tried, and the expected outcome of each.

use anyhow::Result;
use testbed::Guest;

/// The components, in the order in which good versions of them are swapped in.
pub(super) const COMPONENTS: [&str; 3] = ["orders", "stocks", "reports"];

/// The component of the bad versions. It serves only GET, so if a canary fails a request, the other generation can
/// serve that request.
const VICTIM: &str = "reports";

/// The query that makes a swap a canary's trial.
const TRIAL: &str = "?canary=10&for=2s";

/// The kinds of versions.
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

/// `count` good versions, of one component after the other.
pub(super) fn good(count: u32) -> impl Iterator<Item = Swap> {
    (0..count).map(|number| Swap {
        number: 100_000 + number,
        component: COMPONENTS[number as usize % COMPONENTS.len()],
        kind: Kind::Good,
    })
}

/// `count` versions. Of ten, five are good, one is good and tried as a canary, and each bad kind has one.
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
    /// The component's file.
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

    /// The query of the upload.
    pub(super) fn query(&self) -> &'static str {
        match self.kind {
            Kind::GoodCanary | Kind::TrappingCanary => TRIAL,
            _ => "",
        }
    }

    /// The possible outcomes. The trial of a good canary compares generations under load and may go either way;
    /// [`super::report`] requires that at least one was promoted.
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
