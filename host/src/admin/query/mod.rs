//! Reads the query of a change request.
//!
//! `fleet` puts together what belongs to roll-outs over several hosts. Nothing here makes a change, or reads what
//! serves.

mod fleet;

use std::str::FromStr;
use std::time::Duration;

use http::Request;

use crate::config::{AdminUrl, duration};
use crate::control::{ControlError, TrialPlan};
use crate::rollout::{Phase, RolloutRequest, TrafficShare, lease, shares};

/// The longest id, in characters, of a roll-out over several hosts.
const LONGEST_ID: usize = 64;

/// The query of a change request.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) trial: Option<TrialPlan>,
    pub(super) ephemeral: bool,
    pub(super) generation: Option<u64>,
    /// The id of the roll-out over several hosts that the sender leads.
    pub(super) rollout: Option<String>,
    /// The reason for an abort. `failed` says that the reason is a verdict.
    reason: Option<String>,
    failed: bool,
    phase: Option<Phase>,
    lease: Option<Duration>,
    peers: Option<Vec<String>>,
}

impl Query {
    /// Reads the query of a request for `action`.
    ///
    /// # Errors
    /// The query has a parameter that the action does not know, or an invalid value.
    pub(super) fn of<B>(request: &Request<B>, action: &str) -> Result<Self, ControlError> {
        let (mut query, mut wish) = (Self::default(), RolloutRequest::default());
        let text = request.uri().query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            query
                .set(&mut wish, action, &name, &value)
                .map_err(|reason| ControlError::Malformed(format!("`{name}`: {reason}")))?;
        }
        let course = wish.course(|name| format!("`{name}`"));
        let course = course.map_err(ControlError::Malformed)?;
        if action == "swap" {
            let fleet = query.fleet()?;
            if fleet.is_some() && course.as_ref().is_none_or(|course| course.steps.is_empty()) {
                let reason = "`rollout`: needs `steps`, the shares to go through on all hosts";
                return Err(ControlError::Malformed(reason.into()));
            }
            query.trial = course.map(|course| TrialPlan { course, fleet });
        }
        Ok(query)
    }

    fn set(
        &mut self,
        wish: &mut RolloutRequest,
        action: &str,
        name: &str,
        value: &str,
    ) -> Result<(), String> {
        match (action, name) {
            ("swap", "canary") => wish.canary = Some(TrafficShare::from_percent(value)?),
            ("swap", "for") => wish.canary_for = Some(duration(value)?),
            ("swap", "steps") => wish.steps = Some(shares(value)?),
            ("swap", "step_for") => wish.step_for = Some(duration(value)?),
            ("swap", "mirror") => wish.mirror = Some(TrafficShare::up_to_all(value)?),
            ("swap", "sticky") => wish.sticky = Some(value.parse()?),
            ("swap", "when") => wish.when = Some(value.parse()?),
            ("swap", "peers") => self.peers = Some(peers(value)?),
            ("swap" | "step" | "promote" | "abort" | "settle", "rollout") => {
                self.rollout = Some(rollout(value)?);
            }
            ("swap" | "step", "lease") => self.lease = Some(lease(value)?),
            ("step", "phase") => self.phase = Some(value.parse()?),
            ("abort", "reason") => {
                self.reason = Some(value.chars().filter(|one| !one.is_control()).collect())
            }
            ("abort", "failed") => self.failed = is_true(value)?,
            ("swap", "ephemeral") => self.ephemeral = is_true(value)?,
            ("rollback", "generation") => {
                let number = value.parse();
                self.generation = Some(number.map_err(|_| "must be a number".to_owned())?);
            }
            _ => return Err(format!("is not a parameter of {action}")),
        }
        Ok(())
    }
}

fn rollout(id: &str) -> Result<String, String> {
    let is_plain = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if id.is_empty() || id.len() > LONGEST_ID || !is_plain {
        return Err(format!(
            "must be 1 to {LONGEST_ID} letters, digits and hyphens"
        ));
    }
    Ok(id.to_owned())
}

fn peers(text: &str) -> Result<Vec<String>, String> {
    let urls = text.split(',').filter(|url| !url.is_empty());
    urls.map(|url| AdminUrl::from_str(url).map(|url| url.to_string()))
        .collect()
}

