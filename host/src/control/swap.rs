//! A swap, step by step. Until the last of them nothing has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::canary::Watched;
use super::drain::discard;
use super::error::Step;
use super::ledger::Last;
use super::probe::{self, Probed};
use super::{CanaryAnswer, Changed, Control, ControlError, Peer, ProbeAnswer, micros, millis};
use crate::app::{Canary, Share, Slot};
use crate::instance::{CompileError, Compiled, Generation, Origin, Source};

/// A component that somebody wants to serve.
pub(crate) struct Upload {
    pub(crate) source: Source,
    /// The SHA-256 that whoever sent it says it has, in hexadecimal.
    pub(crate) expected_digest: Option<String>,
    pub(crate) origin: Origin,
    /// On part of the traffic first.
    pub(crate) trial: Option<Trial>,
}

/// How a canary is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) share: Share,
    pub(crate) lasts: Duration,
}

impl Control {
    /// Swaps, or starts a canary.
    ///
    /// # Errors
    /// The step that failed, and why; what served before serves on.
    pub(crate) async fn swap(
        self: &Arc<Self>,
        id: &str,
        upload: Upload,
        peer: &Peer,
    ) -> Result<Changed, ControlError> {
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
    ) -> Result<(&'static str, Changed), ControlError> {
        let started = Instant::now();
        let (_claim, slot) = self.claim_one(id)?;
        if slot.canary.is_some() {
            return Err(ControlError::OnTrial(id.to_owned()));
        }
        self.check(&upload)?;
        let compiled = self.compile(id, &upload.source).await?;
        let compile_ms = millis(compiled.took);
        let (generation, probed) = self.try_out(id, &slot, compiled, upload.origin).await?;
        if generation.version.origin != Origin::Ephemeral {
            self.keep_file(id, &upload.source)
                .inspect_err(|_| discard(&generation))?;
        }
        let mut changed = Changed {
            compile_ms: Some(compile_ms),
            probe: Some(probed.into()),
            ..Changed::of(id, &generation.version)
        };
        let result = match upload.trial {
            Some(trial) => {
                changed.switch_us = micros(self.start_canary(id, &slot, generation, trial));
                changed.canary = Some(CanaryAnswer {
                    share: trial.share.fraction(),
                    for_ms: u64::try_from(trial.lasts.as_millis()).unwrap_or(u64::MAX),
                });
                "canary"
            }
            None => {
                let established = self
                    .establish(id, generation.clone())
                    .inspect_err(|_| discard(&generation))?;
                changed.switch_us = micros(established.took);
                changed.replaced = established.replaced;
                "swapped"
            }
        };
        self.metrics.swaps.swapped(id, started.elapsed());
        self.note(
            id,
            Last {
                generation: changed.generation,
                result,
                reason: None,
            },
        );
        Ok((result, changed))
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

    /// Compiles and links, away from the requests.
    pub(super) async fn compile(
        &self,
        id: &str,
        source: &Source,
    ) -> Result<Compiled, ControlError> {
        let compiled = self.compiler.compile(source.clone()).await;
        let compiled = compiled.map_err(|error| match error {
            CompileError::Compile(reason) => ControlError::at(Step::Compile, reason),
            CompileError::Link(reason) => ControlError::at(Step::Link, reason),
        })?;
        self.metrics.swaps.compiled(id, compiled.took);
        Ok(compiled)
    }

    /// A generation that has answered its probe.
    async fn try_out(
        &self,
        id: &str,
        slot: &Slot,
        compiled: Compiled,
        origin: Origin,
    ) -> Result<(Arc<Generation>, Probed), ControlError> {
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
        match probe::ask(&context.probe, &generation).await {
            Ok(probed) => Ok((generation, probed)),
            Err(reason) => {
                discard(&generation);
                Err(ControlError::at(Step::Probe, reason))
            }
        }
    }

    fn start_canary(
        self: &Arc<Self>,
        id: &str,
        slot: &Slot,
        generation: Arc<Generation>,
        trial: Trial,
    ) -> Duration {
        let canary = Canary::new(generation, &slot.stable, trial.share, trial.lasts);
        let watched = Watched::of(&canary);
        let slot = Slot {
            stable: slot.stable.clone(),
            canary: Some(Arc::new(canary)),
        };
        let _ledgers = self.ledgers.lock();
        let took = self.replace(self.live.load().with(id, slot));
        self.spawn(self.clone().judge(id.to_owned(), watched));
        took
    }
}

impl From<Probed> for ProbeAnswer {
    fn from(probed: Probed) -> Self {
        Self {
            path: probed.path,
            status: probed.status.as_u16(),
            elapsed_ms: millis(probed.took),
        }
    }
}
