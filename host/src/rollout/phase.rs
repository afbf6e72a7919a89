//! The phases of a roll-out, and their order.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::course::Course;
use super::share::TrafficShare;

/// A phase of a roll-out. Later phases are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Phase {
    /// The new version gets copies of requests; only the stable version answers clients.
    Mirroring,
    /// The step with this number, counted from 0: the new version answers its share of the requests.
    Step(usize),
    /// The new version is now the stable one.
    Promoted,
    /// The new version no longer serves.
    Withdrawn,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mirroring => f.write_str("mirroring"),
            Self::Step(step) => write!(f, "step-{step}"),
            Self::Promoted => f.write_str("promoted"),
            Self::Withdrawn => f.write_str("withdrawn"),
        }
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mirroring" => Ok(Self::Mirroring),
            "promoted" => Ok(Self::Promoted),
            "withdrawn" => Ok(Self::Withdrawn),
            _ => text
                .strip_prefix("step-")
                .and_then(|step| step.parse().ok())
                .map(Self::Step)
                .ok_or_else(|| {
                    format!("`{text}` is no phase of a roll-out; write mirroring or step-0")
                }),
        }
    }
}

store_server::written_as_text!(Phase);

impl Phase {
    /// Whether both versions are live in this phase.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Mirroring | Self::Step(_))
    }
}

impl Course {
    /// The first phase of a roll-out.
    pub(crate) fn first(&self) -> Phase {
        match self.mirror {
            Some(_) => Phase::Mirroring,
            None => Phase::Step(0),
        }
    }

    /// The phase after one that was passed. If the course has only mirroring, an operator ends it.
    pub(crate) fn after(&self, phase: Phase) -> Phase {
        match phase {
            Phase::Mirroring if self.steps.is_empty() => Phase::Mirroring,
            Phase::Mirroring => Phase::Step(0),
            Phase::Step(step) if step + 1 < self.steps.len() => Phase::Step(step + 1),
            Phase::Step(_) => Phase::Promoted,
            Phase::Promoted | Phase::Withdrawn => phase,
        }
    }

    /// Whether a phase belongs to this roll-out, and both versions are live in it.
    pub(crate) fn has(&self, phase: Phase) -> bool {
        match phase {
            Phase::Mirroring => self.mirror.is_some(),
            Phase::Step(step) => step < self.steps.len(),
            Phase::Promoted | Phase::Withdrawn => false,
        }
    }

    /// The share of the requests that the new version answers in a phase; `None` if it answers none.
    pub(crate) fn share(&self, phase: Phase) -> Option<TrafficShare> {
        match phase {
            Phase::Step(step) => self.steps.get(step).copied(),
            Phase::Mirroring | Phase::Promoted | Phase::Withdrawn => None,
        }
    }

    /// How long a phase lasts; `None` if it does not end by itself.
    pub(crate) fn lasts(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Mirroring if self.steps.is_empty() => None,
            Phase::Mirroring | Phase::Step(_) => Some(self.step_for),
            Phase::Promoted | Phase::Withdrawn => None,
        }
    }

    /// The name of the phase, in words for operators.
    pub(crate) fn name(&self, phase: Phase) -> String {
        match (phase, self.share(phase), self.mirror) {
            (Phase::Step(step), Some(share), _) => {
                format!(
                    "step {} of {}, {} %",
                    step + 1,
                    self.steps.len(),
                    share.percent()
                )
            }
            (Phase::Mirroring, _, Some(share)) => format!("mirroring {} %", share.percent()),
            _ => phase.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares;
    use super::*;

    fn course(steps: &str, mirror: bool) -> Course {
        Course {
            steps: if steps.is_empty() {
                Vec::new()
            } else {
                shares(steps).expect(steps)
            },
            step_for: Duration::from_secs(30),
            mirror: mirror.then(|| TrafficShare::up_to_all("100").expect("a share")),
            sticky: None,
            when: None,
        }
    }

    fn way(course: &Course) -> Vec<Phase> {
        let mut way = vec![course.first()];
        while way.len() < 10 {
            way.push(course.after(way[way.len() - 1]));
        }
        way.dedup();
        way
    }

    #[test]
    fn a_roll_out_goes_from_step_to_step_and_ends_promoted() {
        use Phase::{Mirroring, Promoted, Step};
        assert_eq!(way(&course("10", false)), [Step(0), Promoted]);
        assert_eq!(
            way(&course("1,5,50", false)),
            [Step(0), Step(1), Step(2), Promoted]
        );
        assert_eq!(
            way(&course("1,5", true)),
            [Mirroring, Step(0), Step(1), Promoted]
        );
        assert_eq!(way(&course("", true)), [Mirroring]);
        let many = way(&course("1,2,3,4,5,6", true));
        assert!(many.len() > 2 && many.is_sorted(), "{many:?}");
    }

    #[test]
    fn an_end_is_an_end() {
        let course = course("1,5", true);
        for end in [Phase::Promoted, Phase::Withdrawn] {
            assert_eq!(course.after(end), end);
            assert!(!end.is_open() && !course.has(end));
            assert_eq!((course.share(end), course.lasts(end)), (None, None));
        }
    }

    #[test]
    fn the_new_version_answers_its_share_in_steps_only() {
        let both = course("1,5", true);
        assert_eq!(both.share(Phase::Mirroring), None);
        assert_eq!(
            both.share(Phase::Step(1)).map(TrafficShare::percent),
            Some(5.0)
        );
        assert_eq!(both.share(Phase::Step(2)), None);
        assert!(both.has(Phase::Step(1)) && !both.has(Phase::Step(2)));
        assert_eq!(both.lasts(Phase::Mirroring), Some(both.step_for));
        assert_eq!(course("", true).lasts(Phase::Mirroring), None);
    }

    #[test]
    fn a_phase_is_read_as_written() {
        for phase in [
            Phase::Mirroring,
            Phase::Step(0),
            Phase::Step(12),
            Phase::Promoted,
            Phase::Withdrawn,
        ] {
            assert_eq!(phase.to_string().parse(), Ok(phase));
        }
        for wrong in ["", "step-", "step--1", "step-x", "Mirroring", "1"] {
            assert!(wrong.parse::<Phase>().is_err(), "{wrong}");
        }
    }
}
