//! Writes one log line for each attempt to change what serves: who asked, for what, and with what outcome.

use std::fmt;

use super::{Control, ControlError};
use crate::answers::Change;

/// Who asked for a change.
#[derive(Clone, Debug)]
pub(crate) struct Initiator(pub(crate) String);

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Control {
    /// Logs and counts an attempt to change one component, and returns its outcome.
    pub(crate) fn audited(
        &self,
        peer: &Initiator,
        action: &str,
        component: &str,
        digest: Option<&str>,
        outcome: Result<(&'static str, Change), ControlError>,
    ) -> Result<Change, ControlError> {
        match outcome {
            Ok((result, changed)) => {
                self.log_change(peer, action, result, &changed);
                Ok(changed)
            }
            Err(error) => {
                self.log_refusal(peer, action, component, digest, &error);
                Err(error)
            }
        }
    }

    /// Logs and counts a change that was made.
    pub(super) fn log_change(
        &self,
        peer: &Initiator,
        action: &str,
        result: &str,
        changed: &Change,
    ) {
        let Change {
            component,
            generation,
            digest,
            ..
        } = changed;
        self.metrics.swaps.tried(component, result);
        tracing::info!(target: "audit", %peer, action, component, digest, generation, result, "`{component}`: {result} generation {generation}");
    }

    /// Logs and counts a refused attempt.
    pub(crate) fn log_refusal(
        &self,
        peer: &Initiator,
        action: &str,
        component: &str,
        digest: Option<&str>,
        error: &ControlError,
    ) {
        // An unknown component must not become a label of a metric.
        if self.live.load().slots.contains_key(component) {
            self.metrics.swaps.tried(component, error.label());
        }
        let (result, step) = ("refused", error.step().map(|step| step.label()));
        tracing::warn!(target: "audit", %peer, action, component, digest, step, result, cause = error.label(), "`{component}`: {action} refused: {error}");
    }
}

/// Logs an attempt to reload the app or to refresh its reports, and returns its outcome. `result` is the word for
/// success.
pub(crate) fn audited_app<T>(
    peer: &Initiator,
    action: &str,
    result: &str,
    outcome: Result<T, ControlError>,
) -> Result<T, ControlError> {
    match &outcome {
        Ok(_) => {
            tracing::info!(target: "audit", %peer, action, result, "The {action} is done");
        }
        Err(error) => {
            tracing::warn!(target: "audit", %peer, action, result = "refused", cause = error.label(), "{action} refused: {error}");
        }
    }
    outcome
}

/// Logs an attempt by somebody without a valid token.
pub(crate) fn refused(
    peer: &Initiator,
    action: &str,
    component: Option<&str>,
    reason: &dyn fmt::Display,
) {
    tracing::warn!(target: "audit", %peer, action, component, result = "unauthorized", "{action} refused: {reason}");
}
