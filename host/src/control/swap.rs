//! A swap, step by step. Nothing changes before its last step.

use std::sync::Arc;
use std::time::Instant;

use store_server::trace::{Kind, Trace};

use super::drain::discard;
use super::error::Step;
use super::probe;
use super::{Control, ControlError, Initiator, TrialPlan, change_of, micros, millis, traced};
use crate::answers::{self, Change};
use crate::app::Slot;
use crate::instance::{Code, CompileError, Generation, Origin, Source};
use crate::rollout::{Course, TrafficShare};

/// A component that is to be served.
pub(crate) struct Upload {
    pub(crate) source: Source,
    /// The SHA-256 digest that the sender expects, in hexadecimal.
    pub(crate) expected_digest: Option<String>,
    pub(crate) origin: Origin,
    /// Present if the component is to be tried on a part of the traffic first.
    pub(crate) trial: Option<TrialPlan>,
}

impl Control {
    /// Swaps a component, or starts its canary.
    ///
    /// # Errors
    /// A step failed; the error says which step and why. What served before continues to serve.
    pub(crate) async fn swap(
        self: &Arc<Self>,
        id: &str,
        upload: Upload,
        peer: &Initiator,
    ) -> Result<Change, ControlError> {
        let digest = upload.source.digest.clone();
        let action = if upload.trial.is_some() {
            "canary"
        } else {
            "swap"
        };
        let outcome = self.try_swap(id, upload).await;
        self.audited(peer, action, id, Some(&digest), outcome)
    }

    async fn try_swap(
        self: &Arc<Self>,
        id: &str,
        upload: Upload,
    ) -> Result<(&'static str, Change), ControlError> {
        let mut root = self.tracing.task("swap");
        root.about(id.to_owned());
        root.set("store.component", id.to_owned());
        let outcome = self.swap_within(id, upload, root.inside()).await;
        traced(root, outcome)
    }

    async fn swap_within(
        self: &Arc<Self>,
        id: &str,
        upload: Upload,
        trace: &Trace,
    ) -> Result<(&'static str, Change), ControlError> {
        let started = Instant::now();
        let (_claim, slot) = self.claim_one(id)?;
        if slot.canary.is_some() {
            return Err(ControlError::OnTrial(id.to_owned()));
        }
        if upload.trial.is_some() {
            self.may_try(id)?;
        }
        self.check(&upload)?;
        let compiled = self.compile(id, &upload.source, trace).await?;
        let compile_ms = millis(compiled.took);
        let tried = self.try_out(id, &slot, compiled, upload.origin, trace);
        let (generation, probe) = tried.await?;
        if generation.version.origin != Origin::Ephemeral {
            self.keep_file(id, &upload.source)
                .inspect_err(|_| discard(&generation))?;
        }
        let mut change = Change {
            compile_ms: Some(compile_ms),
            probe: Some(probe),
            ..change_of(id, &generation.version)
        };
        let _switching = trace.span("switch", Kind::Internal);
        let result = match upload.trial {
            Some(trial) => {
                change.canary = Some(shown(&trial.course));
                let started = self.start_canary(id, &slot, generation.clone(), trial);
                change.switch_us = micros(started.inspect_err(|_| discard(&generation))?);
                "canary"
            }
            None => {
                let switch = self
                    .establish(id, generation.clone())
                    .inspect_err(|_| discard(&generation))?;
                change.switch_us = micros(switch.took);
                change.replaced = switch.replaced;
                "swapped"
            }
        };
        self.metrics.swaps.swapped(id, started.elapsed());
        self.note(id, change.generation, result, None);
        Ok((result, change))
    }

    fn check(&self, upload: &Upload) -> Result<(), ControlError> {
        let found = &upload.source.digest;
        if upload
            .expected_digest
            .as_ref()
            .is_some_and(|given| given != found)
        {
            let reason = format!("its SHA-256 is {found}, not the one that was given");
            return Err(ControlError::at(Step::Digest, reason));
        }
        self.trust
            .check(&upload.source)
            .map_err(|reason| ControlError::at(Step::Signature, reason))
    }

    /// Compiles and links on a thread that serves no requests.
    pub(super) async fn compile(
        &self,
        id: &str,
        source: &Source,
        trace: &Trace,
    ) -> Result<Code, ControlError> {
        let mut compiling = trace.span("compile", Kind::Internal);
        if compiling.is_on() {
            compiling.set("store.component", id.to_owned());
        }
        let compiled = self.compiler.compile(source.clone()).await;
        let compiled = compiled.map_err(|error| match error {
            CompileError::Compile(reason) | CompileError::System(reason) => {
                ControlError::at(Step::Compile, reason)
            }
            CompileError::Link(reason) => ControlError::at(Step::Link, reason),
        })?;
        self.metrics.swaps.compiled(id, compiled.took);
        Ok(compiled)
    }

    /// Makes a generation of the code, and sends it the component's probe.
    async fn try_out(
        &self,
        id: &str,
        slot: &Slot,
        compiled: Code,
        origin: Origin,
        trace: &Trace,
    ) -> Result<(Arc<Generation>, answers::Probe), ControlError> {
        let context = slot.stable.context.clone();
        let origin = match &self.state {
            None if origin == Origin::Stored => Origin::Ephemeral,
            _ => origin,
        };
        let file_digest = match origin {
            Origin::File => Some(compiled.digest.clone()),
            _ => self.file_digest_now(id),
        };
        let version = self.version(id, origin, file_digest, compiled);
        let generation = Generation::new(version, context.clone());
        match probe::ask(&context.probe, &generation, trace).await {
            Ok(answer) => Ok((generation, answer)),
            Err(reason) => {
                discard(&generation);
                Err(ControlError::at(Step::Probe, reason))
            }
        }
    }
}

/// The terms of a trial, for the answer that reports its beginning.
fn shown(course: &Course) -> answers::TrialTerms {
    let share = course.share(course.first());
    answers::TrialTerms {
        share: share.map_or(0.0, TrafficShare::fraction),
        for_ms: u64::try_from(course.step_for.as_millis()).unwrap_or(u64::MAX),
        steps: course.steps.iter().map(|share| share.fraction()).collect(),
        mirror: course.mirror.map(TrafficShare::fraction),
    }
}
