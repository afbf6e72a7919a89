//! The start: what serves first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use wasmtime::Engine;

use super::Control;
use super::ledger::Ledger;
use crate::app::{App, AppError, Live, Plan};
use crate::compiler::Compiler;
use crate::component::{Compiled, digest};
use crate::config::Config;
use crate::generation::{Generation, Origin, Version};
use crate::metrics::Metrics;
use crate::slot::Slot;
use crate::state_folder::{Record, StateFolder};
use crate::trust::{Trust, beside};

/// What the host is made of, beside its app.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) compiler: Compiler,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trust: Trust,
    pub(crate) state: Option<StateFolder>,
}

/// The file of a component that the manifest names.
pub(super) struct Source {
    pub(super) bytes: Vec<u8>,
    pub(super) signature: Option<String>,
    pub(super) digest: String,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path)
            .map_err(|source| format!("can't be read: {source}; build the component first"))?;
        Ok(Self {
            digest: digest(&bytes),
            // Whether it must be there is for `Trust` to say.
            signature: std::fs::read_to_string(beside(path)).ok(),
            bytes,
        })
    }
}

impl Control {
    /// Loads every component of a plan: the accepted one if a swap should survive, otherwise the manifest's file. Keeps
    /// this thread busy for seconds, and one more for each component.
    ///
    /// # Errors
    /// The first component that can't be served.
    pub(crate) fn load(plan: &Plan, parts: Parts) -> Result<Arc<Self>, AppError> {
        let loaded: BTreeMap<&String, Result<_, AppError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = plan
                .manifest
                .components
                .iter()
                .map(|(id, entry)| (id, scope.spawn(|| parts.load_first(id, &entry.source))))
                .collect();
            let joined = threads.into_iter().map(|(id, thread)| {
                let first = thread
                    .join()
                    .unwrap_or_else(|_| Err("the compiler panicked".into()));
                (id, first.map_err(|reason| plan.load_error(id, reason)))
            });
            joined.collect()
        });
        let mut slots = BTreeMap::new();
        let mut ledgers = BTreeMap::new();
        for (id, first) in loaded {
            let (version, file_digest) = first?;
            let digest = version.digest();
            tracing::info!(component = id, digest, "Loaded component `{id}`");
            parts.metrics.announce_component(id);
            parts.metrics.component_serves(id, None, digest);
            let ledger = Ledger {
                numbered: version.number,
                source: plan.manifest.components[id].source.clone(),
                file_digest: Some(file_digest),
                ..Ledger::default()
            };
            ledgers.insert(id.clone(), ledger);
            let context = plan.contexts[id].clone();
            let generation = Generation::new(Arc::new(version), context);
            slots.insert(id.clone(), Slot::new(generation));
        }
        let app = App {
            router: plan.router.clone(),
            slots,
        };
        Ok(Arc::new(Self {
            live: Arc::new(Live::from_pointee(app)),
            compiler: parts.compiler,
            config: parts.config,
            metrics: parts.metrics,
            trust: parts.trust,
            state: parts.state,
            ledgers: Mutex::new(ledgers),
            claimed: Arc::default(),
            changed: watch::Sender::new(()),
            tasks: Mutex::new(JoinSet::new()),
        }))
    }
}

impl Parts {
    /// The first version of a component, and the digest of the manifest's file.
    fn load_first(&self, id: &str, source: &Path) -> Result<(Version, String), String> {
        let file = Source::read(source)?;
        if let Some(version) = self.load_accepted(id, &file.digest) {
            return Ok((version, file.digest));
        }
        self.trust.check(&file.bytes, file.signature.as_deref())?;
        let compiled =
            Compiled::new(&self.engine, &file.bytes).map_err(|error| error.to_string())?;
        let version = Version {
            number: 1,
            origin: Origin::File,
            compiled,
        };
        Ok((version, file.digest))
    }

    /// The version that was swapped in before the restart, unless the manifest's file has changed since: whoever
    /// deploys a file means it to run.
    fn load_accepted(&self, id: &str, file_digest: &str) -> Option<Version> {
        let state = self.state.as_ref()?;
        let record = match state.record(id) {
            Ok(record) => record?,
            Err(error) => {
                tracing::error!(
                    component = id,
                    "What was swapped in for `{id}` is not known, so its own file serves: {error}"
                );
                return None;
            }
        };
        if record.file_digest.as_deref() != Some(file_digest) {
            tracing::warn!(
                component = id,
                accepted = record.digest,
                deployed = file_digest,
                "The file of `{id}` has changed since generation {} was swapped in, so the file serves",
                record.generation
            );
            if let Err(error) = state.point(id, None) {
                tracing::error!(component = id, "Can't forget the swap of `{id}`: {error}");
            }
            return None;
        }
        match self.compile_accepted(state, id, &record) {
            Ok(version) => {
                tracing::info!(
                    component = id,
                    digest = record.digest,
                    "Serving generation {} of `{id}`, swapped in at {}, instead of its own file",
                    record.generation,
                    record.accepted_at
                );
                Some(version)
            }
            Err(reason) => {
                tracing::error!(
                    component = id,
                    digest = record.digest,
                    "Generation {} of `{id}` was swapped in and can't be loaded, so its own file serves: {reason}",
                    record.generation
                );
                None
            }
        }
    }

    fn compile_accepted(
        &self,
        state: &StateFolder,
        id: &str,
        record: &Record,
    ) -> Result<Version, String> {
        let accepted = state
            .accepted(id, &record.digest)
            .map_err(|error| error.to_string())?;
        self.trust
            .check(&accepted.bytes, accepted.signature.as_deref())?;
        let compiled =
            Compiled::new(&self.engine, &accepted.bytes).map_err(|error| error.to_string())?;
        Ok(Version {
            number: record.generation,
            origin: Origin::Stored,
            compiled,
        })
    }
}
