//! The whole app anew: the manifest, the variables, the files that changed. All of it serves at once, or none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use super::drain::discard;
use super::load::Source;
use super::{Control, ControlError, Peer, lock, millis};
use crate::app::{App, Plan};
use crate::generation::{Generation, Origin, Version};
use crate::preflight;
use crate::slot::Slot;

/// What a reload did, as the admin API says it.
#[derive(Debug, Serialize)]
pub(crate) struct Reloaded {
    pub(crate) components: Vec<String>,
    pub(crate) routes: usize,
    pub(crate) elapsed_ms: f64,
}

/// One component of the app to be.
struct Next {
    generation: Arc<Generation>,
    file_digest: String,
    /// Whether its code is another than the one that serves.
    is_new: bool,
}

impl Control {
    /// Reads the manifest and the files again and serves them.
    ///
    /// # Errors
    /// What is wrong with them; the app serves on as it was.
    pub(crate) async fn reload(&self, peer: &Peer) -> Result<Reloaded, ControlError> {
        let started = Instant::now();
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(_) => {
                tracing::info!(target: "audit", %peer, action = "reload", result = "reloaded", "The app is reloaded");
            }
            Err(error) => {
                tracing::warn!(target: "audit", %peer, action = "reload", result = "refused", cause = error.label(), "reload refused: {error}");
            }
        }
        outcome.map(|(components, routes)| Reloaded {
            components,
            routes,
            elapsed_ms: millis(started.elapsed()),
        })
    }

    async fn try_reload(&self) -> Result<(Vec<String>, usize), ControlError> {
        let app = self.live.load_full();
        let current: Vec<String> = app.slots.keys().cloned().collect();
        let _claim = self.claim(&current)?;
        if let Some((id, _)) = app.slots.iter().find(|(_, slot)| slot.canary.is_some()) {
            return Err(ControlError::OnTrial(id.clone()));
        }
        drop(app);
        let plan = tokio::task::block_in_place(|| Plan::new(&self.config, &self.metrics))
            .map_err(|error| ControlError::Reload(error.to_string()))?;
        preflight::check(plan.backends().iter(), &self.config, &self.metrics)
            .await
            .map_err(ControlError::Reload)?;
        let mut next = BTreeMap::new();
        for id in plan.contexts.keys() {
            match self.prepare(&plan, id).await {
                Ok(prepared) => {
                    next.insert(id.clone(), prepared);
                }
                Err(error) => {
                    for prepared in next.values() {
                        discard(&prepared.generation);
                    }
                    return Err(ControlError::Reload(error.to_string()));
                }
            }
        }
        self.switch(&plan, next)?;
        Ok((
            plan.contexts.keys().cloned().collect(),
            plan.manifest.routes.len(),
        ))
    }

    /// A generation with the new settings: of the code that serves if the manifest's file is as it was, otherwise of the
    /// file.
    async fn prepare(&self, plan: &Plan, id: &str) -> Result<Next, ControlError> {
        let failed = |reason| ControlError::Reload(plan.load_error(id, reason).to_string());
        let path = plan.manifest.components[id].source.clone();
        let source = tokio::task::block_in_place(|| Source::read(&path)).map_err(failed)?;
        let known = lock(&self.ledgers)
            .get(id)
            .and_then(|ledger| ledger.file_digest.clone());
        let serving = self.live.load().stable(id);
        let (version, is_new) = match serving {
            Some(serving) if known.as_deref() == Some(&source.digest) => {
                (serving.version.clone(), false)
            }
            _ => {
                self.trust
                    .check(&source.bytes, source.signature.as_deref())
                    .map_err(failed)?;
                let compiled = self
                    .compile(id, Bytes::from(source.bytes))
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                let number = lock(&self.ledgers)
                    .entry(id.to_owned())
                    .or_default()
                    .number();
                let version = Version {
                    number,
                    origin: Origin::File,
                    compiled,
                };
                (Arc::new(version), true)
            }
        };
        let context = plan.contexts[id].clone();
        let generation = Generation::new(version, context.clone());
        if let Err(reason) = context.probe.ask(&generation).await {
            discard(&generation);
            return Err(failed(format!("its probe failed: {reason}")));
        }
        Ok(Next {
            generation,
            file_digest: source.digest,
            is_new,
        })
    }

    fn switch(&self, plan: &Plan, next: BTreeMap<String, Next>) -> Result<(), ControlError> {
        for (id, next) in next.iter().filter(|(_, next)| next.is_new) {
            self.point_at(id, &next.generation.version)?;
        }
        let mut ledgers = lock(&self.ledgers);
        let before = self.live.load_full();
        let slots = next
            .iter()
            .map(|(id, next)| (id.clone(), Slot::new(next.generation.clone())));
        self.replace(App {
            router: plan.router.clone(),
            slots: slots.collect(),
        });
        for (id, next) in &next {
            let ledger = ledgers.entry(id.clone()).or_default();
            ledger
                .source
                .clone_from(&plan.manifest.components[id].source);
            ledger.file_digest = Some(next.file_digest.clone());
            let old = before
                .slots
                .get(id)
                .map(|slot| slot.stable.version.digest());
            self.metrics.announce_component(id);
            self.metrics
                .component_serves(id, old, next.generation.version.digest());
        }
        for (id, slot) in &before.slots {
            let ledger = ledgers.entry(id.clone()).or_default();
            let keep = next.get(id).is_some_and(|next| next.is_new);
            if !next.contains_key(id) {
                ledger.kept.clear();
            }
            self.retire(ledger, slot.stable.clone(), keep);
        }
        Ok(())
    }
}
