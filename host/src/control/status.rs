//! What serves, and what else is alive.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Control;
use crate::app::{Canary, Slot};
use crate::instance::{Life, Version};
use crate::metrics::Alive;

/// One generation of a component.
struct Row {
    version: Arc<Version>,
    state: &'static str,
    since: SystemTime,
    in_flight: usize,
    share: f64,
}

impl Control {
    /// The answer to `GET /status`.
    pub(crate) fn status(&self) -> Value {
        let app = self.live.load_full();
        let mut ledgers = self.ledgers.lock();
        let components: Vec<Value> = app
            .slots
            .iter()
            .map(|(id, slot)| {
                let ledger = ledgers.entry(id.clone()).or_default();
                let last = ledger.last.as_ref().map(|last| {
                    json!({
                        "generation": last.generation,
                        "result": last.result,
                        "reason": last.reason,
                    })
                });
                let rows = rows(slot, &ledger.draining(), &ledger.kept);
                json!({
                    "component": id,
                    "generations": rows.iter().map(Row::json).collect::<Vec<_>>(),
                    "canary": slot.canary.as_deref().map(trial),
                    "last": last,
                })
            })
            .collect();
        json!({ "components": components })
    }

    /// All metrics, with the generations as they are now.
    ///
    /// # Errors
    /// A metric that can't be written.
    pub(crate) fn render_metrics(&self) -> prometheus::Result<String> {
        let app = self.live.load_full();
        let rows: Vec<(String, Vec<Row>)> = {
            let mut ledgers = self.ledgers.lock();
            // Also those that a reload took out of the app, as long as they drain.
            ledgers
                .iter_mut()
                .map(|(id, ledger)| {
                    let draining = ledger.draining();
                    let rows = match app.slots.get(id) {
                        Some(slot) => rows(slot, &draining, &ledger.kept),
                        None => draining.iter().map(|life| Row::draining(life)).collect(),
                    };
                    (id.clone(), rows)
                })
                .collect()
        };
        let alive = rows.iter().flat_map(|(id, rows)| {
            rows.iter().map(|row| Alive {
                component: id,
                generation: row.version.number,
                state: row.state,
                in_flight: row.in_flight,
            })
        });
        self.metrics
            .swaps
            .show_alive(alive, || self.metrics.render())
    }
}

fn rows(slot: &Slot, draining: &[Arc<Life>], kept: &[super::ledger::Kept]) -> Vec<Row> {
    let share = slot
        .canary
        .as_ref()
        .map_or(0.0, |canary| canary.share.fraction());
    let mut rows = vec![Row::serving(&slot.stable.life, "live", 1.0 - share)];
    if let Some(canary) = &slot.canary {
        rows.push(Row::serving(&canary.generation.life, "canary", share));
    }
    rows.extend(draining.iter().map(|life| Row::draining(life)));
    rows.extend(kept.iter().rev().map(|kept| Row {
        version: kept.version.clone(),
        state: "kept",
        since: kept.since,
        in_flight: 0,
        share: 0.0,
    }));
    rows
}

fn trial(canary: &Canary) -> Value {
    json!({
        "generation": canary.generation.version.number,
        "share": canary.share.fraction(),
        "until": utc(canary.began + canary.lasts),
        "requests": canary.tally.requests(),
        "errors": canary.tally.errors(),
        "p99_ms": canary.tally.p99().map(super::millis),
        "stable_requests": canary.stable_tally.requests(),
        "stable_errors": canary.stable_tally.errors(),
        "stable_p99_ms": canary.stable_tally.p99().map(super::millis),
    })
}

impl Row {
    fn serving(life: &Life, state: &'static str, share: f64) -> Self {
        Self {
            version: life.version.clone(),
            state,
            since: life.since,
            in_flight: life.in_flight(),
            share,
        }
    }

    fn draining(life: &Life) -> Self {
        Self::serving(life, "draining", 0.0)
    }

    fn json(&self) -> Value {
        json!({
            "generation": self.version.number,
            "digest": self.version.digest(),
            "state": self.state,
            "since": utc(self.since),
            "in_flight": self.in_flight,
            "share": self.share,
            "source": self.version.origin.label(),
        })
    }
}

fn utc(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
