//! The generation that answers one request.

use std::sync::Arc;

use super::mirror::Original;
use super::tally::Tally;
use crate::instance::Generation;

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
