//! Metrics of changes of components, and of the generations that are alive.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use super::Declare;

/// The bucket bounds for compiling and swapping, in seconds: milliseconds with a cache hit, seconds under load.
const SWAP_SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The values of the label `state`.
const STATES: [&str; 4] = ["live", "canary", "draining", "kept"];

/// The values of the label `result`: the change that was made, the step that failed, or the reason for a refusal.
const RESULTS: [&str; 21] = [
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
    "broken_off",
];

/// The metrics of all changes and generations.
pub(crate) struct SwapMetrics {
    swaps: IntCounterVec,
    swap_seconds: HistogramVec,
    compile_seconds: HistogramVec,
    freed: IntCounterVec,
    alive: Mutex<GenerationVecs>,
}

/// Written anew at each scrape, so that no series outlives its generation.
struct GenerationVecs {
    generations: IntGaugeVec,
    in_flight: IntGaugeVec,
}

/// One generation in a scrape.
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
        })
    }

    pub(super) fn announce(&self, component: &str) {
        for result in RESULTS {
            self.swaps.with_label_values(&[component, result]);
        }
        self.freed.with_label_values(&[component]);
    }

    /// Counts the outcome of a change.
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

    /// Replaces the gauges of all generations, and calls `then` before any other caller can replace them.
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
}
