//! A group of upstreams that can stand in for one another, and how one of them is picked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::Budget;
use super::policy::{Candidate, Picker};
use super::{Permit, State, Upstream};
use crate::cache::Cache;
use crate::config;
use crate::metrics::{GroupMetrics, Metrics};

/// How often a request that lost the race for the last free permit tries again before it waits in a queue.
const RACES: usize = 3;

/// How many permits a group has for each one that may be held by a request whose body is still coming.
const PERMITS_PER_UPLOAD: usize = 4;

/// How many such requests a small group takes all the same, if it has as many permits: if it took only one, a single
/// client that stops would keep out all others who send large bodies.
const FEWEST_UPLOADS: usize = 2;

/// The status of an upstream that can't do its work at the moment (RFC 9110, section 15.6.4).
const UNAVAILABLE: u16 = 503;

/// A group with the settings of one configuration.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) settings: config::Group,
    pub(crate) retry: config::Retry,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: GroupMetrics,
    /// Present if the settings ask for a cache.
    pub(crate) cache: Option<&'static Cache>,
    /// Places for requests whose bodies are still coming. There are fewer of them than permits.
    uploads: Arc<Semaphore>,
    /// Replaced as a whole by [`Group::refresh`].
    choice: ArcSwap<Choice>,
}

/// Why a request gets no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PermitError {
    /// No upstream is up.
    NoUpstream {
        /// When an upstream may be back.
        retry_after: Duration,
    },
    /// All permits are taken, and all queues are full.
    Overloaded,
}

/// The upstreams that may be picked now, and the policy's state.
struct Choice {
    eligible: Vec<Arc<Upstream>>,
    /// Upstreams that are not eligible and not drained, better states first.
    reserve: Vec<Arc<Upstream>>,
    picker: Picker,
}

impl Choice {
    fn new(
        policy: config::Policy,
        eligible: Vec<Arc<Upstream>>,
        reserve: Vec<Arc<Upstream>>,
    ) -> Self {
        let candidates: Vec<Candidate> = eligible
            .iter()
            .map(|upstream| Candidate {
                address: upstream.endpoint.socket,
                weight: upstream.endpoint.weight,
            })
            .collect();
        Self {
            picker: Picker::new(policy, &candidates),
            eligible,
            reserve,
        }
    }

    fn pick(&self, key: &[u8], usable: impl Fn(&Upstream) -> bool) -> Option<&Arc<Upstream>> {
        let picked = self.picker.pick(
            self.eligible.len(),
            key,
            |candidate| self.eligible[candidate].in_flight(),
            |candidate| usable(&self.eligible[candidate]),
        )?;
        self.eligible.get(picked)
    }

    /// A permit for an upstream of the reserve, for a request that no eligible upstream took. An upstream that was down
    /// a moment ago may be back before a health check has noticed. It may also still be down, so the reserve is asked
    /// only if no eligible upstream was reached.
    fn reserve_permit(&self, tried: &Tries) -> Option<Permit> {
        let mut fresh = self.reserve.iter().filter(|other| !tried.contains(other));
        fresh.find_map(Upstream::try_permit)
    }

    fn is_of(&self, eligible: &[Arc<Upstream>], reserve: &[Arc<Upstream>]) -> bool {
        are_same(&self.eligible, eligible) && are_same(&self.reserve, reserve)
    }
}

