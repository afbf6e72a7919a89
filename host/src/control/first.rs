//! The version that a component starts with: the one that an earlier process accepted last, or the manifest's file.

use std::path::Path;
use std::sync::Arc;

use store_server::trace::Tracing;
use wasmtime::Engine;

use super::ledger::KeptVersion;
use super::purge::Purger;
use super::rollout::RestoredRollout;
use super::state_folder::StateFolder;
use super::trust::Trust;
use super::version_record::{EarlierVersion, Record};
use crate::app::LoadFault;
use crate::config::Config;
use crate::instance::{Code, CompileError, Compiler, Origin, Source, Version};
use crate::metrics::Metrics;
use crate::mysql::WriterRecords;

/// The parts of [`Control`](super::Control) that are made before the app is loaded.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) compiler: Compiler,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracing: Tracing,
    pub(crate) purger: Arc<Purger>,
    pub(crate) trust: Trust,
    pub(crate) state: Option<StateFolder>,
    pub(crate) writers: Arc<WriterRecords>,
}

/// What a component starts with.
pub(super) struct FirstVersion {
    pub(super) version: Version,
    /// The SHA-256 digest of the manifest's file.
    pub(super) file_digest: String,
    /// The versions that a rollback can choose.
    pub(super) kept: Vec<KeptVersion>,
    /// The highest version number that is known.
    pub(super) numbered: u64,
    /// The last roll-out. It continues if it had not ended.
    pub(super) rollout: Option<RestoredRollout>,
}

/// Reads a component's file that the manifest names.
///
/// # Errors
/// The file can't be read; the text says what to do.
pub(super) fn read_source(path: &Path) -> Result<Source, LoadFault> {
    Source::read(path).map_err(LoadFault::Unreadable)
}

impl Parts {
    /// Loads the version that was accepted last, or else the manifest's file.
    pub(super) fn load_first(&self, id: &str, path: &Path) -> Result<FirstVersion, LoadFault> {
        let file = read_source(path)?;
        let file_digest = file.digest.clone();
        let record = self
            .record(id)
            .map(|record| self.unless_deployed(id, record, &file.digest));
        let accepted = record
            .as_ref()
            .and_then(|record| self.load_accepted(id, record, &file.digest));
        let version = match accepted {
            Some(version) => version,
            None => self.load_file(id, &file, record.as_ref())?,
        };
        let earlier = record.iter().flat_map(|record| &record.earlier);
        let kept = earlier
            .filter_map(|earlier| self.load_earlier(id, earlier, &file_digest))
            .collect();
        let rollout = self.rollout(id, version.digest());
        let highest = record.map_or(0, |record| record.highest());
        let tried = rollout
            .as_ref()
            .map_or(0, |rollout| rollout.record.generation);
        Ok(FirstVersion {
            numbered: version.number.max(highest).max(tried),
            rollout,
            version,
            file_digest,
            kept,
        })
    }

    fn record(&self, id: &str) -> Option<Record> {
        self.state.as_ref()?.record(id).unwrap_or_else(|error| {
            tracing::error!(
                component = id,
                "Can't read which version of `{id}` was swapped in, so the file that the manifest names serves: {error}"
            );
            None
        })
    }

    /// The last roll-out of `id`. `serves` is the digest of the version that serves.
    fn rollout(&self, id: &str, serves: &str) -> Option<RestoredRollout> {
        let state = self.state.as_ref()?;
        let record = state.rollout(id).unwrap_or_else(|error| {
            tracing::error!(
                component = id,
                "Can't read how the last roll-out of `{id}` ended: {error}"
            );
            None
        })?;
        let compile = |digest: &str| self.compile_accepted(state, id, digest);
        Some(RestoredRollout::new(record, serves, compile))
    }

