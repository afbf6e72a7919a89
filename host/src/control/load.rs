//! Loads the app when the host starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Control;
use super::first::{FirstVersion, Parts};
use super::ledger::Ledger;
use crate::app::{App, AppError, LiveApp, LoadFault, Plan, Slot};
use crate::instance::Generation;

impl Parts {
    /// Loads the version that each component of a plan starts with, each on a thread of its own.
    fn load_all<'a>(&self, plan: &'a Plan) -> BTreeMap<&'a String, Result<FirstVersion, AppError>> {
        std::thread::scope(|scope| {
            let components = plan.manifest.components.iter();
            let threads: Vec<_> = components
                .map(|(id, entry)| (id, scope.spawn(|| self.load_first(id, &entry.source))))
                .collect();
            let joined = threads.into_iter().map(|(id, thread)| {
                let first = thread
                    .join()
                    .unwrap_or_else(|_| Err(LoadFault::Host("the compiler panicked".into())));
                (id, first.map_err(|fault| plan.load_error(id, fault)))
            });
            joined.collect()
        })
    }
}

impl Control {
    /// Loads every component of a plan: the accepted version if one was kept for a restart, otherwise the manifest's
    /// file. Blocks this thread and one more for each component for some seconds.
    ///
    /// # Errors
    /// A component can't be served; the error names the first such component.
    pub(crate) fn load(plan: &Plan, parts: Parts) -> Result<Arc<Self>, AppError> {
        let mut slots = BTreeMap::new();
        let mut ledgers = BTreeMap::new();
        let mut rollouts = Vec::new();
        for (id, first) in parts.load_all(plan) {
            let FirstVersion {
                version,
                file_digest,
                kept,
                numbered,
                rollout,
            } = first?;
            let digest = version.digest();
            tracing::info!(component = id, digest, "Loaded component `{id}`");
            parts.metrics.announce_component(id);
            parts.metrics.component_serves(id, None, digest);
            let ledger = Ledger {
                numbered,
                kept,
                source: plan.manifest.components[id].source.clone(),
                file_digest: Some(file_digest),
                ..Ledger::default()
            };
            ledgers.insert(id.clone(), ledger);
            rollouts.extend(rollout.map(|rollout| (id, rollout)));
            let context = plan.contexts[id].clone();
            let generation = Generation::new(Arc::new(version), context);
            slots.insert(id.clone(), Slot::new(generation));
        }
        plan.router.announce();
        let app = App {
            router: plan.router.clone(),
            slots,
        };
        let control = Arc::new(Self {
            live: Arc::new(LiveApp::from_pointee(app)),
            compiler: parts.compiler,
            config: parts.config,
            metrics: parts.metrics,
            tracing: parts.tracing,
            trust: parts.trust,
            state: parts.state,
            writers: parts.writers,
            purger: parts.purger,
            ledgers: Mutex::new(ledgers),
            claims: Arc::default(),
            signalled_reload: Mutex::default(),
            changed: watch::Sender::new(()),
            tasks: Mutex::new(JoinSet::new()),
        });
        for (id, rollout) in rollouts {
            control.resume(id, rollout);
        }
        Ok(control)
    }
}
