//! Calls of the Lua script of orders and stock. Operations on many keys are sent together.

use std::time::Duration;

use futures::future::join_all;
use store_domain::cache::CacheScript;

use crate::redis::Argument::Text;
use crate::redis::{Redis, RedisError, milliseconds};

/// The most keys in one call. Each key takes the server about 6 µs, and Redis serves no other client during a call.
const KEYS_AT_ONCE: usize = 64;

/// Operations on keys, in the order in which they were added.
#[derive(Default)]
pub(super) struct Calls(Vec<Call>);

/// One operation on several keys.
struct Call {
    what: &'static str,
    lifetime: Duration,
    keys: Vec<String>,
    /// The arguments of all keys, one key after the other; each key has the same number.
    arguments: Vec<String>,
}

impl Calls {
    /// Adds an operation on a key. It joins the last call if that call has the same operation and has room.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        lifetime: Duration,
        key: String,
        arguments: Vec<String>,
    ) {
        let last = self.0.last_mut();
        if let Some(call) = last.filter(|call| call.takes(what, lifetime, arguments.len())) {
            call.keys.push(key);
            call.arguments.extend(arguments);
            return;
        }
        self.0.push(Call {
            what,
            lifetime,
            keys: vec![key],
            arguments,
        });
    }

    /// Sends all calls at once, in one round trip. Returns whether the operation was done for every key.
    ///
    /// # Errors
    /// If a call fails; all others are sent too.
    pub(super) async fn send(
        &self,
        redis: &Redis,
        script: &CacheScript,
    ) -> Result<bool, RedisError> {
        let answers = self.0.iter().map(|call| call.send(redis, script));
        let mut answers = join_all(answers).await.into_iter();
        answers.try_fold(true, |all, one| Ok(all && one?))
    }
}

impl Call {
    fn takes(&self, what: &str, lifetime: Duration, width: usize) -> bool {
        (self.what, self.lifetime) == (what, lifetime)
            && self.arguments.len() == self.keys.len() * width
            && self.keys.len() < KEYS_AT_ONCE
    }

    async fn send(&self, redis: &Redis, script: &CacheScript) -> Result<bool, RedisError> {
        let mut arguments = vec![Text(self.what), milliseconds(self.lifetime)];
        arguments.extend(self.arguments.iter().map(|argument| Text(argument)));
        let answer = redis.call(script, &self.keys, &arguments).await?;
        Ok(answer == [Some(self.keys.len().to_string())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(calls: &mut Calls, what: &'static str, arguments: &[&str]) {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        calls.add(what, Duration::ZERO, "key".into(), arguments.collect());
    }

    #[test]
    fn what_is_the_same_for_many_keys_is_one_call() {
        let mut calls = Calls::default();
        for _ in 0..KEYS_AT_ONCE + 1 {
            add(&mut calls, "mark", &["w+", "a"]);
        }
        add(&mut calls, "mark", &["w+", "a", "b"]);
        add(&mut calls, "put", &["w+", "a", "b"]);
        add(&mut calls, "put", &["w7", "a", "c"]);
        let keys: Vec<usize> = calls.0.iter().map(|call| call.keys.len()).collect();
        assert_eq!(keys, [KEYS_AT_ONCE, 1, 1, 2]);
        let last = calls.0.last().map(|call| call.arguments.join(" "));
        assert_eq!(last.as_deref(), Some("w+ a b w7 a c"));
    }
}
