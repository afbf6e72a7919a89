//! Changes what serves: swaps, rollbacks, canaries, roll-outs, reloads. A change has a `claim` to its component, which
//! keeps others out; its version passes `trust` and a `probe` first, and the old generation is left to `drain`.
//!
//! `load` makes the first app, `state_folder` keeps what a restart needs. `file_watch`, `judge` and `refresh_task` act
//! by themselves. Requests never wait for a change, code that serves does not import this room, and nothing here
//! answers a client's request.

mod audit;
mod canary;
mod claim;
mod drain;
mod error;
pub(crate) mod file_watch;
mod first;
mod fleet;
mod guard;
mod judge;
mod ledger;
mod load;
mod probe;
mod purge;
mod records;
mod refresh;
pub(crate) mod refresh_task;
mod reload;
mod rollback;
mod rollout;
mod rollout_record;
mod state_folder;
mod status;
mod swap;
mod trial_status;
mod trust;
mod version_record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use store_server::trace::{Span, Tracing};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::claim::{Claim, Claims};
use self::ledger::Ledger;
use crate::answers::{Change, LastChange, SignalledReload};
use crate::app::{App, LiveApp, Slot};
use crate::config::Config;
use crate::instance::{Code, Compiler, Generation, Origin, Version};
use crate::metrics::Metrics;
use crate::mysql::WriterRecords;

pub(crate) use self::audit::{Initiator, audited_app, refused};
pub(crate) use self::canary::Cause;
pub(crate) use self::error::{ControlError, Step as SwapStep};
pub(crate) use self::first::Parts;
pub(crate) use self::purge::Purger;
pub use self::reload::Reloader;
pub(crate) use self::rollout::TrialPlan;
pub(crate) use self::rollout_record::Fleet;
pub(crate) use self::state_folder::StateFolder;
pub(crate) use self::swap::Upload;
pub(crate) use self::trust::Trust;

/// The one place that changes what serves: `admin` and `file_watch` call it for every swap, rollback, trial, reload and
/// refresh.
pub(crate) struct Control {
    pub(crate) live: Arc<LiveApp>,
    compiler: Compiler,
    config: Config,
    metrics: Arc<Metrics>,
    pub(crate) tracing: Tracing,
    trust: Trust,
    state: Option<StateFolder>,
    /// The records of MySQL's writers, which each reload keeps.
    writers: Arc<WriterRecords>,
    /// Tells the proxies after each switch.
    pub(crate) purger: Arc<Purger>,
    /// What is known of each component besides what serves. Locked while an app is replaced, but never across an await.
    ledgers: Mutex<BTreeMap<String, Ledger>>,
    claims: Arc<Mutex<Claims>>,
    /// Written by [`Reloader`] at the beginning and at the end of each reload.
    signalled_reload: Mutex<Option<SignalledReload>>,
    /// Tells the refresh task that the app was replaced.
    changed: watch::Sender<()>,
    /// The tasks that drain generations and watch canaries.
    tasks: Mutex<JoinSet<()>>,
}

impl Control {
    /// The largest component that is accepted, in bytes.
    pub(crate) fn component_limit_bytes(&self) -> usize {
        self.config.swap.component_limit_bytes()
    }

    /// A receiver that is notified whenever the app was replaced.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The file that the manifest names for each component.
    pub(crate) fn sources(&self) -> Vec<(String, PathBuf)> {
        let app = self.live.load_full();
        let ledgers = self.ledgers.lock();
        let serving = ledgers.iter().filter(|(id, _)| app.slots.contains_key(*id));
        serving
            .map(|(id, ledger)| (id.clone(), ledger.source.clone()))
            .collect()
    }

    /// Whether these bytes are those that serve, or those of the file that was loaded last.
    pub(crate) fn has_loaded(&self, id: &str, digest: &str) -> bool {
        let serves = self.live.load().stable(id);
        let ledgers = self.ledgers.lock();
        let loaded = ledgers
            .get(id)
            .and_then(|ledger| ledger.file_digest.as_deref());
        serves.is_some_and(|serves| serves.version.digest() == digest) || loaded == Some(digest)
    }

    /// The components that have a canary.
    pub(crate) fn on_trial(&self) -> BTreeSet<String> {
        let live = self.live.load();
        let tried = live.slots.iter().filter(|(_, slot)| slot.canary.is_some());
        tried.map(|(id, _)| id.clone()).collect()
    }

