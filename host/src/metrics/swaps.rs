//! Metrics of swaps, generations and canaries.

use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::{Declare, REQUEST_SECONDS};

/// Bounds in seconds for compiling and swapping: milliseconds from the cache, seconds under load.
const SWAP_SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Values of the label `state`.
const STATES: [&str; 4] = ["live", "canary", "draining", "kept"];

/// Statuses of a trial's answers by their first digit. No component answers with 1xx.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Values of the label `result`: a change is made, fails at a step, or is refused.
const RESULTS: [&str; 22] = [
    "swapped",
    "canary",
    "promoted",
    "withdrawn",
    "aborted",
    "rolled-back",
    "settled",
    "stepped",
    "reloaded",
    "receive",
    "digest",
    "signature",
    "compile",
    "link",
    "probe",
    "persist",
    "busy",
    "no_canary",
    "not_kept",
    "malformed",
    "invalid",
    "broken_off",
];

/// Values of the label `result` of a copy: what became of it.
const COPIES: [&str; 4] = ["same", "different", "failed", "dropped"];

/// Values of the label `what`: in what the answer to a copy differed.
const DIFFERENCES: [&str; 3] = ["status", "header", "body"];

/// The metrics of all changes, generations and trials.
pub(crate) struct SwapMetrics {
    swaps: IntCounterVec,
    swap_seconds: HistogramVec,
    compile_seconds: HistogramVec,
    freed: IntCounterVec,
    retries: IntCounterVec,
    alive: Mutex<GenerationVecs>,
    trial_requests: IntCounterVec,
    trial_seconds: HistogramVec,
    share: GaugeVec,
    phases: IntCounterVec,
    copies: IntCounterVec,
    differences: IntCounterVec,
}

/// Written anew at each scrape, from what is alive then, so that no series outlives its generation.
struct GenerationVecs {
    generations: IntGaugeVec,
    in_flight: IntGaugeVec,
}

/// One generation as a scrape shows it.
pub(crate) struct GenerationRow<'a> {
    pub(crate) component: &'a str,
    pub(crate) generation: u64,
    pub(crate) state: &'a str,
    pub(crate) in_flight: usize,
}

