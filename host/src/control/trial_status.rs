//! The state of a trial, for the status.

use std::time::SystemTime;

use super::Control;
use super::ledger::Ledger;
use super::status::utc;
use crate::answers::{ComparedCounts, DifferenceStatus, MirrorStatus, PassedStatus, TrialStatus};
use crate::app::{Canary, Comparison, Mirror, PassedPhase};
use crate::rollout::{Budget, Course, Phase, TrafficShare};

impl Control {
    pub(super) fn trial(&self, canary: &Canary, ledger: &Ledger) -> TrialStatus {
        let course = &canary.rollout.course;
        let (new, stable) = (canary.tally.counts(), canary.stable_tally.counts());
        let finding = Budget::from(&self.config.swap.canary).finding(&new, &stable);
        let record = ledger.rollout.as_ref();
        TrialStatus {
            generation: canary.generation().version.number,
            share: canary.share(),
            steps: course.steps.iter().map(|share| share.fraction()).collect(),
            step: match canary.phase {
                Phase::Step(step) => Some(step),
                _ => None,
            },
            began: Some(utc(canary.rollout.began)),
            since: Some(utc(canary.since)),
            until: canary.left().map(|left| utc(SystemTime::now() + left)),
            sticky: course.sticky.as_ref().map(ToString::to_string),
            when: course.when.as_ref().map(|tester| tester.name.to_string()),
            fleet: record.is_some_and(|record| record.fleet.is_some()),
            counts: ComparedCounts::of(&new, &stable),
            verdict: finding.verdict.to_owned(),
            why: finding.why,
            passed: canary
                .passed
                .iter()
                .map(|phase| passed(phase, course))
                .collect(),
            mirror: canary.rollout.mirror.as_deref().map(mirror),
        }
    }
}

fn passed(phase: &PassedPhase, course: &Course) -> PassedStatus {
    PassedStatus {
        share: course
            .share(phase.phase)
            .map_or(0.0, TrafficShare::fraction),
        counts: ComparedCounts::of(&phase.new, &phase.stable),
    }
}

fn mirror(mirror: &Mirror) -> MirrorStatus {
    let last = mirror.last().into_iter();
    MirrorStatus {
        share: mirror.share(),
        same: mirror.counted(Comparison::Same),
        different: mirror.counted(Comparison::Different),
        failed: mirror.counted(Comparison::Failed),
        dropped: mirror.counted(Comparison::Dropped),
        differences: last
            .map(|one| DifferenceStatus {
                at: utc(one.at),
                method: one.method,
                route: one.route.to_string(),
                what: one.what,
            })
            .collect(),
    }
}
