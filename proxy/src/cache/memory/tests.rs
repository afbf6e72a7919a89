use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta, Storage};
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
    let asked = memory.changes.writes();
    put_asked(memory, key, None, body, asked);
}

fn put_asked(memory: &Memory, key: &str, variance: Option<u8>, body: usize, asked: WriteCount) {
    let variance = variance.map(|byte| [byte; 16]);
    let entry = entry(key.as_bytes(), body);
    memory.put(key.as_bytes().into(), variance, entry, Some(asked));
}

impl Memory {
    /// Keeps an answer without a body.
    pub(in super::super) fn put_empty(&self, key: &[u8], asked: WriteCount) {
        self.put(key.into(), None, entry(key, 0), Some(asked));
    }

    pub(in super::super) fn holds(&self, key: &[u8]) -> bool {
        self.find(key, None).is_some()
    }
}

#[test]
fn a_write_forgets_all_answers_for_its_key_and_those_on_their_way() {
    let memory = memory(1 << 20);
    let asked = memory.changes.writes();
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

/// The body of the new answer is another.
#[tokio::test]
async fn an_answer_that_took_the_place_of_the_one_asked_about_is_not_renewed() {
    let memory: &'static Memory = Box::leak(Box::new(memory(1 << 20)));
    let meta = |kept, tag| {
        let mut head = ResponseHeader::build(200, None).expect("an answer");
        head.insert_header("etag", tag).expect("a header");
        let mut meta = CacheMeta::new(kept + Duration::from_secs(9), kept, 0, 0, head);
        meta.extensions_mut().insert(memory.changes.writes());
        meta
    };
    let (before, now) = (SystemTime::UNIX_EPOCH, SystemTime::now());
    let key = CacheKey::new("a", "");
    let newer = Entry::new(b"a", &meta(now, "new"), Bytes::from_static(b"newer"));
    let asked = Some(memory.changes.writes());
    memory.put(key.primary_key().into(), None, newer, asked);
    let trace = Span::inactive().handle();
    for (kept, tag, is_renewed) in [(before, "old", false), (now, "new again", true)] {
        let renewed = memory.update_meta(&key, &meta(kept, tag), &trace).await;
        assert_eq!(renewed.expect("it is in memory"), is_renewed);
        let entry = memory.find(key.primary_key(), None).expect("it is kept");
        let tags = entry.meta().response_header().headers["etag"].clone();
        assert_eq!(tags, if is_renewed { tag } else { "new" });
    }
}
