//! Refreshes reports when an operator asks for it, whether or not they are due.

use std::sync::Arc;
use std::time::Instant;

use super::audit::audited_app;
use super::{Control, ControlError, Initiator, millis};
use crate::answers::{ComponentRefresh, Refresh};
use crate::instance::Generation;
use crate::instance::refresh::{Outcome, Urgency, refresh};

impl Control {
    /// Calls every component that has reports to rebuild them, and tells the proxies to forget the old ones.
    ///
    /// # Errors
    /// A component failed. The components before it have rebuilt their reports, those after it have not.
    pub(crate) async fn refresh(&self, peer: &Initiator) -> Result<Refresh, ControlError> {
        let outcome = self.try_refresh().await;
        audited_app(peer, "refresh", "rebuilt", outcome)
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

/// Calls a component to rebuild its reports, even if they are fresh, and counts the refresh.
///
/// # Errors
/// Says in one line why the component failed.
async fn now(generation: Arc<Generation>) -> Result<Outcome, String> {
    let metrics = &generation.context.metrics;
    let started = Instant::now();
    let outcome = refresh(&generation, Urgency::Now).await;
    match &outcome {
        Ok(Outcome::Elsewhere(_)) => metrics.refresh("elsewhere", None),
        Ok(_) => metrics.refresh("rebuilt", Some(started.elapsed().as_secs_f64())),
        Err(_) => metrics.refresh("failed", None),
    }
    outcome
}
