//! The live generations of a component: one, or two while a canary is tried.

use std::sync::Arc;

use http::request;

use super::canary::Canary;
use super::choice::Choice;
use crate::instance::Generation;

/// What serves a component. A slot is never changed, only replaced with the app that it belongs to. A request picks a
/// generation once and keeps it.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) stable: Arc<Generation>,
    pub(crate) canary: Option<Arc<Canary>>,
}

impl Slot {
    pub(crate) fn new(stable: Arc<Generation>) -> Self {
        Self {
            stable,
            canary: None,
        }
    }

    /// The canary, if its generation has this number.
    pub(crate) fn tried(&self, number: u64) -> Option<Arc<Canary>> {
        let canary = self.canary.as_ref();
        canary
            .filter(|canary| canary.generation().version.number == number)
            .cloned()
    }

    /// Chooses the generation for one request.
    pub(crate) fn pick(&self, head: &request::Parts, has_body: bool) -> Choice {
        match &self.canary {
            None => Choice::of(self.stable.clone()),
            Some(canary) => canary.pick(&self.stable, head, has_body),
        }
    }
}
