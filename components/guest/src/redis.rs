//! Typed Redis over `spin:redis`. Commands sent together, as futures joined, travel together.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use store_domain::StoreError;
use store_domain::cache::GET_WITH_LIFETIME;

use crate::variables;

/// Why Redis did not do what was asked. Since Redis is a cache, callers go on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RedisError(String);

impl RedisError {
    fn unexpected(command: &str) -> Self {
        Self(format!("{command} answered something unexpected"))
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

/// An argument of a command.
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

thread_local! {
    /// The connection of this instance's readers, which carries the commands of all of them at once. One that failed is
    /// forgotten, and the next reader opens another.
    static SHARED: RefCell<Option<Rc<Connection>>> = RefCell::default();
}

/// A connection to Redis. It holds nothing of a request: no transaction, no selected database.
pub struct Redis(Rc<Connection>);

impl Redis {
    /// Opens a connection, for work that should not fail because an older one broke; under our host, joins the one that
    /// all share.
    ///
    /// # Errors
    /// If Redis is down, or the variable that says where it is is missing.
    pub async fn open() -> Result<Self, RedisError> {
        let url = variables::redis_url().await?;
        Ok(Self(Rc::new(Connection::open(url).await?)))
    }

    /// Joins the connection of this instance's readers, or opens it. A reader whose connection breaks has MySQL.
    ///
    /// # Errors
    /// As [`Redis::open`].
    pub async fn shared() -> Result<Self, RedisError> {
        if let Some(connection) = SHARED.with_borrow(Clone::clone) {
            return Ok(Self(connection));
        }
        let redis = Self::open().await?;
        SHARED.set(Some(redis.0.clone()));
        Ok(redis)
    }

    /// What the server answered. A connection that breaks stays broken.
    fn answered<T>(&self, answer: Result<T, Error>) -> Result<T, RedisError> {
        if let Err(Error::Other(_)) = &answer {
            let is_mine = |shared: &mut Rc<_>| Rc::ptr_eq(shared, &self.0);
            SHARED.with_borrow_mut(|shared| shared.take_if(is_mine));
        }
        Ok(answer?)
    }

    /// `GET`
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        self.answered(self.0.get(key).await)
    }

    /// A value, and how long its key lives; `None` if it is not there or lives for ever.
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn get_with_lifetime(
        &self,
        key: &str,
    ) -> Result<Option<(Vec<u8>, Duration)>, RedisError> {
        let script = [Text(GET_WITH_LIFETIME), Number(1), Text(key)];
        match <[_; 2]>::try_from(self.command("EVAL", &script).await?) {
            Ok([RedisResult::Binary(value), RedisResult::Int64(left)]) => {
                let left = u64::try_from(left).ok().map(Duration::from_millis);
                Ok(left.map(|left| (value, left)))
            }
            Ok([RedisResult::Nil, _]) => Ok(None),
            _ => Err(RedisError::unexpected("EVAL")),
        }
    }

    /// `SET` with a lifetime.
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
        self.command("SET", &[Text(key), Text(value), Text("PX"), lifetime])
            .await
            .map(drop)
    }

