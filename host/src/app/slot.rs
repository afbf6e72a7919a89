//! The live generations of a component: one, or two while a canary is tried.

use std::sync::Arc;

use http::request;

use super::canary::Canary;
use super::mirror::Original;
use super::tally::Tally;
use crate::instance::Generation;

/// What serves a component. It is replaced whole, with the app it belongs to; a request picks once and stays with that.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) stable: Arc<Generation>,
    pub(crate) canary: Option<Arc<Canary>>,
}

/// Where one request goes.
pub(crate) struct Choice {
    pub(crate) generation: Arc<Generation>,
    /// Counts the request while two generations are live.
    pub(crate) tally: Option<Arc<Tally>>,
    /// When a canary was picked: the one to ask if it fails.
    pub(crate) fallback: Option<(Arc<Generation>, Arc<Tally>)>,
    /// Present if a copy of the request is to be sent to the canary.
    pub(crate) original: Option<Original>,
    /// Whether another client may get another version's answer.
    pub(crate) is_personal: bool,
}

impl Choice {
    /// The only generation that there is to choose.
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

    /// The canary, if it is that generation.
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
