//! The answers of the admin interface, which `docs/ADMIN.md` describes. Each answer is one type, which `control` makes
//! and `client` reads.
//!
//! Nothing here knows how a change is made or shown. A client may be newer or older than its host. So fields that are
//! not always sent are options, and unknown fields are ignored.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store_server::build::Build;

use crate::rollout::{Budget, Counts, Phase};

/// The cause of a refusal: there is no canary to promote or withdraw.
pub(crate) const NO_CANARY: &str = "no_canary";

/// The cause of a refusal: another change is under way.
pub(crate) const BUSY: &str = "busy";

/// The answer to a swap, a rollback, a promotion or an abort.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) component: String,
    /// The generation that the change was about.
    pub(crate) generation: u64,
    /// The SHA-256 digest of its component, in hexadecimal.
    pub(crate) digest: String,
    /// How long compiling took; only after a swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_ms: Option<f64>,
    /// The result of the probe; only after a swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<Probe>,
    /// How long the switch itself took, in microseconds.
    pub(crate) switch_us: f64,
    /// The generation that no longer serves. `None` while a canary is tried, because nothing is replaced then.
    pub(crate) replaced: Option<u64>,
    /// The terms of the trial that has begun.
    pub(crate) canary: Option<TrialTerms>,
    /// Whether the host serves this version after a restart too.
    pub(crate) persisted: bool,
}

/// A component's answer to its probe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) elapsed_ms: f64,
}

/// The terms on which a canary is tried.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrialTerms {
    /// The first step's share of the component's requests, from 0 and below 1; 0 if requests are mirrored first.
    pub(crate) share: f64,
    /// How long each step lasts, in milliseconds.
    pub(crate) for_ms: u64,
    /// The shares of all steps; empty if requests are only mirrored.
    #[serde(default)]
    pub(crate) steps: Vec<f64>,
    /// The share of the safe requests that are mirrored before the steps.
    #[serde(default)]
    pub(crate) mirror: Option<f64>,
}

/// The answer to the command that leads a roll-out over several hosts: the state of the roll-out on this host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RolloutStatus {
    pub(crate) phase: Phase,
    /// A number that is different each time that counting begins anew.
    pub(crate) run: u64,
    pub(crate) new: Counts,
    pub(crate) stable: Counts,
    /// How much worse the new version may be, by the settings of this host.
    pub(crate) budget: Budget,
}

/// The answer to a reload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reload {
    pub(crate) components: Vec<String>,
    pub(crate) routes: usize,
    pub(crate) elapsed_ms: f64,
}

/// The answer to a refresh.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refresh {
    pub(crate) components: Vec<ComponentRefresh>,
}

/// How long one component took to rebuild its reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentRefresh {
    pub(crate) component: String,
    pub(crate) elapsed_ms: f64,
}

/// The answer to `GET /status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The build of the host.
    #[serde(flatten)]
    pub(crate) build: Option<Build>,
    pub(crate) components: Vec<ComponentStatus>,
    /// The last reload that a signal asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signalled_reload: Option<SignalledReload>,
}

/// A reload that a signal asked for. A signal has no answer, so whoever sent it looks here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SignalledReload {
    /// Its number among those that have begun, counted from 1.
    pub(crate) number: u64,
    /// Whether it has not ended yet.
    #[serde(default)]
    pub(crate) is_running: bool,
    /// Why nothing was changed; `None` if the app was reloaded or the reload is running.
    pub(crate) refusal: Option<String>,
}

/// What serves one component, and what else of it is alive or kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentStatus {
    pub(crate) component: String,
    pub(crate) generations: Vec<GenerationStatus>,
    /// The trial that is under way.
    pub(crate) canary: Option<TrialStatus>,
    /// The state of the roll-out for its other hosts.
    #[serde(default)]
    pub(crate) rollout: Option<RolloutMark>,
    /// The outcome of the last attempt to change the component.
    pub(crate) last: Option<LastChange>,
}