    /// `SET` for ever.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn set(&self, key: &str, value: &str) -> Result<(), RedisError> {
        self.answered(self.0.set(key, value).await)
    }

    /// `SET` with a lifetime if the key is not there. Says whether it was set.
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
            .command(
                "SET",
                &[Text(key), Text(value), Text("NX"), Text("PX"), lifetime],
            )
            .await?;
        Ok(!matches!(answer.as_slice(), [RedisResult::Nil] | []))
    }

    /// `PEXPIRE`: lets an existing key live for `lifetime` from now on.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn expire(&self, key: &str, lifetime: Duration) -> Result<(), RedisError> {
        self.command("PEXPIRE", &[Text(key), milliseconds(lifetime)])
            .await
            .map(drop)
    }

    /// `PTTL`: how long the key lives, or `None` if it is not there or lives for ever.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn lifetime(&self, key: &str) -> Result<Option<Duration>, RedisError> {
        let left = self.command("PTTL", &[Text(key)]).await?;
        let left = one_number("PTTL", &left)?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// `EXISTS`
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn exists(&self, key: &str) -> Result<bool, RedisError> {
        let count = self.command("EXISTS", &[Text(key)]).await?;
        Ok(one_number("EXISTS", &count)? > 0)
    }

    /// `DEL` of one key.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn delete(&self, key: &str) -> Result<(), RedisError> {
        self.answered(self.0.del([key]).await).map(drop)
    }

    /// `HSET` of several fields.
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn set_fields<const N: usize>(
        &self,
        key: &str,
        fields: &[&str; N],
        values: &[String; N],
    ) -> Result<(), RedisError> {
        let mut arguments = vec![Text(key)];
        arguments.extend(pairs(fields, values));
        self.command("HSET", &arguments).await.map(drop)
    }

    /// `HMGET`: the fields' values, `None` where a field or the whole key is missing.
    ///
    /// # Errors
    /// If Redis is down or the key holds another type.
    pub async fn fields<const N: usize>(
        &self,
        key: &str,
        fields: &[&str; N],
    ) -> Result<[Option<String>; N], RedisError> {
        let mut arguments = vec![Text(key)];
        arguments.extend(fields.iter().map(|field| Text(field)));
        let values = self.command("HMGET", &arguments).await?;
        let values: Vec<_> = values.into_iter().map(text).collect();
        values
            .try_into()
            .map_err(|_| RedisError::unexpected("HMGET"))
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
        let parameters = [Text(script), Number(1), Text(key)];
        let parameters = parameters.iter().chain(arguments).map(RedisParameter::from);
        let answer = self.answered(self.0.execute("EVAL", parameters).await)?;
        one_number("EVAL", &answer)
    }

    /// One step of `SCAN`: the keys found, some perhaps again, and the cursor to go on with unless this was the end.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn scan(
        &self,
        cursor: Option<&str>,
        pattern: &str,
    ) -> Result<(Vec<String>, Option<String>), RedisError> {
        /// How many keys a step looks at: enough that steps are few, and few enough that Redis answers others between.
        const KEYS_AT_ONCE: i64 = 1000;
        let cursor = cursor.unwrap_or("0");
        let answer = self
            .command(
                "SCAN",
                &[
                    Text(cursor),
                    Text("MATCH"),
                    Text(pattern),
                    Text("COUNT"),
                    Number(KEYS_AT_ONCE),
                ],
            )
            .await?;
        // Spin flattens the answer, a cursor and a list, into one list.
        let mut parts = answer.into_iter().filter_map(text);
        let next = parts.next().ok_or_else(|| RedisError::unexpected("SCAN"))?;
        Ok((parts.collect(), (next != "0").then_some(next)))
    }

    /// The id that the server took when it started: another id means that what it held may be gone.
    ///
    /// # Errors
    /// If Redis is down.
    pub async fn run_id(&self) -> Result<String, RedisError> {
        let info = self.command("INFO", &[Text("server")]).await?;
        let info = info.into_iter().find_map(text).unwrap_or_default();
        info.lines()
            .find_map(|line| line.strip_prefix("run_id:"))
            .map(|id| id.trim().to_owned())
            .ok_or_else(|| RedisError::unexpected("INFO"))
    }

    async fn command(
        &self,
        name: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<RedisResult>, RedisError> {
        let parameters = arguments.iter().map(RedisParameter::from);
        self.answered(self.0.execute(name, parameters).await)
    }
}

/// Fields and their values in turn, as `HSET` and the stock scripts take them.
pub fn pairs<'a, const N: usize>(
    fields: &'a [&str; N],
    values: &'a [String; N],
) -> impl Iterator<Item = Argument<'a>> {
    fields
        .iter()
        .zip(values)
        .flat_map(|(field, value)| [Text(field), Text(value)])
}

fn milliseconds(lifetime: Duration) -> Argument<'static> {
    Number(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}

fn one_number(command: &str, answer: &[RedisResult]) -> Result<i64, RedisError> {
    match answer {
        [RedisResult::Int64(number)] => Ok(*number),
        _ => Err(RedisError::unexpected(command)),
    }
}

/// The text of a value, or `None` where there is none.
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

    #[test]
    fn fields_and_values_alternate() {
        let values = ["1".to_owned(), "2".to_owned()];
        let texts: Vec<_> = pairs(&["a", "b"], &values)
            .map(|argument| match argument {
                Text(text) => text.to_owned(),
                Number(number) => number.to_string(),
            })
            .collect();
        assert_eq!(texts, ["a", "1", "b", "2"]);
    }
}
