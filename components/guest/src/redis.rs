//! Typed Redis over `spin:redis`. Commands whose futures are joined are sent together.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::StoreError;
use store_domain::cache::{CacheScript, GET_WITH_LIFETIME, GET_WITH_SERVER, STATE};
use store_domain::settings::KeyPrefix;

use crate::variables;

/// Why Redis did not do what the component asked. Redis is only a cache, so callers go on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RedisError(String);

impl RedisError {
    fn unexpected(command: &str) -> Self {
        Self(format!("unexpected answer to {command}"))
    }

    /// Redis did not answer in time.
    pub(crate) fn silent() -> Self {
        Self("no answer in time".into())
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::InvalidAddress => "the address is wrong or not allowed".into(),
            Error::TooManyConnections => "too many connections".into(),
            Error::TypeError => "a key holds another type".into(),
            Error::Other(text) => text,
        })
    }
}

impl From<StoreError> for RedisError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// A command's argument that is not a key.
pub enum Argument<'a> {
    /// A string.
    Text(&'a str),
    /// A number.
    Number(i64),
}

impl From<&Argument<'_>> for RedisParameter {
    fn from(argument: &Argument<'_>) -> Self {
        match argument {
            Argument::Text(text) => Self::Binary(text.as_bytes().to_vec()),
            Argument::Number(number) => Self::Int64(*number),
        }
    }
}

use Argument::{Number, Text};

/// A connection, and the prefix of all keys that are sent over it.
struct Keyspace {
    connection: Connection,
    prefix: KeyPrefix,
}

thread_local! {
    /// The connection that all readers of this instance share; it carries their commands at once. A connection that
    /// failed is dropped from here, and the next reader opens a new one.
    static SHARED: RefCell<Option<Rc<Keyspace>>> = RefCell::default();
}

/// A connection to Redis. Once a server has answered it, no other does. It holds nothing of a request: no transaction,
/// no selected database. Callers give keys as `domain` spells them; only this type puts the prefix before them.
pub struct Redis {
    keyspace: Rc<Keyspace>,
    /// The name of this reader's turns.
    turn: String,
}

impl Redis {
    /// Opens a connection that has not failed before; under our host, its commands go over one that all share. For work
    /// that should not fail because an older connection broke.
    ///
    /// # Errors
    /// If Redis is down, or if the variable with its URL or with the key prefix is missing or wrong.
    pub async fn open() -> Result<Self, RedisError> {
        let url = variables::redis_url().await?;
        let prefix = variables::setting::<KeyPrefix>().await?;
        let connection = Connection::open(url).await?;
        Ok(Self::on(Rc::new(Keyspace { connection, prefix })))
    }

    fn on(keyspace: Rc<Keyspace>) -> Self {
        Self {
            keyspace,
            turn: format!("r{:x}", get_random_u64()),
        }
    }

    /// The name of the turn that this reader gets when it does not find something. The name is unique.
    pub(crate) fn turn(&self) -> &str {
        &self.turn
    }

    /// The prefix of the store's keys.
    pub(crate) fn prefix(&self) -> &KeyPrefix {
        &self.keyspace.prefix
    }

    /// Joins the connection that this instance's readers share, or opens it. If the connection breaks, a reader uses
    /// MySQL.
    ///
    /// # Errors
    /// As [`Redis::open`].
    pub async fn shared() -> Result<Self, RedisError> {
        if let Some(keyspace) = SHARED.with_borrow(Clone::clone) {
            return Ok(Self::on(keyspace));
        }
        let redis = Self::open().await?;
        SHARED.set(Some(redis.keyspace.clone()));
        Ok(redis)
    }

    /// Converts the server's answer. If the shared connection broke, drops it from [`SHARED`]: it can't recover.
    fn answered<T>(&self, answer: Result<T, Error>) -> Result<T, RedisError> {
        if let Err(Error::Other(_)) = &answer {
            let is_mine = |shared: &mut Rc<_>| Rc::ptr_eq(shared, &self.keyspace);
            SHARED.with_borrow_mut(|shared| shared.take_if(is_mine));
        }
        Ok(answer?)
    }

