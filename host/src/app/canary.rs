//! A new generation on trial: which requests it gets in the phase that its roll-out is in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, request};

use super::mirror::{Mirror, Original};
use super::slot::Choice;
use super::tally::Tally;
use crate::instance::Generation;
use crate::rollout::{Counts, Course, Key, Phase, Tester, TrafficShare};

/// The part of a roll-out that is the same in all its phases.
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

/// What both versions did in a phase that is over.
#[derive(Clone)]
pub(crate) struct PassedPhase {
    pub(crate) phase: Phase,
    pub(crate) new: Counts,
    pub(crate) stable: Counts,
}

/// A new generation on trial, in one phase of its roll-out. The next phase has another, with counts of its own.
pub(crate) struct Canary {
    pub(crate) rollout: Arc<Rollout>,
    pub(crate) phase: Phase,
    pub(crate) since: SystemTime,
    /// Another number each time that counting begins anew, whichever process counts.
    pub(crate) run: u64,
    /// None if the phase lasts until somebody ends it.
    pub(crate) ends: Option<Instant>,
    /// What both did in this phase.
    pub(crate) stable_tally: Arc<Tally>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) passed: Vec<PassedPhase>,
    share: Option<TrafficShare>,
    /// How many requests came since the phase began. Written by [`Canary::pick`].
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

    /// Of the component's requests, from 0 on.
    pub(crate) fn share(&self) -> f64 {
        self.share.map_or(0.0, TrafficShare::fraction)
    }

    /// How long the phase lasts from now on.
    pub(crate) fn left(&self) -> Option<Duration> {
        let now = Instant::now();
        self.ends.map(|ends| ends.saturating_duration_since(now))
    }

    /// Chooses the generation for one request. `stable` is the other one.
    pub(super) fn pick(
        &self,
        stable: &Arc<Generation>,
        head: &request::Parts,
        has_body: bool,
    ) -> Choice {
        let course = &self.rollout.course;
        let is_tester = |tester: &Tester| tester.is_in(&head.headers);
        if course.when.as_ref().is_some_and(is_tester) {
            // Testers try odd things on purpose, so what comes of it says nothing about the two versions; and what
            // fails, they are to see.
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
            // Copies are compared with what they are copies of: writes and reports take longer than other reads.
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

    /// Whether the request is mirrored: then the answer to it is an original.
    fn original(&self, head: &request::Parts, has_body: bool, turn: u64) -> Option<Original> {
        let mirror = self.rollout.mirror.as_ref()?;
        let is_safe = matches!(head.method, Method::GET | Method::HEAD) && !has_body;
        if self.phase != Phase::Mirroring || !is_safe || !mirror.takes(turn) {
            return None;
        }
        Original::new(mirror, self.generation(), &self.tally)
    }
}
