//! Where answers are kept: a table in memory with a limit, and a count of its purges.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{AGE, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, VARY};
use pingora_cache::key::HashBinary;
use pingora_cache::storage::{HandleHit, HandleMiss, MissFinishType};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{
    CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use prometheus::IntGauge;

use super::told::STATUS;

/// What an entry costs beside its bytes, about.
const OVERHEAD_BYTES: usize = 512;

/// How much of a full table is freed at once, so that the search for the oldest is seldom: a tenth.
const FREED_SHARE: usize = 10;

/// How often the table had been purged when an answer was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purges(pub(super) u64);

/// Answers of one group.
pub(super) struct Store {
    table: RwLock<Table>,
    limit_bytes: AtomicUsize,
    /// Written under the table's lock, so that whoever holds that knows it.
    purges: AtomicU64,
    /// Counts uses: the entry with the smallest number was not used for longest.
    uses: AtomicU64,
    bytes: IntGauge,
    entries: IntGauge,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Box<[u8]>, Arc<Entry>>,
    bytes: usize,
}

/// A kept answer as bytes.
pub(crate) struct Whole {
    /// Status line and headers, without the empty line.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
    /// When it was as new as it says.
    pub(crate) made: SystemTime,
    pub(crate) fresh_until: SystemTime,
}

struct Entry {
    head: ResponseHeader,
    /// The same as bytes, if it is the only answer for its key and says all that it must.
    head_bytes: Option<Bytes>,
    body: Bytes,
    times: Times,
    variance: Option<HashBinary>,
    bytes: usize,
    last_use: AtomicU64,
}

#[derive(Clone, Copy)]
struct Times {
    made: SystemTime,
    kept: SystemTime,
    fresh_until: SystemTime,
    stale_while_revalidate: u32,
    stale_if_error: u32,
}

impl Times {
    fn of(meta: &CacheMeta) -> Self {
        Self {
            made: meta.epoch(),
            kept: meta.created(),
            fresh_until: meta.fresh_until(),
            stale_while_revalidate: meta.stale_while_revalidate_sec(),
            stale_if_error: meta.stale_if_error_sec(),
        }
    }
}

impl Entry {
    fn new(key: &[u8], meta: &CacheMeta, body: Bytes) -> Self {
        let head = meta.response_header().clone();
        let lines = head.headers.iter();
        let head_bytes: usize = lines
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        Self {
            bytes: key.len() + 2 * head_bytes + body.len() + OVERHEAD_BYTES,
            head_bytes: plain_head(&head),
            head,
            body,
            times: Times::of(meta),
            variance: meta.variance(),
            last_use: AtomicU64::new(0),
        }
    }

    fn meta(&self) -> CacheMeta {
        let times = self.times;
        let mut meta = CacheMeta::new(
            times.fresh_until,
            times.kept,
            times.stale_while_revalidate,
            times.stale_if_error,
            self.head.clone(),
        );
        meta.set_epoch_override(times.made);
        if let Some(variance) = self.variance {
            meta.set_variance(variance);
        }
        meta
    }
}

impl Store {
    pub(super) fn new(bytes: IntGauge, entries: IntGauge) -> Self {
        Self {
            table: RwLock::default(),
            limit_bytes: AtomicUsize::new(0),
            purges: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            bytes,
            entries,
        }
    }

    /// Most bytes that are kept. A lower limit shows with the next answer that is kept.
    pub(super) fn limit(&self, bytes: usize) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// Forgets everything; says how many answers that were.
    pub(super) fn purge(&self) -> usize {
        let mut table = self.write();
        self.purges.fetch_add(1, Ordering::AcqRel);
        let before = std::mem::take(&mut *table);
        self.show(&table);
        drop(table);
        before.entries.len()
    }

    /// Keeps an entry, unless there was a purge since it was asked for.
    fn put(&self, key: Box<[u8]>, entry: Entry, asked: Option<Purges>) {
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        if entry.bytes > limit {
            return;
        }
        let mut table = self.write();
        if asked.is_none_or(|Purges(purges)| purges != self.purges()) {
            return;
        }
        entry.last_use.store(self.use_number(), Ordering::Relaxed);
        table.bytes += entry.bytes;
        if let Some(before) = table.entries.insert(key, Arc::new(entry)) {
            table.bytes -= before.bytes;
        }
        if table.bytes > limit {
            table.free(limit - limit / FREED_SHARE);
        }
        self.show(&table);
    }

    pub(super) fn find_whole(&self, key: &[u8]) -> Option<Whole> {
        let entry = self.find(key)?;
        Some(Whole {
            head: entry.head_bytes.clone()?,
            body: entry.body.clone(),
            made: entry.times.made,
            fresh_until: entry.times.fresh_until,
        })
    }

    fn find(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let entry = self.read().entries.get(key)?.clone();
        entry.last_use.store(self.use_number(), Ordering::Relaxed);
        Some(entry)
    }

    fn use_number(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn show(&self, table: &Table) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.bytes.set(number(table.bytes));
        self.entries.set(number(table.entries.len()));
    }

    // A panic elsewhere leaves the table whole.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Lets go of what was not used for longest, until at most so many bytes are left.
    fn free(&mut self, goal_bytes: usize) {
        let last_use = |entry: &Entry| entry.last_use.load(Ordering::Relaxed);
        let mut oldest: Vec<(u64, usize)> = self
            .entries
            .values()
            .map(|entry| (last_use(entry), entry.bytes))
            .collect();
        oldest.sort_unstable();
        let mut bytes = self.bytes;
        let beyond = oldest.iter().take_while(|(_, of_entry)| {
            let too_many = bytes > goal_bytes;
            bytes -= if too_many { *of_entry } else { 0 };
            too_many
        });
        let Some((newest_to_go, _)) = beyond.last().copied() else {
            return;
        };
        self.entries
            .retain(|_, entry| last_use(entry) > newest_to_go);
        self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
    }
}

/// The bytes of a head that is the same for everybody.
fn plain_head(head: &ResponseHeader) -> Option<Bytes> {
    let headers = &head.headers;
    let needed = [CONTENT_LENGTH, DATE];
    let special = [VARY, AGE, TRANSFER_ENCODING, STATUS];
    if !needed.iter().all(|name| headers.contains_key(name))
        || special.iter().any(|name| headers.contains_key(name))
    {
        return None;
    }
    // Only 200 is kept.
    let mut bytes = BytesMut::from("HTTP/1.1 200 OK\r\n");
    head.header_to_h1_wire(&mut bytes);
    Some(bytes.freeze())
}

/// The place of one answer among those for its key.
fn place(key: &CacheKey) -> Cow<'_, [u8]> {
    match key.get_variance_key() {
        None => Cow::Borrowed(key.primary_key()),
        Some(variance) => Cow::Owned([key.primary_key(), b"\n", variance].concat()),
    }
}