/// One generation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GenerationStatus {
    pub(crate) generation: u64,
    /// The SHA-256 digest of its component, in hexadecimal.
    pub(crate) digest: String,
    /// `live`, `canary`, `draining` or `kept`.
    pub(crate) state: String,
    /// Since when it has been in this state: RFC 3339, in UTC.
    pub(crate) since: String,
    pub(crate) in_flight: usize,
    /// Its share of the component's requests, from 0 to 1.
    pub(crate) share: f64,
    /// `file` or `upload`.
    pub(crate) source: String,
}

/// The state of a trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TrialStatus {
    pub(crate) generation: u64,
    /// The canary's share of the component's requests, from 0 and below 1.
    pub(crate) share: f64,
    /// The shares of all steps; empty if requests are only mirrored.
    #[serde(default)]
    pub(crate) steps: Vec<f64>,
    /// The present step, counted from 0; `None` while requests are mirrored.
    #[serde(default)]
    pub(crate) step: Option<usize>,
    /// When the roll-out began, when its present step began, and when that step ends: RFC 3339, in UTC. `until` is
    /// `None` if the step does not end by itself.
    #[serde(default)]
    pub(crate) began: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    /// What identifies clients that keep to a version.
    #[serde(default)]
    pub(crate) sticky: Option<String>,
    /// The name of the header that testers send. Its value is not shown, because only testers should know it.
    #[serde(default)]
    pub(crate) when: Option<String>,
    /// Whether a command leads the roll-out over several hosts, and judges by the counts of all.
    #[serde(default)]
    pub(crate) fleet: bool,
    /// The counts of the present step.
    #[serde(flatten)]
    pub(crate) counts: ComparedCounts,
    /// What follows from this host's counts so far: `good`, `bad` or `too few`. `why` is the reason in words.
    #[serde(default)]
    pub(crate) verdict: String,
    #[serde(default)]
    pub(crate) why: String,
    /// The passed phases, as far as they ended after the host's start.
    #[serde(default)]
    pub(crate) passed: Vec<PassedStatus>,
    #[serde(default)]
    pub(crate) mirror: Option<MirrorStatus>,
}

/// The counts of a phase that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PassedStatus {
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) counts: ComparedCounts,
}

/// The requests of a trial, and those of the stable generation in the same time. Latencies are `None` without requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ComparedCounts {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) stable_requests: u64,
    pub(crate) stable_errors: u64,
    pub(crate) stable_p50_ms: Option<f64>,
    pub(crate) stable_p99_ms: Option<f64>,
}

impl ComparedCounts {
    pub(crate) fn of(new: &Counts, stable: &Counts) -> Self {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            requests: new.requests,
            errors: new.errors,
            p50_ms: new.p50().map(millis),
            p99_ms: new.p99().map(millis),
            stable_requests: stable.requests,
            stable_errors: stable.errors,
            stable_p50_ms: stable.p50().map(millis),
            stable_p99_ms: stable.p99().map(millis),
        }
    }
}

/// The outcomes of mirrored requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MirrorStatus {
    /// The share of the safe requests that are mirrored, above 0 and up to 1.
    pub(crate) share: f64,
    pub(crate) same: u64,
    pub(crate) different: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    /// The last differences, the latest first.
    pub(crate) differences: Vec<DifferenceStatus>,
}

/// A copy whose answer differed from that of its original.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DifferenceStatus {
    /// When the difference was found: RFC 3339, in UTC.
    pub(crate) at: String,
    pub(crate) method: String,
    /// The pattern of the route.
    pub(crate) route: String,
    pub(crate) what: String,
}

/// The last roll-out over several hosts in which this host took part.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RolloutMark {
    pub(crate) id: String,
    pub(crate) phase: Phase,
}

/// The outcome of the latest change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastChange {
    pub(crate) generation: u64,
    /// A word such as `swapped`, `promoted` or `withdrawn`.
    pub(crate) result: String,
    /// The reason, if the change was not an operator's wish.
    pub(crate) reason: Option<String>,
}
