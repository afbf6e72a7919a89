//! Reload: reads the manifest, the variables and the changed files again. Either all of it serves afterwards, or
//! nothing changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use store_server::trace::{Kind, Trace};

use super::audit::audited_app;
use super::claim::Claim;
use super::drain::discard;
use super::first::read_source;
use super::probe;
use super::{Control, ControlError, Initiator, millis, traced};
use crate::answers::{Reload, SignalledReload};
use crate::app::{App, Plan, Slot, preflight};
use crate::instance::{Generation, Origin};

/// Reloads the app on a signal to the process.
#[derive(Clone)]
pub struct Reloader(pub(crate) Arc<Control>);

impl Reloader {
    /// Reads the manifest and the files again and serves them, or logs why that is not possible. The status shows the
    /// outcome. Must not be called again before it has ended, as the status shows one reload.
    pub async fn reload(&self) {
        let before = self.0.signalled_reload.lock().clone();
        let number = before.map_or(0, |before| before.number) + 1;
        let show = |is_running, refusal| {
            *self.0.signalled_reload.lock() = Some(SignalledReload {
                number,
                is_running,
                refusal,
            });
        };
        show(true, None);
        let reloaded = self.0.reload(&Initiator("SIGHUP".into())).await;
        show(false, reloaded.err().map(|error| error.to_string()));
    }
}

/// What will serve one component after the reload.
struct Successor {
    generation: Arc<Generation>,
    file_digest: String,
    /// Whether the code differs from that which serves now.
    is_new: bool,
}

impl Control {
    /// Reads the manifest and the files again and serves them.
    ///
    /// # Errors
    /// The manifest or a file can't be served. The app serves as before.
    pub(crate) async fn reload(&self, peer: &Initiator) -> Result<Reload, ControlError> {
        let started = Instant::now();
        let outcome = self.try_reload().await;
        let outcome = audited_app(peer, "reload", "reloaded", outcome);
        outcome.map(|(components, routes)| Reload {
            components,
            routes,
            elapsed_ms: millis(started.elapsed()),
        })
    }

    async fn try_reload(&self) -> Result<(Vec<String>, usize), ControlError> {
        let root = self.tracing.task("reload");
        let outcome = self.reload_within(root.inside()).await;
        traced(root, outcome)
    }

    async fn reload_within(&self, trace: &Trace) -> Result<(Vec<String>, usize), ControlError> {
        let _claim = Claim::all(&self.claims)?;
        if let Some(id) = self.on_trial().pop_first() {
            return Err(ControlError::OnTrial(id));
        }
        let plan = tokio::task::block_in_place(|| {
            Plan::new(&self.config, &self.metrics, &self.tracing, &self.writers)
        })
        .map_err(|error| ControlError::Reload(error.to_string()))?;
        preflight::check(&plan, &self.config, &self.metrics)
            .await
            .map_err(|unfit| ControlError::Reload(unfit.to_string()))?;
        let mut next = BTreeMap::new();
        let outcome = match self.prepare_all(&plan, &mut next, trace).await {
            Ok(()) => {
                let _switching = trace.span("switch", Kind::Internal);
                self.switch(&plan, &next)
            }
            Err(error) => Err(ControlError::Reload(error.to_string())),
        };
        if let Err(error) = outcome {
            for prepared in next.values() {
                discard(&prepared.generation);
            }
            return Err(error);
        }
        Ok((
            plan.contexts.keys().cloned().collect(),
            plan.manifest.routes.len(),
        ))
    }

    async fn prepare_all(
        &self,
        plan: &Plan,
        next: &mut BTreeMap<String, Successor>,
        trace: &Trace,
    ) -> Result<(), ControlError> {
        for id in plan.contexts.keys() {
            next.insert(id.clone(), self.prepare(plan, id, trace).await?);
        }
        Ok(())
    }

    /// Makes a generation with the new settings. Its code is that which serves if the manifest's file is unchanged,
    /// otherwise that of the file.
    async fn prepare(
        &self,
        plan: &Plan,
        id: &str,
        trace: &Trace,
    ) -> Result<Successor, ControlError> {
        let failed = |fault| ControlError::Reload(plan.load_error(id, fault).to_string());
        let path = plan.manifest.components[id].source.clone();
        let source = tokio::task::block_in_place(|| read_source(&path)).map_err(failed)?;
        let known = self
            .ledgers
            .lock()
            .get(id)
            .and_then(|ledger| ledger.file_digest.clone());
        let serving = self.live.load().stable(id);
        let (version, is_new) = match serving {
            Some(serving) if known.as_deref() == Some(&source.digest) => {
                (serving.version.clone(), false)
            }
            _ => {
                self.trust
                    .check(&source)
                    .map_err(|reason| failed(reason.into()))?;
                let compiled = self
                    .compile(id, &source, trace)
                    .await
                    .map_err(|error| failed(error.to_string().into()))?;
                let file_digest = Some(source.digest.clone());
                let version = self.version(id, Origin::File, file_digest, compiled);
                (version, true)
            }
        };
        let context = plan.contexts[id].clone();
        let generation = Generation::new(version, context.clone());
        if let Err(reason) = probe::ask(&context.probe, &generation, trace).await {
            discard(&generation);
            return Err(failed(format!("its probe failed: {reason}").into()));
        }
        if is_new {
            self.keep_file(id, &source)
                .inspect_err(|_| discard(&generation))?;
        }
        Ok(Successor {
            generation,
            file_digest: source.digest,
            is_new,
        })
    }

    fn switch(&self, plan: &Plan, next: &BTreeMap<String, Successor>) -> Result<(), ControlError> {
        let new = next.iter().filter(|(_, next)| next.is_new);
        self.record_all(new.map(|(id, next)| (id.as_str(), &*next.generation.version)))?;
        let mut ledgers = self.ledgers.lock();
        let before = self.live.load_full();
        let slots = next
            .iter()
            .map(|(id, next)| (id.clone(), Slot::new(next.generation.clone())));
        plan.router.announce();
        self.replace(App {
            router: plan.router.clone(),
            slots: slots.collect(),
        });
        let mut overruled = Vec::new();
        for (id, next) in next {
            let ledger = ledgers.entry(id.clone()).or_default();
            ledger
                .source
                .clone_from(&plan.manifest.components[id].source);
            ledger.file_digest = Some(next.file_digest.clone());
            if ledger.overrule(Some(next.generation.version.number)) {
                overruled.push(id);
            }
            self.count_successor(id, next, before.slots.get(id));
        }
        for (id, slot) in &before.slots {
            let ledger = ledgers.entry(id.clone()).or_default();
            if !next.contains_key(id) {
                ledger.kept.clear();
                if ledger.overrule(None) {
                    overruled.push(id);
                }
                self.metrics
                    .component_left(id, slot.stable.version.digest());
            }
            match next.get(id) {
                Some(next) if next.is_new => self.retire_and_keep(ledger, slot.stable.clone()),
                _ => self.retire(ledger, slot.stable.clone()),
            }
            ledger.settings_changed();
        }
        drop(ledgers);
        for id in overruled {
            self.note_rollout(id);
        }
        for id in before.slots.keys() {
            self.prune(id);
        }
        Ok(())
    }

    /// Updates the metrics that show what serves a component.
    fn count_successor(&self, id: &str, next: &Successor, before: Option<&Slot>) {
        let old = before.map(|slot| slot.stable.version.digest());
        let new = next.generation.version.digest();
        self.metrics.announce_component(id);
        self.metrics.component_serves(id, old, new);
        if next.is_new {
            self.metrics.swaps.tried(id, "reloaded");
        }
    }
}
