//! The live generations of a component: one, or two while a canary is tried.

use std::sync::Arc;

use http::request;

use super::canary::Canary;
use super::mirror::Original;
use super::tally::Tally;
use crate::instance::Generation;

/// What serves a component. A slot is never changed, only replaced with the app that it belongs to. A request picks a
/// generation once and keeps it.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) stable: Arc<Generation>,
    pub(crate) canary: Option<Arc<Canary>>,
}

/// Which generation gets a request, and how the request counts.
pub(crate) struct Choice {
    pub(crate) generation: Arc<Generation>,
    /// The counts of the generation's version while two generations are live.
    pub(crate) tally: Option<Arc<Tally>>,
    /// If the canary was picked: the stable generation, which is asked if the canary fails.
    pub(crate) fallback: Option<(Arc<Generation>, Arc<Tally>)>,
    /// Present if a copy of the request is to be sent to the canary.
    pub(crate) original: Option<Original>,
    /// Whether another client may get the answer of another version, so that caches must not keep this one.
    pub(crate) is_personal: bool,
}

impl Choice {
    /// Chooses the only generation that there is.
    pub(super) fn of(generation: Arc<Generation>) -> Self {
        Self {
            generation,
            tally: None,
            fallback: None,
            original: None,
            is_personal: false,
        }
    }
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
