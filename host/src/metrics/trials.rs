//! Metrics of trials: canaries, mirrorings and the phases of roll-outs.

use std::time::Duration;

use http::StatusCode;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::Declare;
use super::requests::REQUEST_SECONDS;

/// The classes of the statuses in a trial. No component answers with 1xx.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The values of the label `result` of a copy, which are its outcomes.
const COPIES: [&str; 4] = ["same", "different", "failed", "dropped"];

/// The values of the label `what`: the part in which the answer to a copy differed.
const DIFFERENCES: [&str; 3] = ["status", "header", "body"];

/// The metrics of all trials.
pub(crate) struct TrialVecs {
    requests: IntCounterVec,
    seconds: HistogramVec,
    retries: IntCounterVec,
    share: GaugeVec,
    phases: IntCounterVec,
    copies: IntCounterVec,
    differences: IntCounterVec,
}

impl TrialVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        let component = ["component"];
        Ok(Self {
            requests: declare.counters(
                "store_generation_requests_total",
                "Requests while a canary is tried, by generation and first digit of the status",
                &["component", "generation", "status"],
            )?,
            seconds: declare.histograms(
                "store_generation_request_duration_seconds",
                "Time to the head of an answer while a canary is tried, by generation",
                &REQUEST_SECONDS,
                &["component", "generation"],
            )?,
            retries: declare.counters(
                "store_canary_retries_total",
                "Requests that a canary failed and the stable generation served",
                &component,
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
        self.retries.with_label_values(&[component]);
        self.share.with_label_values(&[component]);
        for result in ["passed", "failed"] {
            self.phases.with_label_values(&[component, result]);
        }
        self.mirror(component);
    }

    /// Shows the share of the requests that a canary gets from now on.
    pub(crate) fn show_share(&self, component: &str, share: f64) {
        self.share.with_label_values(&[component]).set(share);
    }

    /// Counts a phase of a roll-out that was passed.
    pub(crate) fn phase_passed(&self, component: &str) {
        self.phases.with_label_values(&[component, "passed"]).inc();
    }

    /// Counts a phase of a roll-out after which the version was withdrawn.
    pub(crate) fn phase_failed(&self, component: &str) {
        self.phases.with_label_values(&[component, "failed"]).inc();
    }

    /// The series of one mirroring.
    pub(crate) fn mirror(&self, component: &str) -> MirrorMetrics {
        MirrorMetrics {
            copies: COPIES.map(|result| self.copies.with_label_values(&[component, result])),
            differences: DIFFERENCES
                .map(|what| self.differences.with_label_values(&[component, what])),
        }
    }

    pub(crate) fn retried(&self, component: &str) {
        self.retries.with_label_values(&[component]).inc();
    }

    /// The series of one of two live generations, until [`TrialVecs::end_trial`] removes them.
    pub(crate) fn trial(&self, component: &str, generation: &str) -> TrialMetrics {
        TrialMetrics {
            requests: CLASSES.map(|class| {
                self.requests
                    .with_label_values(&[component, generation, class])
            }),
            seconds: self.seconds.with_label_values(&[component, generation]),
        }
    }

    /// Removes the series of a generation. A request that ends later still counts, but is not shown.
    pub(crate) fn end_trial(&self, component: &str, generation: &str) {
        for class in CLASSES {
            _ = self
                .requests
                .remove_label_values(&[component, generation, class]);
        }
        _ = self.seconds.remove_label_values(&[component, generation]);
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
    /// Counts the outcome of a copy, by its index in [`COPIES`].
    pub(crate) fn compared(&self, result: usize) {
        self.copies[result].inc();
    }

    /// Counts a difference, by its index in [`DIFFERENCES`].
    pub(crate) fn differed(&self, what: usize) {
        self.differences[what].inc();
    }
}
