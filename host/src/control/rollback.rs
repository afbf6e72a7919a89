//! Rollback: a generation that served before serves again.

use std::sync::Arc;
use std::time::Duration;

use store_server::trace::{Kind, Trace};

use super::drain::discard;
use super::error::Step;
use super::ledger::Ledger;
use super::probe;
use super::{Control, ControlError, Initiator, change_of, micros, traced};
use crate::answers::Change;
use crate::app::Slot;
use crate::instance::{Generation, Version};

/// The longest time for the probe of a version that served with other settings. It is short because a rollback is
/// urgent.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

impl Control {
    /// Lets a kept version serve again: the generation `wanted`, or else the last one that served among those older
    /// than the present one.
    ///
    /// # Errors
    /// The version is not kept or fails its probe with the present settings, or another change is under way.
    pub(crate) async fn rollback(
        &self,
        id: &str,
        wanted: Option<u64>,
        peer: &Initiator,
    ) -> Result<Change, ControlError> {
        let outcome = self.try_rollback(id, wanted).await;
        self.audited(peer, "rollback", id, None, outcome)
    }

    async fn try_rollback(
        &self,
        id: &str,
        wanted: Option<u64>,
    ) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        if slot.canary.is_some() {
            return Err(ControlError::OnTrial(id.to_owned()));
        }
        self.roll_back(id, &slot, wanted).await
    }

    /// Rolls back for a caller that has the claim to the component. There must be no canary in `slot`.
    pub(super) async fn roll_back(
        &self,
        id: &str,
        slot: &Slot,
        wanted: Option<u64>,
    ) -> Result<(&'static str, Change), ControlError> {
        let live = slot.stable.version.number;
        let found = {
            let mut ledgers = self.ledgers.lock();
            find(ledgers.entry(id.to_owned()).or_default(), live, wanted)
        };
        let (version, is_tried) = found.map_err(|kept| ControlError::NotKept {
            component: id.to_owned(),
            wanted: wanted.map_or_else(
                || format!("generation before {live}"),
                |wanted| format!("generation {wanted}"),
            ),
            kept,
        })?;
        let generation = Generation::new(version, slot.stable.context.clone());
        let root = self.change_span("rollback", &generation);
        let fit = match is_tried {
            true => Ok(()),
            false => ask_again(&generation, root.inside()).await,
        };
        let outcome = fit.and_then(|()| self.serve_again(id, generation, root.inside()));
        traced(root, outcome)
    }

    /// Makes a generation of a kept version the one that serves.
    fn serve_again(
        &self,
        id: &str,
        generation: Arc<Generation>,
        trace: &Trace,
    ) -> Result<(&'static str, Change), ControlError> {
        let _switching = trace.span("switch", Kind::Internal);
        let version = generation.version.clone();
        let file_digest = self.file_digest_now(id);
        let persisted = self
            .record(id, &version, file_digest.as_deref())
            .inspect_err(|_| discard(&generation))?;
        let switch = self.serve_with(id, generation, file_digest);
        let result = "rolled-back";
        self.note(id, version.number, result, None);
        let change = Change {
            switch_us: micros(switch.took),
            replaced: switch.replaced,
            persisted,
            ..change_of(id, &version)
        };
        Ok((result, change))
    }
}

/// Probes the version again, because a reload or a restart may have changed the settings since it last served.
async fn ask_again(generation: &Generation, trace: &Trace) -> Result<(), ControlError> {
    let asked = probe::ask(&generation.context.probe, generation, trace);
    let answered = tokio::time::timeout(PROBE_LIMIT, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {PROBE_LIMIT:?}")));
    answered.map(drop).map_err(|reason| {
        discard(generation);
        ControlError::at(Step::Probe, reason)
    })
}

/// Finds the version to go back to, and whether it has served with the present settings.
///
/// # Errors
/// There is none; the error lists the numbers of the kept generations.
fn find(ledger: &Ledger, live: u64, wanted: Option<u64>) -> Result<(Arc<Version>, bool), String> {
    let kept = ledger.kept.iter();
    let found = match wanted {
        Some(wanted) => kept.clone().find(|kept| kept.version.number == wanted),
        // The list is in the order in which versions last served. A newer version was rolled back from, so it is left
        // out.
        None => kept.clone().rfind(|kept| kept.version.number < live),
    };
    found
        .map(|found| (found.version.clone(), found.is_tried))
        .ok_or_else(|| numbers(ledger))
}

/// The numbers of the kept generations, as text.
pub(super) fn numbers(ledger: &Ledger) -> String {
    let kept = ledger.kept.iter();
    let numbers: Vec<String> = kept.map(|kept| kept.version.number.to_string()).collect();
    if numbers.is_empty() {
        "none".into()
    } else {
        numbers.join(", ")
    }
}
