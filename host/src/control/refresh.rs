//! A refresh that does not wait until it is due.

use std::sync::Arc;
use std::time::Instant;

use super::{Control, ControlError, Peer, millis};
use crate::answers::{ComponentRefresh, Refresh};
use crate::instance::Generation;
use crate::instance::refresh::{Haste, Outcome, refresh};

impl Control {
    /// Has every component that keeps reports make them anew, and the proxies forget the old ones.
    ///
    /// # Errors
    /// A component failed. Those before it have made their reports anew, those after it have not.
    pub(crate) async fn refresh(&self, peer: &Peer) -> Result<Refresh, ControlError> {
        let outcome = self.try_refresh().await;
        match &outcome {
            Ok(_) => {
                tracing::info!(target: "audit", %peer, action = "refresh", result = "rebuilt", "The reports are made anew");
            }
            Err(error) => {
                tracing::warn!(target: "audit", %peer, action = "refresh", result = "refused", cause = error.label(), "refresh refused: {error}");
            }
        }
        outcome
    }

    async fn try_refresh(&self) -> Result<Refresh, ControlError> {
        let stable: Vec<_> = {
            let live = self.live.load();
            let slots = live.slots.values();
            slots.map(|slot| slot.stable.clone()).collect()
        };
        let mut components = Vec::new();
        for generation in stable {
            if generation.version.compiled.refresher.is_none() {
                continue;
            }
            let component = generation.context.id.clone();
            let started = Instant::now();
            match now(generation).await {
                Ok(Outcome::Elsewhere(_)) => {
                    return Err(ControlError::RefreshedElsewhere(component));
                }
                Ok(_) => components.push(ComponentRefresh {
                    component,
                    elapsed_ms: millis(started.elapsed()),
                }),
                Err(reason) => return Err(ControlError::Refresh { component, reason }),
            }
            self.purger.start();
        }
        Ok(Refresh { components })
    }
}

/// Makes a component's reports anew, whenever that was done last, and counts it.
///
/// # Errors
/// One line says why the component failed.
async fn now(generation: Arc<Generation>) -> Result<Outcome, String> {
    let metrics = &generation.context.metrics;
    let started = Instant::now();
    let outcome = refresh(&generation, Haste::Now).await;
    match &outcome {
        Ok(Outcome::Elsewhere(_)) => metrics.refresh("elsewhere", None),
        Ok(_) => metrics.refresh("rebuilt", Some(started.elapsed().as_secs_f64())),
        Err(_) => metrics.refresh("failed", None),
    }
    outcome
}
