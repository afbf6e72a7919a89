//! What serves and what else is alive, for the status and for the metrics.

use std::sync::Arc;
use std::time::SystemTime;

use store_server::build::Build;
use store_server::metrics::Format;

use super::Control;
use super::ledger::KeptVersion;
use super::rollout_record::RolloutRecord;
use crate::answers::{ComponentStatus, GenerationStatus, Status};
use crate::app::{Canary, Slot};
use crate::instance::{GenerationLife, Version};
use crate::metrics::GenerationRow;

impl Control {
    /// The status of the app.
    pub(crate) fn status(&self) -> Status {
        let app = self.live.load_full();
        let mut ledgers = self.ledgers.lock();
        let components = app.slots.iter().map(|(id, slot)| {
            let ledger = ledgers.entry(id.clone()).or_default();
            ComponentStatus {
                component: id.clone(),
                generations: generations(slot, &ledger.draining(), &ledger.kept),
                canary: slot
                    .canary
                    .as_deref()
                    .map(|canary| self.trial(canary, ledger)),
                rollout: ledger.rollout.as_ref().and_then(RolloutRecord::mark),
                last: ledger.last.clone(),
            }
        });
        Status {
            build: Some(Build::this()),
            components: components.collect(),
            signalled_reload: self.signalled_reload.lock().clone(),
        }
    }

    /// All metrics in the scraper's format, with the generations as they are now.
    ///
    /// # Errors
    /// A metric can't be written as text.
    pub(crate) fn render_metrics(&self, format: Format) -> prometheus::Result<String> {
        let app = self.live.load_full();
        let alive: Vec<(String, Vec<GenerationStatus>)> = {
            let mut ledgers = self.ledgers.lock();
            // Components that a reload took out of the app are shown as long as they drain.
            ledgers
                .iter_mut()
                .map(|(id, ledger)| {
                    let draining = ledger.draining();
                    let generations = match app.slots.get(id) {
                        Some(slot) => generations(slot, &draining, &ledger.kept),
                        None => draining.iter().map(|life| drains(life)).collect(),
                    };
                    (id.clone(), generations)
                })
                .collect()
        };
        let rows = alive.iter().flat_map(|(id, generations)| {
            generations.iter().map(|one| GenerationRow {
                component: id,
                generation: one.generation,
                state: &one.state,
                in_flight: one.in_flight,
            })
        });
        self.metrics
            .swaps
            .show_alive(rows, || self.metrics.render(format))
    }
}

/// The generation that serves, the canary, the generations that drain, and the kept versions, the latest first.
fn generations(
    slot: &Slot,
    draining: &[Arc<GenerationLife>],
    kept: &[KeptVersion],
) -> Vec<GenerationStatus> {
    let canary = slot.canary.as_deref();
    let share = canary.map_or(0.0, Canary::share);
    let mut all = vec![has_instances(&slot.stable.life, "live", 1.0 - share)];
    all.extend(canary.map(|canary| has_instances(&canary.generation().life, "canary", share)));
    all.extend(draining.iter().map(|life| drains(life)));
    let kept = kept.iter().rev();
    all.extend(kept.map(|kept| generation(&kept.version, "kept", kept.since)));
    all
}

fn generation(version: &Version, state: &str, since: SystemTime) -> GenerationStatus {
    GenerationStatus {
        generation: version.number,
        digest: version.digest().to_owned(),
        state: state.to_owned(),
        since: utc(since),
        in_flight: 0,
        share: 0.0,
        source: version.origin.label().to_owned(),
    }
}

fn has_instances(life: &GenerationLife, state: &str, share: f64) -> GenerationStatus {
    GenerationStatus {
        in_flight: life.in_flight(),
        share,
        ..generation(&life.version, state, life.since)
    }
}

fn drains(life: &GenerationLife) -> GenerationStatus {
    has_instances(life, "draining", 0.0)
}

pub(super) fn utc(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
