//! What the cache did for a request: as a metric's label, and as a header for the client (RFC 9211).

use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use pingora_cache::{CachePhase, HttpCache, NoCacheReason};

use super::requests::CacheUse;
use crate::metrics::RESULTS;

/// The header that tells clients.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the cache did. The order is that of [`Outcome::LABELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The cache had a fresh answer.
    Hit,
    /// The cache gave a stale answer, because another is being fetched or none can be had.
    Stale,
    /// The cache had a stale answer, and an upstream confirmed it.
    Revalidated,
    /// The cache had a stale answer, and an upstream gave another.
    Expired,
    /// The cache had no answer, and keeps the upstream's.
    Miss,
    /// The cache had no answer, and does not keep the upstream's.
    Uncacheable,
    /// The cache was not asked.
    Bypass,
}

impl Outcome {
    /// Values of the label `result`.
    pub(crate) const LABELS: [&'static str; RESULTS] = [
        "hit",
        "stale",
        "revalidated",
        "expired",
        "miss",
        "uncacheable",
        "bypass",
    ];

    /// What the cache did for a request that may use it according to `wish`; `None` if there is no cache.
    pub(crate) fn of(cache: &HttpCache, wish: CacheUse) -> Option<Self> {
        match wish {
            CacheUse::None => return None,
            CacheUse::Bypass => return Some(Self::Bypass),
            CacheUse::Full => {}
        }
        match cache.phase() {
            CachePhase::Hit => Some(Self::Hit),
            CachePhase::Stale | CachePhase::StaleUpdating => Some(Self::Stale),
            CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => Some(Self::Revalidated),
            CachePhase::Expired => Some(Self::Expired),
            CachePhase::Miss => Some(Self::Miss),
            CachePhase::Bypass => Some(Self::Bypass),
            CachePhase::Disabled(NoCacheReason::NeverEnabled) => None,
            CachePhase::Disabled(_) | CachePhase::Uninit | CachePhase::CacheKey => {
                Some(Self::Uncacheable)
            }
        }
    }

    pub(crate) fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// Whether the client's answer came from the cache, without waiting for an upstream.
    pub(crate) fn is_from_cache(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }

    /// The value of [`STATUS`].
    pub(crate) fn status(self, cache: &HttpCache) -> HeaderValue {
        match self {
            Self::Hit | Self::Stale => hit(cache),
            Self::Revalidated => HeaderValue::from_static("store-proxy; fwd=stale; fwd-status=304"),
            Self::Expired => HeaderValue::from_static("store-proxy; fwd=stale; stored"),
            Self::Miss => HeaderValue::from_static("store-proxy; fwd=uri-miss; stored"),
            Self::Uncacheable => HeaderValue::from_static("store-proxy; fwd=uri-miss"),
            Self::Bypass => HeaderValue::from_static("store-proxy; fwd=bypass"),
        }
    }
}

/// A hit, with the number of seconds for which it stays fresh; negative if it is stale.
fn hit(cache: &HttpCache) -> HeaderValue {
    let fresh_until = cache.maybe_cache_meta().map(|meta| meta.fresh_until());
    let now = SystemTime::now();
    let seconds = match fresh_until.map(|until| until.duration_since(now)) {
        Some(Ok(left)) => left.as_secs().cast_signed(),
        Some(Err(over)) => -over.duration().as_secs().cast_signed(),
        None => 0,
    };
    HeaderValue::try_from(format!("store-proxy; hit; ttl={seconds}"))
        .unwrap_or(HeaderValue::from_static("store-proxy; hit"))
}