    /// `GET`
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        let key = self.keyspace.prefix.named(key);
        self.answered(self.keyspace.connection.get(key).await)
    }

    /// Reads a value and the remaining lifetime of its key; `None` if the key does not exist or does not expire.
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn get_with_lifetime(
        &self,
        key: &str,
    ) -> Result<Option<(Vec<u8>, Duration)>, RedisError> {
        let answer = self.eval(GET_WITH_LIFETIME, &[key], &[]).await?;
        match <[_; 2]>::try_from(answer) {
            Ok([RedisResult::Binary(value), RedisResult::Int64(left)]) => {
                let left = u64::try_from(left).ok().map(Duration::from_millis);
                Ok(left.map(|left| (value, left)))
            }
            Ok([RedisResult::Nil, _]) => Ok(None),
            _ => Err(RedisError::unexpected("EVAL")),
        }
    }

    /// `SET` with an expiry.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn set_for(
        &self,
        key: &str,
        value: &str,
        lifetime: Duration,
    ) -> Result<(), RedisError> {
        let lifetime = milliseconds(lifetime);
        self.command("SET", key, &[Text(value), Text("PX"), lifetime])
            .await
            .map(drop)
    }

    /// `SET` without an expiry.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn set(&self, key: &str, value: &str) -> Result<(), RedisError> {
        let key = self.keyspace.prefix.named(key);
        self.answered(self.keyspace.connection.set(key, value).await)
    }

    /// `SET` with an expiry, only if the key does not exist. Returns whether the key was set.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn set_new_for(
        &self,
        key: &str,
        value: &str,
        lifetime: Duration,
    ) -> Result<bool, RedisError> {
        let lifetime = milliseconds(lifetime);
        let answer = self
            .command("SET", key, &[Text(value), Text("NX"), Text("PX"), lifetime])
            .await?;
        Ok(!matches!(answer.as_slice(), [RedisResult::Nil] | []))
    }

    /// `PTTL`: the key's remaining lifetime, or `None` if the key does not exist or does not expire.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn lifetime(&self, key: &str) -> Result<Option<Duration>, RedisError> {
        let left = self.command("PTTL", key, &[]).await?;
        let left = one_number("PTTL", &left)?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// `EXISTS`
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn exists(&self, key: &str) -> Result<bool, RedisError> {
        let count = self.command("EXISTS", key, &[]).await?;
        Ok(one_number("EXISTS", &count)? > 0)
    }

    /// `EVALSHA` of the script of orders and stock. It answers a list or a number.
    ///
    /// # Errors
    /// If Redis is down, refuses to write, or does not know the script.
    pub(crate) async fn call(
        &self,
        script: &CacheScript,
        keys: &[String],
        arguments: &[Argument<'_>],
    ) -> Result<Vec<Option<String>>, RedisError> {
        let answer = self
            .script("EVALSHA", &script.digest, keys, arguments)
            .await?;
        Ok(answer.into_iter().map(text).collect())
    }

    /// Loads the script of orders and stock into Redis, by `EVAL`.
    ///
    /// # Errors
    /// If Redis is down.
    pub(crate) async fn load(&self, script: &CacheScript) -> Result<(), RedisError> {
        self.run(&script.text, STATE, &[Text("load")])
            .await
            .map(drop)
    }

    /// `EVAL` of a script that works on one key and answers a number.
    ///
    /// # Errors
    /// If Redis is down or the script fails.
    pub async fn run(
        &self,
        script: &str,
        key: &str,
        arguments: &[Argument<'_>],
    ) -> Result<i64, RedisError> {
        one_number("EVAL", &self.eval(script, &[key], arguments).await?)
    }

    /// As [`Redis::run`], with a second key.
    ///
    /// # Errors
    /// If Redis is down or the script fails.
    pub async fn run_on_two(
        &self,
        script: &str,
        keys: [&str; 2],
        arguments: &[Argument<'_>],
    ) -> Result<i64, RedisError> {
        one_number("EVAL", &self.eval(script, &keys, arguments).await?)
    }

    /// Reads the value of `key`, and the run id of the server that holds the key. A server takes a new run id at each
    /// start; if the id has changed, the server may have lost data.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn get_with_run_id(&self, key: &str) -> Result<(Option<String>, String), RedisError> {
        let answer = self.eval(GET_WITH_SERVER, &[key], &[]).await?;
        let mut answer = answer.into_iter().map(text);
        let info = answer.next().flatten().unwrap_or_default();
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let run_id = run_id.map(|id| id.trim().to_owned());
        let run_id = run_id.ok_or_else(|| RedisError::unexpected("INFO"))?;
        Ok((answer.next().flatten(), run_id))
    }

    async fn eval(
        &self,
        script: &str,
        keys: &[&str],
        arguments: &[Argument<'_>],
    ) -> Result<Vec<RedisResult>, RedisError> {
        self.script("EVAL", script, keys, arguments).await
    }

    /// `EVAL` of a script, or `EVALSHA` of its digest.
    async fn script(
        &self,
        name: &str,
        script: &str,
        keys: &[impl AsRef<str>],
        arguments: &[Argument<'_>],
    ) -> Result<Vec<RedisResult>, RedisError> {
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let head = [Text(script), Number(count)].map(|argument| RedisParameter::from(&argument));
        let keys = keys.iter().map(|key| self.key(key.as_ref()));
        let arguments = arguments.iter().map(RedisParameter::from);
        let parameters = head.into_iter().chain(keys).chain(arguments);
        self.execute(name, parameters).await
    }

    /// A command on one key.
    async fn command(
        &self,
        name: &str,
        key: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<RedisResult>, RedisError> {
        let arguments = arguments.iter().map(RedisParameter::from);
        let parameters = std::iter::once(self.key(key)).chain(arguments);
        self.execute(name, parameters).await
    }

    async fn execute(
        &self,
        name: &str,
        parameters: impl Iterator<Item = RedisParameter>,
    ) -> Result<Vec<RedisResult>, RedisError> {
        self.answered(self.keyspace.connection.execute(name, parameters).await)
    }

    /// The full key as it is sent, in one allocation, with or without a prefix.
    fn key(&self, key: &str) -> RedisParameter {
        let prefix = self.keyspace.prefix.as_str();
        RedisParameter::Binary([prefix.as_bytes(), key.as_bytes()].concat())
    }
}

/// A lifetime as an argument, in milliseconds.
pub fn milliseconds(lifetime: Duration) -> Argument<'static> {
    Number(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}

fn one_number(command: &str, answer: &[RedisResult]) -> Result<i64, RedisError> {
    match answer {
        [RedisResult::Int64(number)] => Ok(*number),
        _ => Err(RedisError::unexpected(command)),
    }
}

/// The value as text, or `None` for nil.
fn text(value: RedisResult) -> Option<String> {
    match value {
        RedisResult::Binary(bytes) => String::from_utf8(bytes).ok(),
        RedisResult::Status(text) => Some(text),
        RedisResult::Int64(number) => Some(number.to_string()),
        RedisResult::Nil => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_or_missing() {
        assert_eq!(text(RedisResult::Binary(b"7".to_vec())), Some("7".into()));
        assert_eq!(text(RedisResult::Nil), None);
        assert_eq!(text(RedisResult::Binary(vec![0xff])), None);
    }

    #[test]
    fn a_number_is_one_number() {
        assert_eq!(one_number("PTTL", &[RedisResult::Int64(-2)]), Ok(-2));
        assert!(one_number("PTTL", &[]).is_err());
        assert!(one_number("PTTL", &[RedisResult::Nil]).is_err());
    }
}