impl SwapMetrics {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        let component = ["component"];
        let generation = ["component", "generation"];
        Ok(Self {
            swaps: declare.counters(
                "store_component_swaps_total",
                "Changes of a component that were tried: what came of them, or the step that failed",
                &["component", "result"],
            )?,
            swap_seconds: declare.histograms(
                "store_component_swap_duration_seconds",
                "Time from a component's receipt to its first request",
                &SWAP_SECONDS,
                &component,
            )?,
            compile_seconds: declare.histograms(
                "store_component_compile_duration_seconds",
                "Time of compiling a component, on a thread of the lowest priority",
                &SWAP_SECONDS,
                &component,
            )?,
            freed: declare.counters(
                "store_component_generations_freed_total",
                "Generations whose last instance and request are gone",
                &component,
            )?,
            retries: declare.counters(
                "store_canary_retries_total",
                "Requests that a canary failed and the stable generation served",
                &component,
            )?,
            alive: Mutex::new(GenerationVecs {
                generations: declare.gauges(
                    "store_component_generations",
                    "Generations by state: live, canary, draining or kept",
                    &["component", "state"],
                )?,
                in_flight: declare.gauges(
                    "store_generation_requests_in_flight",
                    "Requests not fully answered, by generation",
                    &generation,
                )?,
            }),
            trial_requests: declare.counters(
                "store_generation_requests_total",
                "Requests while a canary is tried, by generation and first digit of the status",
                &["component", "generation", "status"],
            )?,
            trial_seconds: declare.histograms(
                "store_generation_request_duration_seconds",
                "Time to the head of an answer while a canary is tried, by generation",
                &REQUEST_SECONDS,
                &generation,
            )?,
            share: declare.ratios(
                "store_canary_share_ratio",
                "Share of the component's requests that a canary answers; 0 without one, or while it gets copies only",
                &component,
            )?,
            phases: declare.counters(
                "store_rollout_phases_total",
                "Phases of roll-outs (mirroring, steps) by what came of them",
                &["component", "result"],
            )?,
            copies: declare.counters(
                "store_mirrored_requests_total",
                "Copies of requests for a version on trial: same, different, failed or dropped",
                &["component", "result"],
            )?,
            differences: declare.counters(
                "store_mirror_differences_total",
                "Copies that were answered differently, by the first thing that differed",
                &["component", "what"],
            )?,
        })
    }

    pub(super) fn announce(&self, component: &str) {
        for result in RESULTS {
            self.swaps.with_label_values(&[component, result]);
        }
        self.freed.with_label_values(&[component]);
        self.retries.with_label_values(&[component]);
        self.share.with_label_values(&[component]);
        for result in ["passed", "failed"] {
            self.phases.with_label_values(&[component, result]);
        }
        self.mirror(component);
    }

    /// Shows what a canary answers from now on.
    pub(crate) fn show_share(&self, component: &str, share: f64) {
        self.share.with_label_values(&[component]).set(share);
    }

    /// Counts a phase of a roll-out that was passed, or was not.
    pub(crate) fn judged(&self, component: &str, has_passed: bool) {
        let result = if has_passed { "passed" } else { "failed" };
        self.phases.with_label_values(&[component, result]).inc();
    }

    /// The series of a mirroring.
    pub(crate) fn mirror(&self, component: &str) -> MirrorMetrics {
        MirrorMetrics {
            copies: COPIES.map(|result| self.copies.with_label_values(&[component, result])),
            differences: DIFFERENCES
                .map(|what| self.differences.with_label_values(&[component, what])),
        }
    }

    /// Counts what came of a change.
    pub(crate) fn tried(&self, component: &str, result: &str) {
        self.swaps.with_label_values(&[component, result]).inc();
    }

    pub(crate) fn swapped(&self, component: &str, took: Duration) {
        self.swap_seconds
            .with_label_values(&[component])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn compiled(&self, component: &str, took: Duration) {
        self.compile_seconds
            .with_label_values(&[component])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn freed(&self, component: &str) {
        self.freed.with_label_values(&[component]).inc();
    }

    pub(crate) fn retried(&self, component: &str) {
        self.retries.with_label_values(&[component]).inc();
    }

    /// Replaces the gauges of all generations, and calls `then` before anyone else can.
    pub(crate) fn show_alive<'a, R>(
        &self,
        alive: impl Iterator<Item = GenerationRow<'a>>,
        then: impl FnOnce() -> R,
    ) -> R {
        let vecs = self.alive.lock();
        vecs.generations.reset();
        vecs.in_flight.reset();
        for one in alive {
            for state in STATES {
                let here = i64::from(state == one.state);
                let gauge = vecs.generations.with_label_values(&[one.component, state]);
                gauge.add(here);
            }
            if one.state != "kept" {
                vecs.in_flight
                    .with_label_values(&[one.component, &one.generation.to_string()])
                    .add(i64::try_from(one.in_flight).unwrap_or(i64::MAX));
            }
        }
        then()
    }

    /// What one of two live generations counts until [`SwapMetrics::end_trial`].
    pub(crate) fn trial(&self, component: &str, generation: &str) -> TrialMetrics {
        TrialMetrics {
            requests: CLASSES.map(|class| {
                self.trial_requests
                    .with_label_values(&[component, generation, class])
            }),
            seconds: self
                .trial_seconds
                .with_label_values(&[component, generation]),
        }
    }

    /// Takes the series of a generation away. A request that still counts does so unseen.
    pub(crate) fn end_trial(&self, component: &str, generation: &str) {
        for class in CLASSES {
            _ = self
                .trial_requests
                .remove_label_values(&[component, generation, class]);
        }
        _ = self
            .trial_seconds
            .remove_label_values(&[component, generation]);
    }
}

/// The series of one generation while two are live.
pub(crate) struct TrialMetrics {
    requests: [IntCounter; CLASSES.len()],
    seconds: Histogram,
}

impl TrialMetrics {
    pub(crate) fn record(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        self.requests[class.min(CLASSES.len() - 1)].inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The series of one mirroring.
pub(crate) struct MirrorMetrics {
    copies: [IntCounter; COPIES.len()],
    differences: [IntCounter; DIFFERENCES.len()],
}

impl MirrorMetrics {
    /// Counts what became of a copy, by its place in [`COPIES`].
    pub(crate) fn compared(&self, result: usize) {
        self.copies[result].inc();
    }

    /// Counts a difference, by its place in [`DIFFERENCES`].
    pub(crate) fn differed(&self, what: usize) {
        self.differences[what].inc();
    }
}
