//! Answers kept in memory (RFC 9111), by means of pingora's cache.
//!
//! `requests` decides which requests may be answered from memory. `rules` decides which answers may be kept and for how
//! long, from the headers of an answer (`directives`, `lifetime`). `memory` keeps the answers as `entries` under a
//! `key`, and `selecting` compares the headers that they vary on; pingora reaches them through `storage`. `renewal`
//! updates an answer when its server confirms it by a 304. `changes` remembers what made kept answers wrong: a purge,
//! or a request that wrote something (`writes`). `outcome` tells clients and metrics what the cache did. Nothing here
//! asks an upstream.

mod changes;
mod directives;
mod entries;
#[cfg(test)]
mod fuzz;
mod key;
mod lifetime;
mod memory;
mod outcome;
mod renewal;
mod requests;
mod rules;
mod selecting;
mod storage;
mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderName;
use parking_lot::Mutex;
use pingora_cache::lock::CacheLock;
use pingora_cache::predictor::Predictor;
use pingora_cache::{CacheKey, CacheOptionOverrides, NoCacheReason, RespCacheable};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use self::changes::WriteCount;
use self::memory::Memory;
use crate::config;
use crate::message::forwarded::RequestAuthority;
use crate::metrics::{CacheMetrics, Metrics};

pub(crate) use self::entries::WholeAnswer;
pub(crate) use self::key::variance;
pub(crate) use self::outcome::{Outcome, STATUS};
pub(crate) use self::requests::CacheUse;
pub(crate) use self::writes::AnsweredRequest;

/// Longest time that requests wait for one fill. After it another fill begins, possibly at another upstream.
const LONGEST_FILL: Duration = Duration::from_secs(3);

/// How often a request waits for a fill that keeps no answer, before the request goes to an upstream itself.
const MOST_WAITS: usize = 8;

/// Number of keys that are remembered as uncacheable, in each of [`SHARDS`].
const UNCACHEABLE_PATHS: usize = 256;
const SHARDS: usize = 16;

/// The cache of one group. Made once for each group's name and never freed, because pingora needs a `'static`
/// reference.
pub(crate) struct Cache {
    memory: Memory,
    lock: CacheLock,
    /// Remembers keys whose last answer was not cacheable: requests for these need not wait for one another.
    predictor: Predictor<SHARDS>,
    metrics: CacheMetrics,
}

/// When an upstream was asked, and the number of writes until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchStart {
    at: SystemTime,
    writes: WriteCount,
}

impl Cache {
    fn new(metrics: CacheMetrics) -> Self {
        Self {
            memory: Memory::new(metrics.bytes.clone(), metrics.entries.clone()),
            lock: CacheLock::new(LONGEST_FILL),
            predictor: Predictor::new(UNCACHEABLE_PATHS, None),
            metrics,
        }
    }

    /// Lets this request use the cache, if it may.
    pub(crate) fn enable(
        &'static self,
        session: &mut Session,
        settings: &config::Cache,
    ) -> CacheUse {
        let wish = requests::use_for(session.req_header(), settings);
        if wish == CacheUse::Full {
            let mut overrides = CacheOptionOverrides::default();
            overrides.wait_timeout = Some(settings.fill_timeout);
            overrides.max_lock_retries = Some(MOST_WAITS);
            session.cache.enable(
                &self.memory,
                None,
                Some(&self.predictor),
                Some(&self.lock),
                Some(overrides),
            );
            session
                .cache
                .set_max_file_size_bytes(settings.max_object_bytes());
            // Requests for a range that the cache does not cut have bypassed it.
            session.ignore_downstream_range = !settings.ranges;
        }
        wish
    }

    /// The key of a request. Requests have equal keys if they ask for the same thing and no purge came between them.
    pub(crate) fn key(&self, request: &RequestHeader, asked: &RequestAuthority<'_>) -> CacheKey {
        key::of(request, asked, self.memory.changes().purges())
    }

    /// The present moment. Call this before an upstream is asked.
    pub(crate) fn fetch_start(&self) -> FetchStart {
        FetchStart {
            at: SystemTime::now(),
            writes: self.memory.changes().writes(),
        }
    }

