//! The settings of a roll-out, and whether they fit together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::selector::{Sticky, Tester};
use super::share::TrafficShare;
use crate::config::duration;

/// How long a step lasts by default.
const USUAL_STEP: Duration = Duration::from_secs(30);

/// The shortest lease. With a shorter one, hosts would end a roll-out whenever one of them is busy.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// Parses a lease: how long a host goes on without a message from the command that leads a roll-out.
///
/// # Errors
/// The text is not a duration, or the duration is too short.
pub(crate) fn lease(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        lease if lease < SHORTEST_LEASE => Err("must be a second at least".into()),
        lease => Ok(lease),
    }
}

/// The course of a roll-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The shares of the steps, in ascending order; empty if requests are only mirrored.
    pub(crate) steps: Vec<TrafficShare>,
    /// How long each step lasts, and the mirroring before them.
    pub(crate) step_for: Duration,
    /// The share of the safe requests that are copied to the new version before the steps.
    pub(crate) mirror: Option<TrafficShare>,
    pub(crate) sticky: Option<Sticky>,
    /// The testers, who get the new version whatever its share.
    pub(crate) when: Option<Tester>,
}

/// The settings as they were given, before they are checked.
#[derive(Debug, Default)]
pub(crate) struct RolloutRequest {
    pub(crate) canary: Option<TrafficShare>,
    pub(crate) canary_for: Option<Duration>,
    pub(crate) steps: Option<Vec<TrafficShare>>,
    pub(crate) step_for: Option<Duration>,
    pub(crate) mirror: Option<TrafficShare>,
    pub(crate) sticky: Option<Sticky>,
    pub(crate) when: Option<Tester>,
}

impl RolloutRequest {
    /// The course of the roll-out; `None` if no setting asks for one. `name` turns the name of a setting into the
    /// spelling that its author used.
    ///
    /// # Errors
    /// The settings do not fit together; the text names them and says what to do.
    pub(crate) fn course(self, name: impl Fn(&str) -> String) -> Result<Option<Course>, String> {
        let [canary, canary_for, steps, step_for, mirror, sticky, when] = [
            "canary", "for", "steps", "step_for", "mirror", "sticky", "when",
        ]
        .map(name);
        if self.canary.is_some() && self.steps.is_some() {
            return Err(format!(
                "{canary}: a canary is a roll-out of one step; leave it out, or {steps}"
            ));
        }
        if self.canary_for.is_some() && self.canary.is_none() {
            return Err(format!(
                "{canary_for}: needs {canary}, the share of the traffic to try it on; steps have {step_for}"
            ));
        }
        if self.step_for.is_some() && self.steps.is_none() && self.canary.is_some() {
            return Err(format!(
                "{step_for}: is for {steps}; a canary has {canary_for}"
            ));
        }
        if self.step_for.is_some() && self.steps.is_none() {
            return Err(format!(
                "{step_for}: needs {steps}, the shares to go through"
            ));
        }
        let has_steps = self.canary.is_some() || self.steps.is_some();
        if self.sticky.is_some() && !has_steps {
            return Err(format!(
                "{sticky}: needs {steps}, or there is no share to keep to"
            ));
        }
        if self.when.is_some() && !has_steps && self.mirror.is_none() {
            return Err(format!(
                "{when}: needs {steps} or {mirror}, or there is nothing to test"
            ));
        }
        if !has_steps && self.mirror.is_none() {
            return Ok(None);
        }
        Ok(Some(Course {
            steps: self
                .steps
                .unwrap_or_else(|| self.canary.into_iter().collect()),
            step_for: self.step_for.or(self.canary_for).unwrap_or(USUAL_STEP),
            mirror: self.mirror,
            sticky: self.sticky,
            when: self.when,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares;
    use super::*;

    fn share() -> Option<TrafficShare> {
        TrafficShare::from_percent("10").ok()
    }

    fn flag(name: &str) -> String {
        format!("--{}", name.replace('_', "-"))
    }

    #[test]
    fn a_canary_is_a_roll_out_of_one_step() {
        let wish = RolloutRequest {
            canary: share(),
            canary_for: Some(Duration::from_secs(5)),
            ..RolloutRequest::default()
        };
        let course = wish.course(flag).expect("valid").expect("a roll-out");
        assert_eq!(
            (course.steps.len(), course.step_for),
            (1, Duration::from_secs(5))
        );
        assert_eq!(RolloutRequest::default().course(flag), Ok(None));
        let wish = RolloutRequest {
            mirror: share(),
            ..RolloutRequest::default()
        };
        let course = wish.course(flag).expect("valid").expect("a roll-out");
        assert!(course.steps.is_empty());
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let steps = || shares("1,5").ok();
        let second = Some(Duration::from_secs(1));
        for (wish, expected) in [
            (
                RolloutRequest {
                    canary: share(),
                    steps: steps(),
                    ..RolloutRequest::default()
                },
                "--canary: a canary is a roll-out of one step; leave it out, or --steps",
            ),
            (
                RolloutRequest {
                    canary_for: second,
                    ..RolloutRequest::default()
                },
                "--for: needs --canary",
            ),
            (
                RolloutRequest {
                    canary_for: second,
                    steps: steps(),
                    ..RolloutRequest::default()
                },
                "--for: needs --canary",
            ),
            (
                RolloutRequest {
                    step_for: second,
                    ..RolloutRequest::default()
                },
                "--step-for: needs --steps",
            ),
            (
                RolloutRequest {
                    step_for: second,
                    mirror: share(),
                    ..RolloutRequest::default()
                },
                "--step-for: needs --steps",
            ),
            (
                RolloutRequest {
                    step_for: second,
                    canary: share(),
                    ..RolloutRequest::default()
                },
                "--step-for: is for --steps",
            ),
            (
                RolloutRequest {
                    sticky: "header:x".parse().ok(),
                    mirror: share(),
                    ..RolloutRequest::default()
                },
                "--sticky: needs --steps",
            ),
            (
                RolloutRequest {
                    when: "x:y".parse().ok(),
                    ..RolloutRequest::default()
                },
                "--when: needs --steps or --mirror",
            ),
        ] {
            let error = wish.course(flag).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
