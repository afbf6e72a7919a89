//! A swap, step by step. Until the last of them nothing has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::canary::Watched;
use super::drain::discard;
use super::error::Step;
use super::ledger::Last;
use super::{
    CanaryAnswer, Changed, Control, ControlError, Peer, ProbeAnswer, lock, micros, millis,
};
use crate::component::{CompileError, Compiled};
use crate::generation::{Generation, Origin, Version};
use crate::probe::Probed;
use crate::slot::{Canary, Share, Slot};

/// A component that somebody wants to serve.
pub(crate) struct Upload {
    pub(crate) bytes: Bytes,
    /// The SHA-256 that whoever sent it says it has.
    pub(crate) digest: Option<Vec<u8>>,
    /// A detached signature, as in a `.minisig` file.
    pub(crate) signature: Option<String>,
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
        let digest = crate::component::digest(&upload.bytes);
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
        let compiled = self.compile(id, upload.bytes.clone()).await?;
        let compile_ms = millis(compiled.took);
        let (generation, probed) = self.try_out(id, &slot, compiled, upload.origin).await?;
        let kept = self.keep_file(id, &upload);
        if let Err(error) = kept {
            discard(&generation);
            return Err(error);
        }
        let mut changed = Changed {
            component: id.to_owned(),
            generation: generation.version.number,
            digest: generation.version.digest().to_owned(),
            compile_ms: Some(compile_ms),
            probe: Some(probed.into()),
            switch_us: 0.0,
            replaced: None,
            canary: None,
            persisted: generation.version.origin != Origin::Ephemeral,
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
        if let Some(given) = &upload.digest {
            let found = Sha256::digest(&upload.bytes);
            if given.as_slice() != found.as_slice() {
                let reason = format!("its SHA-256 is {found:x}, not the one that was given");
                return Err(ControlError::at(Step::Digest, reason));
            }
        }
        self.trust
            .check(&upload.bytes, upload.signature.as_deref())
            .map_err(|reason| ControlError::at(Step::Signature, reason))
    }

    /// Compiles and links, away from the requests.
    pub(super) async fn compile(&self, id: &str, bytes: Bytes) -> Result<Compiled, ControlError> {
        let compiled = self.compiler.compile(bytes).await;
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
        let number = lock(&self.ledgers)
            .entry(id.to_owned())
            .or_default()
            .number();
        let version = Version {
            number,
            origin,
            compiled,
        };
        let generation = Generation::new(Arc::new(version), context.clone());
        match context.probe.ask(&generation).await {
            Ok(probed) => Ok((generation, probed)),
            Err(reason) => {
                discard(&generation);
                Err(ControlError::at(Step::Probe, reason))
            }
        }
    }

    /// Keeps an upload's bytes for a restart.
    fn keep_file(&self, id: &str, upload: &Upload) -> Result<(), ControlError> {
        match &self.state {
            Some(state) if upload.origin == Origin::Stored => {
                let signature = upload.signature.as_deref();
                tokio::task::block_in_place(|| state.keep(id, &upload.bytes, signature)).map_err(
                    |error| ControlError::at(Step::Persist, format!("can't be kept: {error}")),
                )
            }
            _ => {
                if upload.origin == Origin::File
                    && let Some(ledger) = lock(&self.ledgers).get_mut(id)
                {
                    ledger.file_digest = Some(crate::component::digest(&upload.bytes));
                }
                Ok(())
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
        let _ledgers = lock(&self.ledgers);
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
