//! Values that stay in the host's memory until Redis reports a change: server-assisted client-side caching
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>).
//!
//! `loadtest/native`, the native twin of the store, uses this file too, so it may use nothing of this crate.
//!
//! A value is kept only if no change was reported between the question and the answer. Otherwise the caller still gets
//! the answer, but nobody else does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, PushInfo, PushKind, RedisResult, Value};

/// The longest time for which a value is kept until Redis is asked again. Redis reports changes at once, but not always
/// the expiry of a key, and a connection may break without an error.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The most bytes that are kept, keys and values together. When there would be more, everything is forgotten.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The values that are kept for one connection or cluster.
#[derive(Debug, Default)]
pub(crate) struct NearCache(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    /// The kept values, by key. Added after an answer of Redis, removed when a change is reported.
    values: HashMap<String, NearValue>,
    bytes: usize,
    /// The number of changes that this cache was told of.
    changes: u64,
}

#[derive(Debug)]
struct NearValue {
    bytes: Vec<u8>,
    asked_at: Instant,
}

impl NearCache {
    /// The value of `key`, if it is kept and recent enough.
    pub(crate) fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let kept = self.0.lock();
        let value = kept.values.get(key)?;
        (value.asked_at.elapsed() < KEPT_FOR).then(|| value.bytes.clone())
    }

    /// Asks Redis for the value of `key`, keeps it, and asks to be told when it changes. `connection` must be one whose
    /// pushes are passed to [`NearCache::heard`].
    ///
    /// # Errors
    /// Redis answers with an error, or not at all.
    pub(crate) async fn ask(
        &self,
        connection: &mut impl ConnectionLike,
        key: &str,
    ) -> RedisResult<Option<Vec<u8>>> {
        let changes = self.0.lock().changes;
        let mut question = redis::pipe();
        // This is sent each time, because it costs almost nothing and the connection may be new.
        let tracking = question.cmd("CLIENT").arg("TRACKING");
        tracking.arg("ON").arg("OPTIN").ignore();
        // This command affects only the next one.
        question.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
        question.cmd("GET").arg(key);
        let asked_at = Instant::now();
        let (bytes,): (Option<Vec<u8>>,) = question.query_async(connection).await?;
        if let Some(bytes) = bytes.clone() {
            self.keep_unless_changed(key, NearValue { bytes, asked_at }, changes);
        }
        Ok(bytes)
    }

    fn keep_unless_changed(&self, key: &str, value: NearValue, changes: u64) {
        let mut kept = self.0.lock();
        if kept.changes != changes {
            return;
        }
        kept.forget(key);
        let bytes = key.len() + value.bytes.len();
        if bytes > MOST_BYTES {
            return;
        }
        if kept.bytes + bytes > MOST_BYTES {
            kept.forget_all();
        }
        kept.bytes += bytes;
        kept.values.insert(key.to_owned(), value);
    }

    /// Forgets the values that Redis reports as changed. Forgets everything when the connection is lost, because then
    /// no change is reported any more.
    pub(crate) fn heard(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                let mut kept = self.0.lock();
                kept.changes += 1;
                for key in keys {
                    // All kept values have keys that are text.
                    if let Ok(key) = String::from_redis_value_ref(key) {
                        kept.forget(&key);
                    }
                }
            }
            // Without keys, the push means that the database was emptied.
            (PushKind::Invalidate | PushKind::Disconnection, _) => self.forget_all(),
            _ => {}
        }
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        let mut kept = self.0.lock();
        kept.changes += 1;
        kept.forget_all();
    }
}

impl Values {
    fn forget(&mut self, key: &str) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= key.len() + value.bytes.len();
        }
    }

    fn forget_all(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: usize) -> NearValue {
        NearValue {
            bytes: vec![b'x'; bytes],
            asked_at: Instant::now(),
        }
    }

    fn kept(near: &NearCache, key: &str) -> Option<usize> {
        near.kept(key).map(|bytes| bytes.len())
    }

    fn push(kind: PushKind, data: Vec<Value>) -> PushInfo {
        PushInfo { kind, data }
    }

    fn changed(key: &str) -> PushInfo {
        let key = Value::BulkString(key.as_bytes().to_vec());
        push(PushKind::Invalidate, vec![Value::Array(vec![key])])
    }

    #[test]
    fn what_changed_is_forgotten_and_the_rest_is_not() {
        let near = NearCache::default();
        near.keep_unless_changed("report:a", value(3), 0);
        near.keep_unless_changed("report:b", value(4), 0);
        near.heard(&changed("report:a"));
        assert_eq!(kept(&near, "report:a"), None);
        assert_eq!(kept(&near, "report:b"), Some(4));
        assert_eq!(near.0.lock().bytes, "report:b".len() + 4);
    }

    #[test]
    fn an_answer_that_news_of_a_change_overtook_is_not_kept() {
        let near = NearCache::default();
        let asked = near.0.lock().changes;
        near.heard(&changed("report:a"));
        near.keep_unless_changed("report:a", value(3), asked);
        assert_eq!(kept(&near, "report:a"), None);
    }

    #[test]
    fn an_emptied_database_and_a_lost_connection_leave_nothing() {
        for news in [
            push(PushKind::Invalidate, vec![Value::Nil]),
            push(PushKind::Disconnection, vec![]),
        ] {
            let near = NearCache::default();
            near.keep_unless_changed("report:a", value(3), 0);
            near.heard(&news);
            assert_eq!(kept(&near, "report:a"), None);
            assert_eq!(near.0.lock().bytes, 0);
        }
    }

    #[test]
    fn what_was_asked_for_long_ago_is_asked_for_again() {
        let near = NearCache::default();
        let now = Instant::now();
        let old = NearValue {
            asked_at: now.checked_sub(KEPT_FOR).expect("the clock is older"),
            ..value(3)
        };
        near.keep_unless_changed("report:a", old, 0);
        assert_eq!(kept(&near, "report:a"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let near = NearCache::default();
        let most = MOST_BYTES - "report:a".len();
        for size in [3, most, 5] {
            near.keep_unless_changed("report:a", value(size), 0);
            assert_eq!(
                kept(&near, "report:a"),
                Some(size),
                "it takes its own place"
            );
        }
        near.keep_unless_changed("report:b", value(most + 1), 0);
        assert_eq!(kept(&near, "report:b"), None, "it is too large by itself");
        assert_eq!(kept(&near, "report:a"), Some(5));
        near.keep_unless_changed("report:b", value(most), 0);
        assert_eq!(kept(&near, "report:b"), Some(most));
        assert_eq!(kept(&near, "report:a"), None, "there was no room for both");
        assert_eq!(near.0.lock().bytes, MOST_BYTES);
    }
}
