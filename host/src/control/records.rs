//! Records for a restart which version of each component serves, and keeps the files that a restart may need.

use std::collections::BTreeSet;

use super::error::Step;
use super::version_record::{EarlierVersion, Record};
use super::{Control, ControlError};
use crate::instance::{Origin, Source, Version};

impl Control {
    /// Keeps a component's file, for a restart or for a rollback after one.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) fn keep_file(&self, id: &str, source: &Source) -> Result<(), ControlError> {
        match &self.state {
            Some(state) => tokio::task::block_in_place(|| state.keep(id, source))
                .map_err(|error| not_kept(&error)),
            None => Ok(()),
        }
    }

    /// Records for a restart that `version` serves while the manifest's file has the digest `file_digest`. Returns
    /// whether a restart will serve this version too.
    ///
    /// # Errors
    /// The record can't be written; then a restart finds the old one.
    pub(super) fn record(
        &self,
        id: &str,
        version: &Version,
        file_digest: Option<&str>,
    ) -> Result<bool, ControlError> {
        let is_the_file = file_digest == Some(version.digest());
        let Some(state) = &self.state else {
            return Ok(is_the_file);
        };
        tokio::task::block_in_place(|| {
            let is_held = version.origin != Origin::Ephemeral && state.holds(id, version.digest());
            let survives = is_the_file || is_held;
            let record = survives.then(|| self.record_of(id, version, file_digest));
            state.point(id, record.as_ref()).map(|()| survives)
        })
        .map_err(|error| not_kept(&error))
    }

    /// Records several versions. If one of them can't be recorded, none is.
    ///
    /// # Errors
    /// As for [`Control::record`].
    pub(super) fn record_all<'a>(
        &self,
        versions: impl Iterator<Item = (&'a str, &'a Version)>,
    ) -> Result<(), ControlError> {
        let mut before = Vec::new();
        for (id, version) in versions {
            let old = self.state.as_ref().map(|state| state.record(id));
            if let Err(error) = self.record(id, version, version.file_digest.as_deref()) {
                self.restore(&before);
                return Err(error);
            }
            // A record that could not be read is not restored.
            before.push((id, old.and_then(Result::ok).flatten()));
        }
        Ok(())
    }

    fn restore(&self, records: &[(&str, Option<Record>)]) {
        let Some(state) = &self.state else { return };
        for (id, record) in records {
            let restored = tokio::task::block_in_place(|| state.point(id, record.as_ref()));
            if let Err(error) = restored {
                tracing::error!(
                    component = id,
                    "Can't record which version of `{id}` serves, so a restart may serve another: {error}"
                );
            }
        }
    }

    fn record_of(&self, id: &str, version: &Version, file_digest: Option<&str>) -> Record {
        let serves = self.live.load().stable(id).map(|live| live.version.clone());
        let ledgers = self.ledgers.lock();
        let kept = ledgers.get(id).into_iter().flat_map(|ledger| &ledger.kept);
        let earlier = kept
            .map(|kept| &kept.version)
            .chain(&serves)
            .filter(|one| one.number != version.number && one.origin != Origin::Ephemeral)
            .map(|one| EarlierVersion {
                generation: one.number,
                digest: one.digest().to_owned(),
            })
            .collect();
        let most = self.config.swap.keep_generations;
        Record::now(version.number, version.digest(), file_digest, earlier, most)
    }

    /// Removes the files of versions that neither serve nor are kept.
    pub(super) fn prune(&self, id: &str) {
        let Some(state) = &self.state else { return };
        let mut needed = BTreeSet::new();
        if let Some(slot) = self.live.load().slots.get(id) {
            needed.insert(slot.stable.version.digest().to_owned());
            let canary = slot.canary.iter();
            needed.extend(canary.map(|canary| canary.generation().version.digest().to_owned()));
        }
        if let Some(ledger) = self.ledgers.lock().get(id) {
            let kept = ledger.kept.iter();
            needed.extend(kept.map(|kept| kept.version.digest().to_owned()));
        }
        tokio::task::block_in_place(|| state.prune(id, |digest| needed.contains(digest)));
    }

    /// The digest of the manifest's file as it is now. It may differ from the digest of the file that was loaded.
    pub(super) fn file_digest_now(&self, id: &str) -> Option<String> {
        let source = self.ledgers.lock().get(id)?.source.clone();
        let read = tokio::task::block_in_place(|| Source::read(&source));
        read.ok().map(|source| source.digest)
    }
}

fn not_kept(error: &std::io::Error) -> ControlError {
    ControlError::at(Step::Persist, format!("can't be kept: {error}"))
}