    /// Decides whether and how long this answer is kept. If a 304 (`renewal`) confirmed the answer, its fields count.
    ///
    /// # Errors
    /// A header can't be written. This never happens, as all headers here have arrived in a message.
    pub(crate) fn judge(
        &self,
        session: &Session,
        answer: &ResponseHeader,
        renewal: Option<&ResponseHeader>,
        start: FetchStart,
        settings: &config::Cache,
    ) -> Result<RespCacheable> {
        let key = session.cache.maybe_cache_key();
        let primary = key.map(CacheKey::primary_key).unwrap_or_default();
        if self.memory.changes().written(primary, start.writes) {
            // Requests that wait for this answer ask an upstream themselves.
            return Ok(RespCacheable::Uncacheable(NoCacheReason::Deferred));
        }
        let kept = session.cache.maybe_cache_meta();
        let renewed = renewal
            .zip(kept)
            .map(|(said, kept)| renewal::renewed(kept.response_header(), said));
        let renewed = renewed.transpose()?;
        let answer = renewed.as_ref().unwrap_or(answer);
        if let Some(terms) = rules::terms(session.req_header(), answer, start.at, settings) {
            return Ok(RespCacheable::Cacheable(terms.meta(answer, start.writes)));
        }
        if answer.status.is_server_error() {
            // One of the requests that wait for this answer tries again.
            return Ok(RespCacheable::Uncacheable(NoCacheReason::UpstreamError));
        }
        // The kept answer is not what the server says now.
        if let Some(key) = key {
            self.memory.forget(key);
        }
        Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache))
    }

    /// Forgets the answers that a request made wrong by writing. `field` finds a field of the answer to that request.
    pub(crate) fn answered<'f>(
        &self,
        request: &AnsweredRequest<'_>,
        field: impl Fn(&HeaderName) -> Option<&'f [u8]>,
    ) {
        if !request.has_changed() {
            return;
        }
        let keys = request.keys(field, self.memory.changes().purges());
        let forgotten: usize = keys.iter().map(|key| self.memory.invalidate(key)).sum();
        if forgotten > 0 {
            let target = request.target.unwrap_or("*");
            tracing::debug!(forgotten, "{} {target} forgets answers", request.method);
        }
    }

    /// The kept answer to a GET, if it is the same for all clients and needs only headers such as `Age` added.
    pub(crate) fn find_whole(&self, host: &str, target: &str, https: bool) -> Option<WholeAnswer> {
        let purges = self.memory.changes().purges();
        let key = key::primary(host.as_bytes(), target.as_bytes(), https, purges);
        self.memory.find_whole(&key)
    }

    /// Counts an answered request.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.metrics.requests[outcome as usize].inc();
    }

    /// Counts a background request of the proxy.
    pub(crate) fn count_background(&self) {
        self.metrics.background.inc();
    }

    /// Forgets all answers, and returns how many.
    fn purge(&self) -> usize {
        self.metrics.purges.inc();
        self.memory.purge()
    }
}

/// The caches of all groups, including groups that no longer have one.
#[derive(Default)]
pub(crate) struct Caches {
    by_group: Mutex<BTreeMap<String, &'static Cache>>,
    closed: AtomicBool,
}

impl Caches {
    /// The cache of a group, with its limit set to that of `settings`. Returns the same cache for the same name.
    pub(crate) fn of(
        &self,
        group: &str,
        settings: &config::Cache,
        metrics: &Metrics,
    ) -> &'static Cache {
        let mut by_group = self.by_group.lock();
        let cache: &'static Cache = match by_group.get(group) {
            Some(cache) => cache,
            None => {
                let cache: &'static Cache =
                    Box::leak(Box::new(Cache::new(metrics.cache(group, Outcome::LABELS))));
                by_group.insert(group.to_owned(), cache);
                cache
            }
        };
        cache.memory.limit(settings.size_bytes());
        cache
    }

    /// Forgets all answers of the groups that `chosen` selects, and returns how many.
    pub(crate) fn purge(&self, chosen: impl Fn(&str) -> bool) -> usize {
        let by_group = self.by_group.lock();
        let chosen = by_group.iter().filter(|(group, _)| chosen(group));
        chosen.map(|(_, cache)| cache.purge()).sum()
    }

    /// Stops all answers from caches, because this process ends and is no longer told of changes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that comes after a purge is put under the key that it was asked for with.
    #[test]
    fn what_was_asked_for_before_a_purge_is_found_by_nobody_who_asks_after_it() {
        let metrics = Metrics::new().expect("names are unique");
        let caches = Caches::default();
        let cache = caches.of("shop", &config::Cache::opened(), &metrics);
        let mut request = RequestHeader::build("GET", b"/a", None).expect("a request");
        request.insert_header("host", "shop").expect("a header");
        let asked_for = RequestAuthority::of(&request, false, false);
        let key = || cache.key(&request, &asked_for).primary_key().to_vec();
        let (before, asked) = (key(), cache.memory.changes().writes());
        cache.memory.put_empty(&before, asked);
        assert!(cache.memory.holds(&key()));
        assert_eq!(cache.purge(), 1);
        cache.memory.put_empty(&before, asked);
        assert!(!cache.memory.holds(&key()));
        cache.memory.put_empty(&key(), asked);
        assert!(cache.memory.holds(&key()));
        assert_eq!(cache.purge(), 2, "the late one goes with the next purge");
    }
}
