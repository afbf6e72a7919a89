//! A new generation on trial, and which requests it gets in the current phase of its roll-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, request};

use super::choice::Choice;
use super::mirror::{Mirror, Original};
use super::tally::Tally;
use crate::instance::Generation;
use crate::rollout::{Counts, Course, Key, Phase, Tester, TrafficShare};

/// The part of a roll-out that stays the same in all its phases.
pub(crate) struct Rollout {
    pub(crate) generation: Arc<Generation>,
    pub(crate) course: Course,
    pub(crate) began: SystemTime,
    pub(crate) mirror: Option<Arc<Mirror>>,
    key: Option<Key>,
}

impl Rollout {
    pub(crate) fn new(generation: Arc<Generation>, course: Course, began: SystemTime) -> Arc<Self> {
        let context = &generation.context;
        let mirror = course.mirror.map(|share| {
            let metrics = context.metrics.trials.mirror(&context.id);
            Arc::new(Mirror::new(share, metrics))
        });
        let digest = generation.version.digest();
        let key = course.sticky.clone().map(|sticky| Key::new(sticky, digest));
        Arc::new(Self {
            mirror,
            key,
            generation,
            course,
            began,
        })
    }
}

impl Drop for Rollout {
    fn drop(&mut self) {
        if let Some(mirror) = &self.mirror {
            mirror.end();
        }
    }
}

/// The counts of both versions in a phase that is over.
#[derive(Clone)]
pub(crate) struct PassedPhase {
    pub(crate) phase: Phase,
    pub(crate) new: Counts,
    pub(crate) stable: Counts,
}

/// A new generation on trial, in one phase of its roll-out. Each phase has a `Canary` of its own, with new counts.
pub(crate) struct Canary {
    pub(crate) rollout: Arc<Rollout>,
    pub(crate) phase: Phase,
    pub(crate) since: SystemTime,
    /// A number that is different each time that counting begins anew, also in another process.
    pub(crate) run: u64,
    /// When the phase ends. `None` if it lasts until somebody ends it.
    pub(crate) ends: Option<Instant>,
    /// The counts of both versions in this phase.
    pub(crate) stable_tally: Arc<Tally>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) passed: Vec<PassedPhase>,
    share: Option<TrafficShare>,
    /// The number of requests since the phase began. [`Canary::pick`] changes it.
    turn: AtomicU64,
}

impl Canary {
    pub(crate) fn new(
        rollout: Arc<Rollout>,
        stable: &Generation,
        phase: Phase,
        passed: Vec<PassedPhase>,
    ) -> Self {
        let context = &rollout.generation.context;
        let tally = |of: &Generation| {
            let number = of.version.number.to_string();
            let metrics = context.metrics.trials.trial(&context.id, &number);
            Arc::new(Tally::new(metrics))
        };
        let since = SystemTime::now();
        let nanos = since
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        Self {
            stable_tally: tally(stable),
            tally: tally(&rollout.generation),
            phase,
            since,
            run: nanos as u64,
            ends: rollout
                .course
                .lasts(phase)
                .map(|lasts| Instant::now() + lasts),
            passed,
            share: rollout.course.share(phase),
            turn: AtomicU64::new(0),
            rollout,
        }
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.rollout.generation
    }

    /// The share of the component's requests that the canary gets, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.share.map_or(0.0, TrafficShare::fraction)
    }

    /// The time that is left of the phase; `None` if nothing but a command ends it.
    pub(crate) fn left(&self) -> Option<Duration> {
        let now = Instant::now();
        self.ends.map(|ends| ends.saturating_duration_since(now))
    }

    /// Chooses between the canary and the `stable` generation for one request.
    pub(super) fn pick(
        &self,
        stable: &Arc<Generation>,
        head: &request::Parts,
        has_body: bool,
    ) -> Choice {
        let course = &self.rollout.course;
        let is_tester = |tester: &Tester| tester.is_in(&head.headers);
        if course.when.as_ref().is_some_and(is_tester) {
            // Testers send unusual requests on purpose, so their answers say nothing about the two versions and are not
            // counted. There is no fallback either: testers must see the canary's failures.
            return Choice {
                is_personal: true,
                ..Choice::of(self.generation().clone())
            };
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let is_personal = self.share.is_some() || course.when.is_some();
        if self.takes(head, turn) {
            Choice {
                generation: self.generation().clone(),
                tally: Some(self.tally.clone()),
                fallback: Some((stable.clone(), self.stable_tally.clone())),
                original: None,
                is_personal,
            }
        } else {
            let original = self.original(head, has_body, turn);
            // In the mirroring phase only mirrored requests count, because each is compared with its copy: writes and
            // reports take longer than other reads.
            let counts = self.phase != Phase::Mirroring || original.is_some();
            Choice {
                generation: stable.clone(),
                tally: counts.then(|| self.stable_tally.clone()),
                fallback: None,
                original,
                is_personal,
            }
        }
    }

    fn takes(&self, head: &request::Parts, turn: u64) -> bool {
        let Some(share) = self.share else {
            return false;
        };
        let key = self.rollout.key.as_ref();
        match key.and_then(|key| key.point(&head.headers)) {
            Some(point) => share.has(point),
            None => share.takes(turn),
        }
    }

    /// The right to mirror the request; `None` if the request is not mirrored.
    fn original(&self, head: &request::Parts, has_body: bool, turn: u64) -> Option<Original> {
        let mirror = self.rollout.mirror.as_ref()?;
        let is_safe = matches!(head.method, Method::GET | Method::HEAD) && !has_body;
        if self.phase != Phase::Mirroring || !is_safe || !mirror.takes(turn) {
            return None;
        }
        Original::new(mirror, self.generation(), &self.tally)
    }
}
