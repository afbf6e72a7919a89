//! The flags of `store-host swap` that describe a roll-out.

use std::time::Duration;

use clap::Args;

use super::ClientError;
use crate::config::duration;
use crate::rollout::{Course, RolloutRequest, Sticky, Tester, TrafficShare, shares};

/// How a version is tried before all get it.
#[derive(Clone, Debug, Args)]
pub struct RolloutArgs {
    /// Try it on this share of the component's requests first, as in `10%`
    #[arg(long, value_name = "SHARE", value_parser = TrafficShare::from_percent)]
    pub(crate) canary: Option<TrafficShare>,

    /// How long a canary is tried before it is promoted or withdrawn [default: 30s]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) canary_for: Option<Duration>,

    /// Try it in steps, on a growing share of the requests, as in `1%,5%,25%,50%`; each step is judged as a canary is
    #[arg(long, value_name = "SHARES", value_parser = steps)]
    pub(crate) steps: Option<Steps>,

    /// How long each step lasts [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) step_for: Option<Duration>,

    /// Before the steps, send it copies of this share of the safe requests (GET, HEAD), compare its answers and throw them
    /// away; without steps, go on with that until `promote` or `abort`
    #[arg(long, value_name = "SHARE", value_parser = TrafficShare::up_to_all)]
    pub(crate) mirror: Option<TrafficShare>,

    /// Keep each client on one version; a header (`header:NAME`) or a cookie (`cookie:NAME`) says which client it is
    #[arg(long, value_name = "KIND:NAME", value_parser = str::parse::<Sticky>)]
    pub(crate) sticky: Option<Sticky>,

    /// Give whoever sends this header, as in `x-tester:yes`, the new version; such requests are not counted
    #[arg(long, value_name = "NAME:VALUE", value_parser = str::parse::<Tester>)]
    pub(crate) when: Option<Tester>,
}

/// The shares of all steps.
#[derive(Clone, Debug)]
pub(crate) struct Steps(Vec<TrafficShare>);

fn steps(text: &str) -> Result<Steps, String> {
    shares(text).map(Steps)
}

impl RolloutArgs {
    /// The course that the flags ask for, if any.
    ///
    /// # Errors
    /// The flags contradict one another.
    pub(super) fn course(&self) -> Result<Option<Course>, ClientError> {
        let wish = RolloutRequest {
            canary: self.canary,
            canary_for: self.canary_for,
            steps: self.steps.clone().map(|Steps(steps)| steps),
            step_for: self.step_for,
            mirror: self.mirror,
            sticky: self.sticky.clone(),
            when: self.when.clone(),
        };
        wish.course(|name| format!("--{}", name.replace('_', "-")))
            .map_err(ClientError::Setting)
    }
}

/// A course as query parameters of a swap.
pub(super) fn query(course: &Course) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    let lasts = time(course.step_for);
    match course.steps.as_slice() {
        [] => {}
        [share] => query.extend([("canary", share.to_string()), ("for", lasts)]),
        steps => {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            query.extend([("steps", steps.join(",")), ("step_for", lasts)]);
        }
    }
    let mirror = course.mirror.map(|share| ("mirror", share.to_string()));
    let sticky = course
        .sticky
        .as_ref()
        .map(|sticky| ("sticky", sticky.to_string()));
    let when = course
        .when
        .as_ref()
        .map(|tester| ("when", tester.to_string()));
    query.extend([mirror, sticky, when].into_iter().flatten());
    query
}

/// A duration in one word, such as `1m30s`, as the API expects it; humantime would write two words.
pub(super) fn time(time: Duration) -> String {
    humantime::format_duration(time)
        .to_string()
        .replace(' ', "")
}