    /// Ends the tasks of this object.
    pub(crate) fn stop(&self) {
        self.tasks.lock().abort_all();
    }

    /// Takes the right to change one component, and returns the component's slot.
    fn claim_one(&self, id: &str) -> Result<(Claim, Slot), ControlError> {
        let claim = Claim::one(&self.claims, id)?;
        let slot = self.live.load().slots.get(id).cloned();
        let slot = slot.ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        Ok((claim, slot))
    }

    /// Makes a version of accepted code, with a new number.
    fn version(
        &self,
        id: &str,
        origin: Origin,
        file_digest: Option<String>,
        compiled: Code,
    ) -> Arc<Version> {
        let number = self
            .ledgers
            .lock()
            .entry(id.to_owned())
            .or_default()
            .number();
        Arc::new(Version {
            number,
            origin,
            file_digest,
            compiled,
        })
    }

    /// Makes `generation` the one that serves. Records it first, so that a restart serves it too.
    fn establish(&self, id: &str, generation: Arc<Generation>) -> Result<Switch, ControlError> {
        let version = generation.version.clone();
        // An ephemeral version is not recorded, so a restart serves the version that was recorded before.
        if version.origin != Origin::Ephemeral {
            self.record(id, &version, version.file_digest.as_deref())?;
        }
        Ok(self.serve_with(id, generation, version.file_digest.clone()))
    }

    /// Makes `generation` the one that serves, without a record. `file_digest` is the digest of the manifest's file at
    /// this time, if it is known. The generation either comes from that file or serves instead of it.
    fn serve_with(
        &self,
        id: &str,
        generation: Arc<Generation>,
        file_digest: Option<String>,
    ) -> Switch {
        let version = generation.version.clone();
        let mut ledgers = self.ledgers.lock();
        let ledger = ledgers.entry(id.to_owned()).or_default();
        let before = self.live.load().stable(id);
        let took = self.replace(self.live.load().with(id, Slot::new(generation)));
        let replaced = before.as_ref().map(|before| before.version.number);
        let old_digest = before.as_ref().map(|before| before.version.digest());
        self.metrics
            .component_serves(id, old_digest, version.digest());
        ledger.file_digest = file_digest.or(ledger.file_digest.take());
        ledger.forget(version.number);
        let is_overruled = ledger.overrule(Some(version.number));
        if let Some(before) = before {
            self.retire_and_keep(ledger, before);
        }
        drop(ledgers);
        if is_overruled {
            self.note_rollout(id);
        }
        self.prune(id);
        Switch { took, replaced }
    }

    /// Replaces the app: every request from now on sees `app`. Returns how long that took.
    fn replace(&self, app: App) -> Duration {
        let app = Arc::new(app);
        let started = Instant::now();
        let before = self.live.swap(app);
        let took = started.elapsed();
        drop(before);
        self.changed.send_replace(());
        self.purger.start();
        took
    }

    /// The root span of the trace of a change to `generation`.
    fn change_span(&self, name: &'static str, generation: &Generation) -> Span {
        let mut root = self.tracing.task(name);
        generation.life.describe(&mut root);
        root
    }

    /// Keeps the outcome of a change for the status.
    fn note(&self, id: &str, generation: u64, result: &str, reason: Option<String>) {
        if let Some(ledger) = self.ledgers.lock().get_mut(id) {
            ledger.last = Some(LastChange {
                generation,
                result: result.to_owned(),
                reason,
            });
        }
    }
}

/// A switch that was made.
struct Switch {
    took: Duration,
    /// The generation that no longer serves.
    replaced: Option<u64>,
}

/// Ends the trace of a change with the reason why it failed, if it did. Returns its outcome.
fn traced<T>(mut root: Span, outcome: Result<T, ControlError>) -> Result<T, ControlError> {
    if let Err(error) = &outcome {
        root.fail(error.label());
    }
    outcome
}

/// The answer about a change to `version`, before the results of the switch are added.
fn change_of(component: &str, version: &Version) -> Change {
    Change {
        component: component.to_owned(),
        generation: version.number,
        digest: version.digest().to_owned(),
        compile_ms: None,
        probe: None,
        switch_us: 0.0,
        replaced: None,
        canary: None,
        persisted: version.origin != Origin::Ephemeral,
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

fn millis(time: Duration) -> f64 {
    micros(time) / 1000.0
}
