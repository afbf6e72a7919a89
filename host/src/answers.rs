//! What the admin interface answers, as `docs/ADMIN.md` describes it: each answer is one type, which `control` makes and
//! `client` reads.
//!
//! Nothing here knows how a change is made or shown. A client may be newer or older than its host, so what an answer has
//! in some cases only is an option, and what it has besides is ignored.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store_server::build::Build;

use crate::rollout::{Budget, Counts, Phase};

/// The cause of a refusal: nothing is tried that could be promoted or withdrawn.
pub(crate) const NO_CANARY: &str = "no_canary";

/// The cause of a refusal: another change is under way.
pub(crate) const BUSY: &str = "busy";

/// The answer to a swap, a rollback, a promotion or an abort.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) component: String,
    /// The generation that the change was about.
    pub(crate) generation: u64,
    /// SHA-256 of its component, in hexadecimal.
    pub(crate) digest: String,
    /// How long compiling took. After a swap only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_ms: Option<f64>,
    /// After a swap only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<Probe>,
    /// How long the switch itself took.
    pub(crate) switch_us: f64,
    /// The generation that serves no longer. Nothing is replaced while a canary is tried.
    pub(crate) replaced: Option<u64>,
    /// The trial that began.
    pub(crate) canary: Option<TrialTerms>,
    /// Whether a restart finds it again.
    pub(crate) persisted: bool,
}

/// What a component answered to its probe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) elapsed_ms: f64,
}

/// How a canary is tried.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrialTerms {
    /// Of the component's requests, from 0 and below 1: that of the first step, or 0 if requests are mirrored first.
    pub(crate) share: f64,
    /// How long each step lasts.
    pub(crate) for_ms: u64,
    /// The shares of all steps; none if requests are mirrored only.
    #[serde(default)]
    pub(crate) steps: Vec<f64>,
    /// Of the safe requests, the part that is mirrored before the steps.
    #[serde(default)]
    pub(crate) mirror: Option<f64>,
}

/// The answer to whoever leads a roll-out over several hosts: how it stands on this one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RolloutStatus {
    pub(crate) phase: Phase,
    /// Another number each time that counting begins anew.
    pub(crate) run: u64,
    pub(crate) new: Counts,
    pub(crate) stable: Counts,
    /// How much worse the new version may be, as this host was told.
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

/// How long one component took to make its reports anew.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentRefresh {
    pub(crate) component: String,
    pub(crate) elapsed_ms: f64,
}

/// The answer to `GET /status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Which build of the host it is.
    #[serde(flatten)]
    pub(crate) build: Option<Build>,
    pub(crate) components: Vec<ComponentStatus>,
}

/// What serves one component, and what else is alive or kept of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComponentStatus {
    pub(crate) component: String,
    pub(crate) generations: Vec<GenerationStatus>,
    /// The trial that goes on.
    pub(crate) canary: Option<TrialStatus>,
    /// What the other hosts of a roll-out look for.
    #[serde(default)]
    pub(crate) rollout: Option<RolloutMark>,
    /// How the last attempt to change it ended.
    pub(crate) last: Option<LastChange>,
}

/// One generation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GenerationStatus {
    pub(crate) generation: u64,
    /// SHA-256 of its component, in hexadecimal.
    pub(crate) digest: String,
    /// `live`, `canary`, `draining` or `kept`.
    pub(crate) state: String,
    /// RFC 3339, UTC.
    pub(crate) since: String,
    pub(crate) in_flight: usize,
    /// Of the component's requests, from 0 to 1.
    pub(crate) share: f64,
    /// `file` or `upload`.
    pub(crate) source: String,
}

/// How a trial stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TrialStatus {
    pub(crate) generation: u64,
    /// Of the component's requests, from 0 and below 1.
    pub(crate) share: f64,
    /// The shares of all steps; none if requests are mirrored only.
    #[serde(default)]
    pub(crate) steps: Vec<f64>,
    /// The step that goes on, counted from 0; none while requests are mirrored.
    #[serde(default)]
    pub(crate) step: Option<usize>,
    /// RFC 3339, UTC: when the roll-out began, when its step did, and when that is to end; none if somebody ends it.
    #[serde(default)]
    pub(crate) began: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    /// By what clients keep to a version.
    #[serde(default)]
    pub(crate) sticky: Option<String>,
    /// The name of the header that testers send. Its value is for them to know.
    #[serde(default)]
    pub(crate) when: Option<String>,
    /// Whether a command leads it over several hosts, and judges by the counts of all.
    #[serde(default)]
    pub(crate) fleet: bool,
    /// In this step.
    #[serde(flatten)]
    pub(crate) counts: ComparedCounts,
    /// What this host's counts say so far: `good`, `bad` or `too few`; and why.
    #[serde(default)]
    pub(crate) verdict: String,
    #[serde(default)]
    pub(crate) why: String,
    /// The phases before this one, since the host started.
    #[serde(default)]
    pub(crate) passed: Vec<PassedStatus>,
    #[serde(default)]
    pub(crate) mirror: Option<MirrorStatus>,
}

/// What was counted in a phase that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PassedStatus {
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) counts: ComparedCounts,
}

/// Requests of a trial, and those of the stable generation meanwhile. Latencies are none without requests.
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

/// What came of the copies of requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MirrorStatus {
    /// Of the safe requests, above 0 and up to 1.
    pub(crate) share: f64,
    pub(crate) same: u64,
    pub(crate) different: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    /// The last ones, the latest first.
    pub(crate) differences: Vec<DifferenceStatus>,
}

/// A copy that was answered otherwise than its original.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DifferenceStatus {
    /// RFC 3339, UTC.
    pub(crate) at: String,
    pub(crate) method: String,
    /// The route's pattern.
    pub(crate) route: String,
    pub(crate) what: String,
}

/// The roll-out over several hosts that this one was the last to take part in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RolloutMark {
    pub(crate) id: String,
    pub(crate) phase: Phase,
}

/// What came of the latest change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastChange {
    pub(crate) generation: u64,
    /// Such as `swapped`, `promoted` or `withdrawn`.
    pub(crate) result: String,
    /// Why, if it was not an operator's wish.
    pub(crate) reason: Option<String>,
}
