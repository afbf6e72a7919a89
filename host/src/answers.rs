//! What the admin interface answers, as `docs/ADMIN.md` describes it: each answer is one type, which `control` makes and
//! `client` reads.
//!
//! Nothing here knows how a change is made or shown. A client may be newer or older than its host, so what an answer has
//! in some cases only is an option, and what it has besides is ignored.

use serde::{Deserialize, Serialize};
use store_server::build::Build;

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
    pub(crate) canary: Option<Trial>,
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
pub(crate) struct Trial {
    /// Of the component's requests, above 0 and below 1.
    pub(crate) share: f64,
    pub(crate) for_ms: u64,
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
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrialStatus {
    pub(crate) generation: u64,
    /// Of the component's requests, above 0 and below 1.
    pub(crate) share: f64,
    /// RFC 3339, UTC.
    pub(crate) until: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// None without requests.
    pub(crate) p99_ms: Option<f64>,
    /// Of the stable generation, in the time of the trial, as the two below.
    pub(crate) stable_requests: u64,
    pub(crate) stable_errors: u64,
    pub(crate) stable_p99_ms: Option<f64>,
    /// What would become of it if the trial ended now: `promote` or `withdraw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) so_far: Option<String>,
    /// Why it would be withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// What came of the latest change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastChange {
    pub(crate) generation: u64,
    /// Such as `swapped`, `promoted` or `withdrawn`.
    pub(crate) result: String,
    /// Why, if it was not an operator's wish.
    pub(crate) reason: Option<String>,
}
