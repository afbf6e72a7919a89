//! Kept answers by key and variance, with the bytes that they take.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{AGE, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, VARY};
use pingora_cache::CacheMeta;
use pingora_cache::key::HashBinary;
use pingora_http::ResponseHeader;

use super::outcome::STATUS;

/// Bytes that an entry costs in addition to its own, roughly.
const OVERHEAD_BYTES: usize = 512;

/// All answers of one group.
#[derive(Default)]
pub(super) struct Entries {
    families: HashMap<Box<[u8]>, Family>,
    count: usize,
    bytes: usize,
}

/// The answers for one key.
#[derive(Default)]
struct Family {
    /// The answer that is looked up first. Its `Vary` tells how to find the right one among `others`.
    first: Option<Arc<Entry>>,
    others: HashMap<HashBinary, Arc<Entry>>,
}

/// A kept answer in the form in which it is sent.
pub(crate) struct WholeAnswer {
    /// Status line and headers, without the empty line.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
    /// When the answer was made.
    pub(crate) made: SystemTime,
    pub(crate) fresh_until: SystemTime,
}

/// A kept answer.
pub(super) struct Entry {
    head: ResponseHeader,
    /// The head as bytes, if it is the only answer for its key and needs no other fields.
    head_bytes: Option<Bytes>,
    body: Bytes,
    times: Times,
    variance: Option<HashBinary>,
    bytes: usize,
    /// The number of the last use. Each use writes it.
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
    pub(super) fn new(key: &[u8], meta: &CacheMeta, body: Bytes) -> Self {
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

    /// Bytes of memory that the entry takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the answer was first kept; a renewal does not change this.
    pub(super) fn kept(&self) -> SystemTime {
        self.times.kept
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// Sets the body of an entry that was made without one.
    pub(super) fn set_body(&mut self, body: Bytes) {
        self.bytes += body.len();
        self.body = body;
    }

    pub(super) fn used(&self, number: u64) {
        self.last_use.store(number, Ordering::Relaxed);
    }

    fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    pub(super) fn whole(&self) -> Option<WholeAnswer> {
        Some(WholeAnswer {
            head: self.head_bytes.clone()?,
            body: self.body.clone(),
            made: self.times.made,
            fresh_until: self.times.fresh_until,
        })
    }

    pub(super) fn meta(&self) -> CacheMeta {
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

impl Entries {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of answers.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, key: &[u8], variance: Option<&HashBinary>) -> Option<&Arc<Entry>> {
        let family = self.families.get(key)?;
        match variance {
            None => family.first.as_ref(),
            Some(variance) => family.others.get(variance),
        }
    }

    /// Whether there is any answer for this key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.families.contains_key(key)
    }

    pub(super) fn put(&mut self, key: Box<[u8]>, variance: Option<HashBinary>, entry: Entry) {
        self.bytes += entry.bytes;
        self.count += 1;
        let family = self.families.entry(key).or_default();
        let entry = Arc::new(entry);
        let before = match variance {
            None => family.first.replace(entry),
            Some(variance) => family.others.insert(variance, entry),
        };
        if let Some(before) = before {
            self.bytes -= before.bytes;
            self.count -= 1;
        }
    }

    /// Forgets one answer.
    pub(super) fn remove(&mut self, key: &[u8], variance: Option<&HashBinary>) {
        let Some(family) = self.families.get_mut(key) else {
            return;
        };
        let gone = match variance {
            None => family.first.take(),
            Some(variance) => family.others.remove(variance),
        };
        if family.is_empty() {
            self.families.remove(key);
        }
        if let Some(gone) = gone {
            self.bytes -= gone.bytes;
            self.count -= 1;
        }
    }

    /// Forgets all answers for a key, and returns how many.
    pub(super) fn remove_all(&mut self, key: &[u8]) -> usize {
        let Some(family) = self.families.remove(key) else {
            return 0;
        };
        let count = family.entries().count();
        self.count -= count;
        self.bytes -= family.entries().map(|entry| entry.bytes).sum::<usize>();
        count
    }

    /// Forgets the answers that were not used for the longest time, until at most `goal_bytes` bytes are left.
    pub(super) fn free(&mut self, goal_bytes: usize) {
        let mut oldest: Vec<(u64, usize)> = self
            .entries()
            .map(|entry| (entry.last_use(), entry.bytes))
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
        let stays = |entry: &Arc<Entry>| entry.last_use() > newest_to_go;
        self.families.retain(|_, family| {
            family.first = family.first.take().filter(stays);
            family.others.retain(|_, entry| stays(entry));
            !family.is_empty()
        });
        self.count = self.entries().count();
        self.bytes = self.entries().map(|entry| entry.bytes).sum();
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.families.values().flat_map(Family::entries)
    }
}

impl Family {
    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.first.iter().chain(self.others.values())
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }
}

/// The head as bytes, if it is the same for all clients.
fn plain_head(head: &ResponseHeader) -> Option<Bytes> {
    let headers = &head.headers;
    let needed = [CONTENT_LENGTH, DATE];
    let special = [VARY, AGE, TRANSFER_ENCODING, STATUS];
    if head.status != StatusCode::OK
        || !needed.iter().all(|name| headers.contains_key(name))
        || special.iter().any(|name| headers.contains_key(name))
    {
        return None;
    }
    let mut bytes = BytesMut::from("HTTP/1.1 200 OK\r\n");
    head.header_to_h1_wire(&mut bytes);
    Some(bytes.freeze())
}
