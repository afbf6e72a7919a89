//! What changes what serves: swaps, rollbacks, canaries, reloads. A component has one change at a time. Requests never
//! wait for one, and nothing that serves imports this room.
//!
//! `load` loads the app when the host starts; `first` chooses the version that each component starts with. `swap`,
//! `rollback` and `reload` are the changes; `file_watch` starts some of them when a file changes. A `rollout` first
//! tries a version, phase by phase. `judge` judges it, and `canary` ends it. Where a command leads several hosts,
//! `fleet` does what the command says, and `guard` acts when the command says nothing any more.
//!
//! Before a change, `claim` makes sure that no other is under way, `trust` checks the signature and `probe` sends the
//! new generation its probe. After it, `drain` ends the old generation, `state_folder` keeps what a restart needs,
//! `purge` tells the proxies, and `audit` writes the log line. `refresh_task` and `refresh` have the reports made anew.
//! Nothing here answers a client's request.

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
use store_server::trace::Tracing;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::claim::{Claim, Claims};
use self::ledger::Ledger;
use crate::answers::{Change, LastChange};
use crate::app::{App, LiveApp, Slot};
use crate::config::Config;
use crate::instance::{Code, Compiler, Generation, Origin, Version};
use crate::metrics::Metrics;
use crate::mysql::WriterRecords;

pub(crate) use self::audit::{Initiator, audited_app, refused};
pub(crate) use self::canary::Cause;
pub(crate) use self::error::{ControlError, Step as SwapStep};
pub(crate) use self::load::Parts;
pub(crate) use self::purge::Purger;
pub use self::reload::Reloader;
pub(crate) use self::rollout::TrialPlan;
pub(crate) use self::rollout_record::Fleet;
pub(crate) use self::state_folder::StateFolder;
pub(crate) use self::swap::Upload;
pub(crate) use self::trust::Trust;

/// The one place that changes what serves: `admin` and `file_watch` ask it for every swap, rollback, trial, reload and
/// refresh.
pub(crate) struct Control {
    pub(crate) live: Arc<LiveApp>,
    compiler: Compiler,
    config: Config,
    metrics: Arc<Metrics>,
    pub(crate) tracing: Tracing,
    trust: Trust,
    state: Option<StateFolder>,
    /// What a reload goes on with.
    writers: Arc<WriterRecords>,
    /// Told after each switch.
    pub(crate) purger: Arc<Purger>,
    /// What is known of each component beside what serves. Held while an app is replaced, never across an await.
    ledgers: Mutex<BTreeMap<String, Ledger>>,
    claims: Arc<Mutex<Claims>>,
    /// Tells the refresh task that another app serves.
    changed: watch::Sender<()>,
    /// Generations that drain and canaries that are watched.
    tasks: Mutex<JoinSet<()>>,
}

impl Control {
    /// The largest component that is received, in bytes.
    pub(crate) fn component_limit_bytes(&self) -> usize {
        self.config.swap.component_limit_bytes()
    }

    /// A receiver that is told whenever another app serves.
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

    /// Whether these bytes are what serves, or the file that was loaded last.
    pub(crate) fn has_loaded(&self, id: &str, digest: &str) -> bool {
        let serves = self.live.load().stable(id);
        let ledgers = self.ledgers.lock();
        let loaded = ledgers
            .get(id)
            .and_then(|ledger| ledger.file_digest.as_deref());
        serves.is_some_and(|serves| serves.version.digest() == digest) || loaded == Some(digest)
    }

    /// The components of which a canary is tried.
    pub(crate) fn on_trial(&self) -> BTreeSet<String> {
        let live = self.live.load();
        let tried = live.slots.iter().filter(|(_, slot)| slot.canary.is_some());
        tried.map(|(id, _)| id.clone()).collect()
    }

    /// Ends the tasks that were started here.
    pub(crate) fn stop(&self) {
        self.tasks.lock().abort_all();
    }

    /// The right to change one component, which is in the app.
    fn claim_one(&self, id: &str) -> Result<(Claim, Slot), ControlError> {
        let claim = Claim::one(&self.claims, id)?;
        let slot = self.live.load().slots.get(id).cloned();
        let slot = slot.ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        Ok((claim, slot))
    }

    /// Gives code that was accepted its number.
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

    /// Makes `generation` the one that serves, after recording it for a restart.
    fn establish(&self, id: &str, generation: Arc<Generation>) -> Result<Switch, ControlError> {
        let version = generation.version.clone();
        // What is ephemeral leaves no trace: a restart finds what it would have found before.
        if version.origin != Origin::Ephemeral {
            self.record(id, &version, version.file_digest.as_deref())?;
        }
        Ok(self.serve_with(id, generation, version.file_digest.clone()))
    }

    /// Makes `generation` the one that serves, without a record. `file_digest` is that of the manifest's file at this time,
    /// if it is known: the generation serves in its place, or is that file.
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

    /// Makes every request from here on see `app`. Returns how long that took.
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

    /// Keeps what came of a change for the status.
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
    /// The generation that serves no longer.
    replaced: Option<u64>,
}

/// The answer to a change about `version`, but for what its switch adds.
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
