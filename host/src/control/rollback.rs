//! Back to a generation that served before.

use std::sync::Arc;

use super::ledger::{Last, Ledger};
use super::{Changed, Control, ControlError, Peer, lock, micros};
use crate::generation::{Generation, Origin, Version};

impl Control {
    /// Serves with a kept version again: the one `wanted`, or the latest before the one that serves.
    ///
    /// # Errors
    /// It is not kept, or another change is under way.
    pub(crate) fn rollback(
        &self,
        id: &str,
        wanted: Option<u64>,
        peer: &Peer,
    ) -> Result<Changed, ControlError> {
        let outcome = self.try_rollback(id, wanted);
        self.audited(peer, "rollback", id, None, outcome)
    }

    fn try_rollback(
        &self,
        id: &str,
        wanted: Option<u64>,
    ) -> Result<(&'static str, Changed), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        if slot.canary.is_some() {
            return Err(ControlError::OnTrial(id.to_owned()));
        }
        let live = slot.stable.version.number;
        let version = {
            let mut ledgers = lock(&self.ledgers);
            find(ledgers.entry(id.to_owned()).or_default(), live, wanted)
        };
        let version = version.map_err(|kept| ControlError::NotKept {
            component: id.to_owned(),
            wanted: wanted.map_or_else(
                || format!("generation before {live}"),
                |wanted| format!("generation {wanted}"),
            ),
            kept,
        })?;
        // It answered its probe when it came, so it serves at once.
        let generation = Generation::new(version.clone(), slot.stable.context.clone());
        let established = self.establish(id, generation)?;
        let result = "rolled-back";
        self.note(
            id,
            Last {
                generation: version.number,
                result,
                reason: None,
            },
        );
        let changed = Changed {
            component: id.to_owned(),
            generation: version.number,
            digest: version.digest().to_owned(),
            compile_ms: None,
            probe: None,
            switch_us: micros(established.took),
            replaced: established.replaced,
            canary: None,
            persisted: version.origin != Origin::Ephemeral,
        };
        Ok((result, changed))
    }
}

/// The version to go back to, or what there is.
fn find(ledger: &Ledger, live: u64, wanted: Option<u64>) -> Result<Arc<Version>, String> {
    let kept = ledger.kept.iter().map(|kept| &kept.version);
    let found = match wanted {
        Some(wanted) => kept.clone().find(|version| version.number == wanted),
        None => kept
            .clone()
            .filter(|version| version.number < live)
            .max_by_key(|version| version.number),
    };
    found.cloned().ok_or_else(|| {
        let numbers: Vec<String> = kept.map(|version| version.number.to_string()).collect();
        if numbers.is_empty() {
            "none".into()
        } else {
            numbers.join(", ")
        }
    })
}