    /// Loads the manifest's file, and keeps a copy for rollbacks after another version has taken its place.
    fn load_file(
        &self,
        id: &str,
        file: &Source,
        record: Option<&Record>,
    ) -> Result<Version, LoadFault> {
        let number = match record {
            Some(record) if record.digest == file.digest => record.generation,
            Some(record) => record.highest() + 1,
            None => 1,
        };
        self.trust.check(file)?;
        let version = Version {
            number,
            origin: Origin::File,
            file_digest: Some(file.digest.clone()),
            compiled: self.compile(file)?,
        };
        if let Some(state) = &self.state
            && !state.holds(id, &file.digest)
            && let Err(error) = state.keep(id, file)
        {
            tracing::warn!(
                component = id,
                "The file of `{id}` can't be kept for rollbacks after a restart: {error}"
            );
        }
        Ok(version)
    }

    /// Loads the version that was swapped in before the restart. `None` if that is the manifest's file itself, or if it
    /// can't be loaded.
    fn load_accepted(&self, id: &str, record: &Record, file_digest: &str) -> Option<Version> {
        let state = self.state.as_ref()?;
        if record.digest == file_digest {
            return None;
        }
        match self.compile_accepted(state, id, &record.digest) {
            Ok(compiled) => {
                tracing::info!(
                    component = id,
                    digest = record.digest,
                    "Serving generation {} of `{id}`, swapped in at {}, instead of the file that the manifest names",
                    record.generation,
                    record.accepted_at
                );
                Some(Version {
                    number: record.generation,
                    origin: Origin::Stored,
                    file_digest: Some(file_digest.to_owned()),
                    compiled,
                })
            }
            Err(reason) => {
                tracing::error!(
                    component = id,
                    digest = record.digest,
                    "Generation {} of `{id}` was swapped in and can't be loaded, so the file that the manifest names serves: {reason}",
                    record.generation
                );
                None
            }
        }
    }

    /// Returns the record if the manifest's file is unchanged. If the file has changed, it was deployed to be run, so
    /// this returns a new record for it. The new record is also written, so that the old swap does not come back when
    /// the old file does.
    fn unless_deployed(&self, id: &str, record: Record, file_digest: &str) -> Record {
        if record.file_digest.as_deref() == Some(file_digest) {
            return record;
        }
        tracing::warn!(
            component = id,
            accepted = record.digest,
            deployed = file_digest,
            "The file of `{id}` has changed since generation {} began to serve, so the file serves",
            record.generation
        );
        let number = record.highest() + 1;
        let mut earlier = record.earlier;
        earlier.push(EarlierVersion {
            generation: record.generation,
            digest: record.digest,
        });
        let most = self.config.swap.keep_generations;
        let now = Record::now(number, file_digest, Some(file_digest), earlier, most);
        if let Some(state) = &self.state
            && let Err(error) = state.point(id, Some(&now))
        {
            tracing::error!(component = id, "Can't forget the swap of `{id}`: {error}");
        }
        now
    }

    /// Loads a version that served before, for a rollback.
    fn load_earlier(
        &self,
        id: &str,
        earlier: &EarlierVersion,
        file_digest: &str,
    ) -> Option<KeptVersion> {
        let state = self.state.as_ref()?;
        match self.compile_accepted(state, id, &earlier.digest) {
            Ok(compiled) => Some(KeptVersion::anew(Version {
                number: earlier.generation,
                origin: if earlier.digest == file_digest {
                    Origin::File
                } else {
                    Origin::Stored
                },
                file_digest: None,
                compiled,
            })),
            Err(reason) => {
                tracing::warn!(
                    component = id,
                    digest = earlier.digest,
                    "Generation {} of `{id}` can't be rolled back to: {reason}",
                    earlier.generation
                );
                None
            }
        }
    }

    fn compile_accepted(
        &self,
        state: &StateFolder,
        id: &str,
        digest: &str,
    ) -> Result<Code, String> {
        let accepted = state.accepted(id, digest);
        let accepted = accepted.map_err(|error| error.to_string())?;
        self.trust.check(&accepted)?;
        self.compile(&accepted).map_err(|fault| fault.to_string())
    }

    fn compile(&self, source: &Source) -> Result<Code, LoadFault> {
        Code::new(&self.engine, source).map_err(|error| match error {
            CompileError::System(reason) => LoadFault::Host(reason),
            CompileError::Compile(reason) | CompileError::Link(reason) => LoadFault::Unfit(reason),
        })
    }
}