fn asked(meta: &CacheMeta) -> Option<Purges> {
    meta.extensions().get::<Purges>().copied()
}

#[async_trait]
impl Storage for Store {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        Ok(self.find(&place(key)).map(|entry| {
            let body: HitHandler = Box::new(Hit(Some(entry.body.clone())));
            (entry.meta(), body)
        }))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        let place = place(key).into_owned().into_boxed_slice();
        Ok(Box::new(Fill {
            store: self,
            entry: Entry::new(&place, meta, Bytes::new()),
            place,
            body: BytesMut::new(),
            asked: asked(meta),
        }))
    }

    /// Not asked for: purges are of the whole table.
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
        let place = place(key);
        let Some(before) = self.find(&place) else {
            return Ok(false);
        };
        let entry = Entry::new(&place, meta, before.body.clone());
        self.put(place.into_owned().into_boxed_slice(), entry, asked(meta));
        Ok(true)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// A body that is read once.
struct Hit(Option<Bytes>);

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take())
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
    store: &'static Store,
    place: Box<[u8]>,
    entry: Entry,
    body: BytesMut,
    asked: Option<Purges>,
}

#[async_trait]
impl HandleMiss for Fill {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.body.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let Self {
            store,
            place,
            mut entry,
            body,
            asked,
        } = *self;
        entry.bytes += body.len();
        // A copy of the right size: the buffer may have grown to twice that.
        entry.body = Bytes::copy_from_slice(&body);
        let bytes = entry.bytes;
        store.put(place, entry, asked);
        Ok(MissFinishType::Created(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store(limit: usize) -> Store {
        let gauge = |name: &str| IntGauge::new(name, "of a test").expect("a gauge");
        let store = Store::new(gauge("bytes"), gauge("entries"));
        store.limit(limit);
        store
    }

    fn entry(key: &[u8], body: usize) -> Entry {
        let now = SystemTime::now();
        let head = ResponseHeader::build(200, None).expect("an answer");
        let meta = CacheMeta::new(now + Duration::from_secs(9), now, 0, 0, head);
        Entry::new(key, &meta, Bytes::from(vec![b'x'; body]))
    }

    fn put(store: &Store, key: &str, body: usize) {
        let entry = entry(key.as_bytes(), body);
        let asked = Some(Purges(store.purges()));
        store.put(key.as_bytes().into(), entry, asked);
    }

    #[test]
    fn what_was_asked_for_before_a_purge_is_not_kept_after_it() {
        let store = store(1 << 20);
        put(&store, "a", 1);
        let asked = Some(Purges(store.purges()));
        assert_eq!(store.purge(), 1);
        assert!(store.find(b"a").is_none());
        store.put(b"a".as_slice().into(), entry(b"a", 1), asked);
        assert!(store.find(b"a").is_none());
        put(&store, "a", 1);
        assert!(store.find(b"a").is_some());
    }

    #[test]
    fn what_was_used_last_stays_when_the_table_is_full() {
        let store = store(10_000);
        for number in 0..9 {
            put(&store, &number.to_string(), 500);
        }
        assert!(store.find(b"0").is_some());
        put(&store, "9", 500);
        let kept: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let kept: Vec<_> = kept
            .iter()
            .filter(|n| store.find(n.as_bytes()).is_some())
            .collect();
        assert_eq!(kept, ["0", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(store.entries.get(), 8);
        assert!(store.bytes.get() <= 9_000);
    }

    #[test]
    fn what_is_larger_than_the_table_is_not_kept() {
        let store = store(1_000);
        put(&store, "a", 1_000);
        assert!(store.find(b"a").is_none());
        assert_eq!(store.bytes.get(), 0);
    }

    #[test]
    fn an_answer_that_is_replaced_counts_once() {
        let store = store(10_000);
        put(&store, "a", 500);
        let bytes = store.bytes.get();
        put(&store, "a", 500);
        assert_eq!(store.bytes.get(), bytes);
    }
}
