//! Where answers are kept: a answers in memory with a limit, that forgets what has changed.

use std::any::Any;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora_cache::key::HashBinary;
use pingora_cache::storage::{HandleHit, HandleMiss, MissFinishType};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{
    CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_error::Result;
use prometheus::IntGauge;

use super::changes::{Changes, Counts};
use super::entries::{Entries, Entry, WholeAnswer};

/// How much of a full answers is freed at once, so that the search for the oldest is seldom: a tenth.
const FREED_SHARE: usize = 10;

/// Answers of one group.
pub(super) struct Memory {
    answers: RwLock<Entries>,
    limit_bytes: AtomicUsize,
    /// What makes kept answers wrong. An answer is kept under the answers's lock only if nothing of it came since, so one
    /// who notes a change and then looks at the answers finds all that the change makes wrong.
    changes: Changes,
    /// Counts uses: the entry with the smallest number was not used for longest.
    uses: AtomicU64,
    bytes: IntGauge,
    entries: IntGauge,
}

impl Memory {
    pub(super) fn new(bytes: IntGauge, entries: IntGauge) -> Self {
        Self {
            answers: RwLock::default(),
            limit_bytes: AtomicUsize::new(0),
            changes: Changes::new(),
            uses: AtomicU64::new(0),
            bytes,
            entries,
        }
    }

    /// Most bytes that are kept. A lower limit shows with the next answer that is kept.
    pub(super) fn limit(&self, bytes: usize) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Forgets everything; says how many answers that were.
    pub(super) fn purge(&self) -> usize {
        let mut answers = self.write();
        self.changes.purge();
        let before = std::mem::take(&mut *answers);
        self.show(&answers);
        drop(answers);
        before.count()
    }

    /// Forgets all answers for a key, also those that are on their way; says how many there were.
    pub(super) fn invalidate(&self, key: &[u8]) -> usize {
        self.changes.write(key);
        // Most writes go where nothing is kept, and need not stop the readers.
        if !self.read().has(key) {
            return 0;
        }
        let mut answers = self.write();
        let count = answers.remove_all(key);
        self.show(&answers);
        count
    }

    /// Forgets one answer.
    pub(super) fn forget(&self, key: &CacheKey) {
        let (key, variance) = (key.primary_key(), key.get_variance_key());
        if self.read().get(key, variance).is_none() {
            return;
        }
        let mut answers = self.write();
        answers.remove(key, variance);
        self.show(&answers);
    }

    /// Keeps an entry, unless something of it changed since it was asked for.
    fn put(
        &self,
        key: Box<[u8]>,
        variance: Option<HashBinary>,
        entry: Entry,
        asked: Option<Counts>,
    ) {
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        if entry.bytes() > limit {
            return;
        }
        let mut answers = self.write();
        if asked.is_none_or(|seen| self.changes.touched(&key, seen)) {
            return;
        }
        entry.used(self.use_number());
        answers.put(key, variance, entry);
        if answers.bytes() > limit {
            answers.free(limit - limit / FREED_SHARE);
        }
        self.show(&answers);
    }

    pub(super) fn find_whole(&self, key: &[u8]) -> Option<WholeAnswer> {
        self.find(key, None)?.whole()
    }

    fn find(&self, key: &[u8], variance: Option<&HashBinary>) -> Option<Arc<Entry>> {
        let entry = self.read().get(key, variance)?.clone();
        entry.used(self.use_number());
        Some(entry)
    }

    fn use_number(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn show(&self, answers: &Entries) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.bytes.set(number(answers.bytes()));
        self.entries.set(number(answers.count()));
    }

    // A panic elsewhere leaves the answers whole.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.answers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.answers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asked(meta: &CacheMeta) -> Option<Counts> {
    meta.extensions().get::<Counts>().copied()
}

#[async_trait]
impl Storage for Memory {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let entry = self.find(key.primary_key(), key.get_variance_key());
        Ok(entry.map(|entry| {
            let body: HitHandler = Box::new(Hit(Some(entry.body().clone())));
            (entry.meta(), body)
        }))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        Ok(Box::new(Fill {
            memory: self,
            entry: Entry::new(key.primary_key(), meta, Bytes::new()),
            key: key.primary_key().into(),
            variance: key.get_variance_key().copied(),
            body: BytesMut::new(),
            asked: asked(meta),
        }))
    }

    /// Not asked for: purges are of the whole answers.
    async fn purge(
        &'static self,
        _target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        let (primary, variance) = (key.primary_key(), key.get_variance_key());
        let Some(before) = self.find(primary, variance) else {
            return Ok(false);
        };
        let entry = Entry::new(primary, meta, before.body().clone());
        self.put(primary.into(), variance.copied(), entry, asked(meta));
        Ok(true)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// A body that is read once, whole or one range of it.
struct Hit(Option<Bytes>);

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        self.0 = self.0.take().map(|body| {
            let end = end.unwrap_or(body.len()).min(body.len());
            body.slice(start.min(end)..end)
        });
        Ok(())
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// An answer that arrives. Nobody sees it before it is whole.
struct Fill {
    memory: &'static Memory,
    key: Box<[u8]>,
    variance: Option<HashBinary>,
    entry: Entry,
    body: BytesMut,
    asked: Option<Counts>,
}

#[async_trait]
impl HandleMiss for Fill {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.body.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let Self {
            memory,
            key,
            variance,
            mut entry,
            body,
            asked,
        } = *self;
        // A copy of the right size: the buffer may have grown to twice that.
        entry.set_body(Bytes::copy_from_slice(&body));
        let bytes = entry.bytes();
        memory.put(key, variance, entry, asked);
        Ok(MissFinishType::Created(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use pingora_http::ResponseHeader;

    use super::*;

    fn memory(limit: usize) -> Memory {
        let gauge = |name: &str| IntGauge::new(name, "of a test").expect("a gauge");
        let memory = Memory::new(gauge("bytes"), gauge("entries"));
        memory.limit(limit);
        memory
    }

    fn entry(key: &[u8], body: usize) -> Entry {
        let now = SystemTime::now();
        let head = ResponseHeader::build(200, None).expect("an answer");
        let meta = CacheMeta::new(now + Duration::from_secs(9), now, 0, 0, head);
        Entry::new(key, &meta, Bytes::from(vec![b'x'; body]))
    }

    fn put(memory: &Memory, key: &str, body: usize) {
        let asked = memory.changes.counts();
        put_asked(memory, key, None, body, asked);
    }

    fn put_asked(memory: &Memory, key: &str, variance: Option<u8>, body: usize, asked: Counts) {
        let variance = variance.map(|byte| [byte; 16]);
        let entry = entry(key.as_bytes(), body);
        memory.put(key.as_bytes().into(), variance, entry, Some(asked));
    }

    #[test]
    fn what_was_asked_for_before_a_purge_is_not_kept_after_it() {
        let memory = memory(1 << 20);
        put(&memory, "a", 1);
        let asked = memory.changes.counts();
        assert_eq!(memory.purge(), 1);
        assert!(memory.find(b"a", None).is_none());
        put_asked(&memory, "a", None, 1, asked);
        assert!(memory.find(b"a", None).is_none());
        put(&memory, "a", 1);
        assert!(memory.find(b"a", None).is_some());
    }

    #[test]
    fn a_write_forgets_all_answers_for_its_key_and_those_on_their_way() {
        let memory = memory(1 << 20);
        let asked = memory.changes.counts();
        for key in ["a", "b"] {
            put(&memory, key, 1);
            put_asked(&memory, key, Some(1), 1, asked);
        }
        assert_eq!(memory.invalidate(b"a"), 2);
        assert_eq!(memory.invalidate(b"nothing"), 0);
        put_asked(&memory, "a", Some(2), 1, asked);
        for variance in [None, Some([1; 16]), Some([2; 16])] {
            assert!(memory.find(b"a", variance.as_ref()).is_none());
        }
        assert!(memory.find(b"b", Some(&[1; 16])).is_some());
        assert_eq!(memory.entries.get(), 2);
        put(&memory, "a", 1);
        assert!(memory.find(b"a", None).is_some());
    }

    #[test]
    fn what_was_used_last_stays_when_the_table_is_full() {
        let memory = memory(10_000);
        for number in 0..9 {
            put(&memory, &number.to_string(), 500);
        }
        assert!(memory.find(b"0", None).is_some());
        put(&memory, "9", 500);
        let kept: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let kept: Vec<_> = kept
            .iter()
            .filter(|n| memory.find(n.as_bytes(), None).is_some())
            .collect();
        assert_eq!(kept, ["0", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(memory.entries.get(), 8);
        assert!(memory.bytes.get() <= 9_000);
    }

    #[test]
    fn what_is_larger_than_the_table_is_not_kept() {
        let memory = memory(1_000);
        put(&memory, "a", 1_000);
        assert!(memory.find(b"a", None).is_none());
        assert_eq!(memory.bytes.get(), 0);
    }

    #[test]
    fn an_answer_that_is_replaced_counts_once() {
        let memory = memory(10_000);
        put(&memory, "a", 500);
        let bytes = memory.bytes.get();
        put(&memory, "a", 500);
        assert_eq!(memory.bytes.get(), bytes);
        assert_eq!(memory.entries.get(), 1);
    }

    #[tokio::test]
    async fn a_range_of_a_body_is_read_alone() {
        let mut hit = Hit(Some(Bytes::from_static(b"0123456789")));
        hit.seek(2, Some(5)).expect("it can");
        let read = hit.read_body().await.expect("it is in memory");
        assert_eq!(read.as_deref(), Some(b"234".as_slice()));
        let mut hit = Hit(Some(Bytes::from_static(b"01")));
        hit.seek(7, Some(9)).expect("it can");
        let read = hit.read_body().await.expect("it is in memory");
        assert_eq!(read.as_deref(), Some(b"".as_slice()));
    }
}
