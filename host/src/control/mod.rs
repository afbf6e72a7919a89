//! Changes of what serves: swaps, rollbacks, canaries, reloads. One change of a component at a time; requests never wait
//! for one.

mod audit;
mod canary;
mod drain;
mod error;
mod ledger;
mod load;
mod reload;
mod rollback;
mod status;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::error::Step;
use self::ledger::{Last, Ledger};
use crate::app::{App, Live};
use crate::compiler::Compiler;
use crate::config::Config;
use crate::generation::{Generation, Origin, Version};
use crate::metrics::Metrics;
use crate::slot::Slot;
use crate::state_folder::{Record, StateFolder};
use crate::trust::Trust;

pub(crate) use self::audit::{Peer, refused};
pub(crate) use self::error::{ControlError, Step as SwapStep};
pub(crate) use self::load::Parts;
pub(crate) use self::swap::{Trial, Upload};

/// Whoever changes what serves asks this.
pub(crate) struct Control {
    pub(crate) live: Arc<Live>,
    compiler: Compiler,
    config: Config,
    metrics: Arc<Metrics>,
    trust: Trust,
    state: Option<StateFolder>,
    /// What is known of each component beside what serves. Held while an app is replaced, never across an await.
    ledgers: Mutex<BTreeMap<String, Ledger>>,
    /// Components of which a change is under way. Written by [`Claim`].
    claimed: Arc<Mutex<BTreeSet<String>>>,
    /// Says that another app serves.
    changed: watch::Sender<()>,
    /// Generations that drain and canaries that are watched.
    tasks: Mutex<JoinSet<()>>,
}

/// The right to change a component, given back on drop.
struct Claim {
    ids: Vec<String>,
    claimed: Arc<Mutex<BTreeSet<String>>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = lock(&self.claimed);
        for id in &self.ids {
            claimed.remove(id);
        }
    }
}

/// What a change did, as the admin API says it.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    pub(crate) component: String,
    /// The one that the change was about.
    pub(crate) generation: u64,
    pub(crate) digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<ProbeAnswer>,
    /// How long the switch itself took.
    pub(crate) switch_us: f64,
    /// The one that serves no longer.
    pub(crate) replaced: Option<u64>,
    pub(crate) canary: Option<CanaryAnswer>,
    /// Whether a restart finds it again.
    pub(crate) persisted: bool,
}

/// What the probe was answered.
#[derive(Debug, Serialize)]
pub(crate) struct ProbeAnswer {
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) elapsed_ms: f64,
}

/// The trial that began.
#[derive(Debug, Serialize)]
pub(crate) struct CanaryAnswer {
    pub(crate) share: f64,
    pub(crate) for_ms: u64,
}

impl Control {
    /// The largest component that is received.
    pub(crate) fn component_limit_bytes(&self) -> usize {
        self.config.swap.component_limit_bytes()
    }

    /// Tells when another app serves.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The file of each component.
    pub(crate) fn sources(&self) -> Vec<(String, PathBuf)> {
        let app = self.live.load_full();
        let ledgers = lock(&self.ledgers);
        let serving = ledgers.iter().filter(|(id, _)| app.slots.contains_key(*id));
        serving
            .map(|(id, ledger)| (id.clone(), ledger.source.clone()))
            .collect()
    }

    /// Whether these bytes are what serves, or the file that was loaded last.
    pub(crate) fn has_loaded(&self, id: &str, digest: &str) -> bool {
        let serves = self.live.load().stable(id);
        let ledgers = lock(&self.ledgers);
        let loaded = ledgers
            .get(id)
            .and_then(|ledger| ledger.file_digest.as_deref());
        serves.is_some_and(|serves| serves.version.digest() == digest) || loaded == Some(digest)
    }

    /// Whether a canary of any component is tried.
    pub(crate) fn is_on_trial(&self) -> bool {
        let live = self.live.load();
        live.slots.values().any(|slot| slot.canary.is_some())
    }

    /// Ends what was started here.
    pub(crate) fn stop(&self) {
        lock(&self.tasks).abort_all();
    }

    fn claim(&self, ids: &[String]) -> Result<Claim, ControlError> {
        let mut claimed = lock(&self.claimed);
        if let Some(busy) = ids.iter().find(|id| claimed.contains(*id)) {
            return Err(ControlError::Busy(busy.clone()));
        }
        claimed.extend(ids.iter().cloned());
        Ok(Claim {
            ids: ids.to_vec(),
            claimed: self.claimed.clone(),
        })
    }

    /// The right to change one component, which is in the app.
    fn claim_one(&self, id: &str) -> Result<(Claim, Slot), ControlError> {
        let claim = self.claim(&[id.to_owned()])?;
        let slot = self.live.load().slots.get(id).cloned();
        let slot = slot.ok_or_else(|| ControlError::Unknown(id.to_owned()))?;
        Ok((claim, slot))
    }

    /// Makes `generation` the one that serves, after noting it for a restart.
    fn establish(
        &self,
        id: &str,
        generation: Arc<Generation>,
    ) -> Result<Established, ControlError> {
        let version = generation.version.clone();
        self.point_at(id, &version)?;
        let mut ledgers = lock(&self.ledgers);
        let ledger = ledgers.entry(id.to_owned()).or_default();
        let before = self.live.load().stable(id);
        let took = self.replace(self.live.load().with(id, Slot::new(generation)));
        let replaced = before.as_ref().map(|before| before.version.number);
        let old_digest = before.as_ref().map(|before| before.version.digest());
        self.metrics
            .component_serves(id, old_digest, version.digest());
        ledger.forget(version.number);
        if let Some(before) = before {
            self.retire(ledger, before, true);
        }
        Ok(Established { took, replaced })
    }

    /// The switch: every request from here on sees `app`.
    fn replace(&self, app: App) -> Duration {
        let app = Arc::new(app);
        let started = Instant::now();
        let before = self.live.swap(app);
        let took = started.elapsed();
        drop(before);
        self.changed.send_replace(());
        took
    }

    /// Notes for a restart that `version` serves.
    fn point_at(&self, id: &str, version: &Version) -> Result<(), ControlError> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let record = match version.origin {
            Origin::Ephemeral => return Ok(()),
            Origin::File => None,
            Origin::Stored => Some(Record {
                generation: version.number,
                digest: version.digest().to_owned(),
                file_digest: self.file_digest_now(id),
                accepted_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            }),
        };
        tokio::task::block_in_place(|| state.point(id, record.as_ref()))
            .map_err(|error| ControlError::at(Step::Persist, format!("can't be kept: {error}")))
    }

    /// The digest of the manifest's file as it is now, which need not be the one that was loaded.
    fn file_digest_now(&self, id: &str) -> Option<String> {
        let source = lock(&self.ledgers).get(id)?.source.clone();
        let bytes = tokio::task::block_in_place(|| std::fs::read(source)).ok()?;
        Some(crate::component::digest(&bytes))
    }

    fn note(&self, id: &str, last: Last) {
        if let Some(ledger) = lock(&self.ledgers).get_mut(id) {
            ledger.last = Some(last);
        }
    }
}

/// What [`Control::establish`] did.
struct Established {
    took: Duration,
    replaced: Option<u64>,
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

fn millis(time: Duration) -> f64 {
    micros(time) / 1000.0
}

/// A panic elsewhere leaves these lists and sets themselves whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