fn is_true(text: &str) -> Result<bool, String> {
    match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn query(action: &str, text: &str) -> Result<Query, String> {
        let request = Request::builder().uri(format!("/components/c/{action}?{text}"));
        let request = request.body(()).expect("a valid request");
        Query::of(&request, action).map_err(|error| error.to_string())
    }

    #[test]
    fn queries_are_read() {
        let read = query("swap", "canary=12.5&for=2m&ephemeral=true").expect("valid");
        let course = read.trial.expect("a trial").course;
        assert_eq!(course.steps[0].fraction(), 0.125);
        assert_eq!(course.step_for, Duration::from_secs(120));
        assert!(read.ephemeral);
        assert_eq!(
            query("rollback", "generation=7").expect("valid").generation,
            Some(7)
        );
        assert!(!query("swap", "").expect("valid").ephemeral);
    }

    #[test]
    fn a_roll_out_in_steps_is_read() {
        let text = "steps=1%25,5&step_for=5s&mirror=100&sticky=cookie:id&when=x-tester:yes";
        let course = query("swap", text)
            .expect("valid")
            .trial
            .expect("a trial")
            .course;
        assert_eq!(course.first(), Phase::Mirroring);
        assert_eq!(course.steps.len(), 2);
        assert_eq!(
            course.sticky.map(|sticky| sticky.to_string()).as_deref(),
            Some("cookie:id")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let share = |text| format!("`canary`: `{text}` is not a percentage above 0 and below 100");
        let unknown = |action, name| format!("`{name}`: is not a parameter of {action}");
        for (action, wrong, reason) in [
            ("swap", "canary=0", share("0")),
            ("swap", "canary=100", share("100")),
            ("swap", "for=2m", "`for`: needs `canary`".into()),
            (
                "swap",
                "canary=5&for=0s",
                "`for`: must be longer than zero".into(),
            ),
            (
                "swap",
                "ephemeral=yes",
                "`ephemeral`: must be true or false".into(),
            ),
            ("swap", "ephemral=true", unknown("swap", "ephemral")),
            ("swap", "generation=7", unknown("swap", "generation")),
            (
                "rollback",
                "generation=x",
                "`generation`: must be a number".into(),
            ),
            ("rollback", "canary=10", unknown("rollback", "canary")),
            ("promote", "generation=7", unknown("promote", "generation")),
            ("swap", "steps=", "`steps`: names no share".into()),
            (
                "swap",
                "steps=5,1",
                "`steps`: 1 is not above the 5% before it".into(),
            ),
            (
                "swap",
                "steps=1,200",
                "`steps`: `200` is not a percentage".into(),
            ),
            (
                "swap",
                "steps=1&step_for=0s",
                "`step_for`: must be longer than zero".into(),
            ),
            (
                "swap",
                "steps=1&step_for=8d",
                "`step_for`: must be a week at most".into(),
            ),
            (
                "swap",
                "steps=1&canary=5",
                "`canary`: a canary is a roll-out of one step".into(),
            ),
            (
                "swap",
                "steps=1&sticky=x",
                "`sticky`: `x` names neither".into(),
            ),
            (
                "swap",
                "steps=1&when=x",
                "`when`: `x` is no header with a value".into(),
            ),
            (
                "swap",
                "mirror=0",
                "`mirror`: `0` is not a percentage above 0 and up to 100".into(),
            ),
            (
                "swap",
                "steps=1&rollout=a",
                "`rollout`, `peers` and `lease`: give all".into(),
            ),
            (
                "swap",
                "mirror=1&rollout=a&peers=&lease=1s",
                "`rollout`: needs `steps`".into(),
            ),
            (
                "swap",
                "steps=1&rollout=a/b",
                "`rollout`: must be 1 to 64".into(),
            ),
            ("step", "phase=never", "`phase`: `never` is no phase".into()),
            (
                "swap",
                "steps=1&rollout=a&peers=&lease=1ms",
                "`lease`: must be a second at least".into(),
            ),
            (
                "step",
                "rollout=a&phase=step-0&lease=999ms",
                "`lease`: must be a second at least".into(),
            ),
            (
                "abort",
                "failed=perhaps",
                "`failed`: must be true or false".into(),
            ),
            (
                "swap",
                "steps=1&when=x:%C3%BC",
                "`when`: `x:ü` has a value that is not ASCII".into(),
            ),
        ] {
            let error = query(action, wrong).expect_err(wrong);
            assert!(error.starts_with(&reason), "{action}?{wrong}: {error}");
        }
    }
}