fn uploads(upstreams: &[Arc<Upstream>]) -> Arc<Semaphore> {
    let permits = upstreams.iter().map(|upstream| upstream.max_in_flight);
    let permits = permits.fold(0, usize::saturating_add);
    let places = (permits / PERMITS_PER_UPLOAD).max(FEWEST_UPLOADS.min(permits));
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

fn are_same(some: &[Arc<Upstream>], others: &[Arc<Upstream>]) -> bool {
    let mut pairs = some.iter().zip(others);
    some.len() == others.len() && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
}

impl Group {
    /// `upstreams` are those of the servers in `settings`.
    pub(crate) fn new(
        name: &str,
        settings: &config::Group,
        retry: &config::Retry,
        upstreams: Vec<Arc<Upstream>>,
        metrics: &Metrics,
    ) -> Self {
        let group = Self {
            name: name.to_owned(),
            settings: settings.clone(),
            retry: retry.clone(),
            budget: Arc::new(Budget::new(retry)),
            metrics: metrics.group(name),
            cache: None,
            uploads: uploads(&upstreams),
            choice: ArcSwap::from_pointee(Choice::new(settings.policy, Vec::new(), Vec::new())),
            upstreams,
        };
        group.refresh(Instant::now());
        group
    }

    /// The same group with other upstreams, after its names got other addresses.
    pub(crate) fn with(&self, upstreams: Vec<Arc<Upstream>>) -> Self {
        let group = Self {
            name: self.name.clone(),
            settings: self.settings.clone(),
            retry: self.retry.clone(),
            budget: self.budget.clone(),
            metrics: self.metrics.clone(),
            cache: self.cache,
            uploads: uploads(&upstreams),
            choice: ArcSwap::from_pointee(Choice::new(
                self.settings.policy,
                Vec::new(),
                Vec::new(),
            )),
            upstreams,
        };
        group.refresh(Instant::now());
        group
    }

    /// Picks an upstream, preferably one that was not `tried`, be it one of the reserve. Waits for a permit if all are
    /// busy.
    ///
    /// # Errors
    /// No upstream is up, or all their permits are taken and all queues full.
    pub(crate) async fn permit(&self, key: &[u8], tried: &Tries) -> Result<Permit, PermitError> {
        let choice = self.choice.load_full();
        if choice.eligible.is_empty() {
            self.metrics.no_upstream.inc();
            return Err(PermitError::NoUpstream {
                retry_after: self.retry_after(),
            });
        }
        let all_tried = choice
            .eligible
            .iter()
            .all(|upstream| tried.contains(upstream));
        if all_tried
            && tried.reached_none()
            && let Some(permit) = choice.reserve_permit(tried)
        {
            return Ok(permit);
        }
        let fresh = |upstream: &Upstream| all_tried || !tried.contains(upstream);
        for _ in 0..RACES {
            let free = |upstream: &Upstream| fresh(upstream) && upstream.has_free_permit();
            let Some(upstream) = choice.pick(key, free) else {
                break;
            };
            if let Some(permit) = upstream.try_permit() {
                return Ok(permit);
            }
        }
        let permit = self.wait_for_permit(&choice, key, fresh).await;
        if permit.is_none() {
            self.metrics.no_upstream.inc();
        }
        permit.ok_or(PermitError::Overloaded)
    }

    /// The right of a request to hold a permit while its body is still coming; `None` if as many do as may.
    pub(crate) fn upload(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.uploads.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.metrics.uploads_refused.inc();
        }
        place
    }

    async fn wait_for_permit(
        &self,
        choice: &Choice,
        key: &[u8],
        fresh: impl Fn(&Upstream) -> bool,
    ) -> Option<Permit> {
        let queue = choice.pick(key, |upstream| {
            fresh(upstream) && upstream.has_room_to_wait()
        });
        queue?.permit(self.settings.queue_timeout).await
    }

    /// Determines again which upstreams may be picked. Called whenever that may have changed.
    pub(crate) fn refresh(&self, now: Instant) {
        // If no upstream is up, ejected ones are better than none, and after these unready ones.
        let mut eligible = Vec::new();
        let mut reserve = Vec::new();
        for state in [State::Up, State::Ejected, State::Unready] {
            match eligible.is_empty() {
                true => eligible = self.in_state(state, now),
                false => reserve.extend(self.in_state(state, now)),
            }
        }
        reserve.extend(self.in_state(State::Down, now));
        for upstream in &self.upstreams {
            let up = eligible.iter().any(|other| Arc::ptr_eq(other, upstream));
            upstream.metrics.healthy.set(up.into());
        }
        if !self.choice.load().is_of(&eligible, &reserve) {
            let choice = Choice::new(self.settings.policy, eligible, reserve);
            self.choice.store(Arc::new(choice));
        }
    }

    fn in_state(&self, state: State, now: Instant) -> Vec<Arc<Upstream>> {
        self.upstreams
            .iter()
            .filter(|upstream| upstream.standing.state(now) == state)
            .cloned()
            .collect()
    }

    /// Notes that a try failed on the way to the upstream or there. After too many failures, the upstream is ejected
    /// for a while.
    pub(crate) fn failed(&self, upstream: &Upstream) {
        // Never eject the only upstream that is left.
        if self.choice.load().eligible.len() < 2 {
            return;
        }
        let now = Instant::now();
        if let Some(time) = upstream.standing.failed(&self.settings.ejection, now) {
            self.left_out(upstream, time, "its requests fail", now);
        }
    }

    /// Notes that the upstream answered. If the settings say so, too many answers of 503 eject it for a while, as long
    /// as another upstream gives other answers: if all answer 503, that is no fault of this one.
    pub(crate) fn answered(&self, upstream: &Upstream, status: u16) {
        let ejection = &self.settings.ejection;
        if !ejection.count_503 {
            return;
        }
        if status != UNAVAILABLE {
            return upstream.standing.served();
        }
        let now = Instant::now();
        let serves = |other: &Arc<Upstream>| {
            !std::ptr::eq(&**other, upstream) && other.standing.last_served()
        };
        let among_healthy = self.choice.load().eligible.iter().any(serves);
        if let Some(time) = upstream.standing.unavailable(ejection, among_healthy, now) {
            self.left_out(upstream, time, "it answers 503, and others do not", now);
        }
    }

    fn left_out(&self, upstream: &Upstream, time: Duration, why: &str, now: Instant) {
        let address = &upstream.endpoint.address;
        upstream.metrics.ejections.inc();
        tracing::warn!(
            group = self.name,
            upstream = address,
            "Left `{address}` out for {time:?}: {why}"
        );
        self.refresh(now);
    }

    /// When a client may come back, if no upstream is up.
    pub(crate) fn retry_after(&self) -> Duration {
        match &self.settings.health {
            Some(health) => health.interval * health.up_after,
            None => self.settings.ejection.base,
        }
    }
}

/// The upstreams that a request was sent to, in this order.
#[derive(Default)]
pub(crate) struct Tries {
    upstreams: Vec<Arc<Upstream>>,
    /// How many of these tries got no connection.
    unreachable: usize,
}

impl Tries {
    pub(crate) fn add(&mut self, upstream: &Arc<Upstream>) {
        self.upstreams.push(upstream.clone());
    }

    /// Removes the last try, which does not count.
    pub(crate) fn take_back(&mut self) {
        self.upstreams.pop();
    }

    /// Notes that the last try got no connection.
    pub(crate) fn note_unreachable(&mut self) {
        self.unreachable += 1;
    }

    /// Number of tries so far.
    pub(crate) fn count(&self) -> usize {
        self.upstreams.len()
    }

    /// The upstream of the last try.
    pub(crate) fn last(&self) -> Option<&Arc<Upstream>> {
        self.upstreams.last()
    }

    /// Whether no try got a connection.
    fn reached_none(&self) -> bool {
        self.unreachable == self.upstreams.len()
    }

    fn contains(&self, upstream: &Upstream) -> bool {
        self.upstreams
            .iter()
            .any(|tried| tried.endpoint.socket == upstream.endpoint.socket)
    }
}
