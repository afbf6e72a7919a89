//! The addresses of a store's MySQL and Redis: as people write them, as clients need them, and as the app's variables.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, Opts, OptsBuilder};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};
use store_domain::settings::{KeyPrefix, Setting};
use tokio::time::timeout;
use url::Url;

const MYSQL_PORT: u16 = 3306;
const REDIS_PORT: u16 = 6379;

/// If a server doesn't answer a new connection for this long, it counts as down.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Long enough for a thousand commands on a busy machine; the client's own limit of 500 ms is too short.
const REDIS_ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The two servers of one store, and what its keys in Redis begin with.
#[derive(Clone, Debug)]
pub struct Addresses {
    mysql: Url,
    redis: Url,
    key_prefix: KeyPrefix,
}

impl Addresses {
    /// Reads `mysql://user:password@host:port/database` and `redis://user:password@host:port`.
    ///
    /// # Errors
    /// When the app's variables can't express a URL. The message doesn't contain the password.
    pub fn new(mysql: &str, redis: &str) -> Result<Self> {
        Ok(Self {
            mysql: checked_mysql(mysql).context("the MySQL URL")?,
            redis: checked_redis(redis).context("the Redis URL")?,
            key_prefix: KeyPrefix::default(),
        })
    }

    /// The same store, if its keys in Redis begin with `prefix`.
    ///
    /// # Errors
    /// For a prefix that no component takes.
    pub fn with_key_prefix(self, prefix: &str) -> Result<Self> {
        let key_prefix = checked_key_prefix(prefix).context("the prefix of keys in Redis")?;
        Ok(Self { key_prefix, ..self })
    }

    /// Checks that [`Addresses::new`] would accept `url` as the MySQL URL.
    ///
    /// # Errors
    /// When it would not, with the reason.
    pub fn check_mysql_url(url: &str) -> Result<()> {
        checked_mysql(url).map(drop)
    }

    /// Checks that [`Addresses::new`] would accept `url` as the Redis URL.
    ///
    /// # Errors
    /// When it would not, with the reason.
    pub fn check_redis_url(url: &str) -> Result<()> {
        checked_redis(url).map(drop)
    }

    /// Whether [`Addresses::with_key_prefix`] would take `prefix`.
    ///
    /// # Errors
    /// If not, with the reason.
    pub fn check_key_prefix(prefix: &str) -> Result<()> {
        checked_key_prefix(prefix).map(drop)
    }

    /// The database's URL, password included.
    pub fn mysql_url(&self) -> &str {
        self.mysql.as_str()
    }

    /// The database as `host:port/name`, without the password.
    pub fn mysql_label(&self) -> String {
        format!(
            "{}{}",
            host_and_port(&self.mysql, MYSQL_PORT),
            self.mysql.path()
        )
    }

    /// Redis as `host:port`, without a password.
    pub fn redis_label(&self) -> String {
        host_and_port(&self.redis, REDIS_PORT)
    }

    /// Redis's URL, password included.
    pub fn redis_url(&self) -> &str {
        self.redis.as_str()
    }

    /// What the store's keys in Redis begin with.
    pub(crate) fn key_prefix(&self) -> &KeyPrefix {
        &self.key_prefix
    }

    /// The variables of `spin.toml` that lead a component to these servers, under their names there.
    pub fn variables(&self) -> Vec<(String, String)> {
        // Percent-encoded parts stay encoded: `spin.toml` puts them into a URL again.
        let database = self.mysql.path().trim_start_matches('/');
        let pairs = [
            ("mysql_address", host_and_port(&self.mysql, MYSQL_PORT)),
            ("mysql_user", self.mysql.username().to_owned()),
            (
                "mysql_password",
                self.mysql.password().unwrap_or_default().to_owned(),
            ),
            ("mysql_database", database.to_owned()),
            ("redis_address", host_and_port(&self.redis, REDIS_PORT)),
            ("redis_user", self.redis.username().to_owned()),
            (
                "redis_password",
                self.redis.password().unwrap_or_default().to_owned(),
            ),
        ];
        let prefix = Some(self.key_prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map(|prefix| (KeyPrefix::VARIABLE, prefix.to_owned()));
        let pairs = pairs.into_iter().chain(prefix);
        pairs
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Opens a connection to the database.
    ///
    /// # Errors
    /// When the server is not reachable or refuses us.
    pub async fn mysql(&self) -> Result<Conn> {
        let opts = Opts::from_url(self.mysql.as_str()).context("reading the MySQL URL")?;
        // With `localhost`, the client would otherwise try a socket file that may belong to another server.
        let opts = OptsBuilder::from_opts(opts).prefer_socket(false);
        let conn = timeout(CONNECT_LIMIT, Conn::new(opts))
            .await
            .unwrap_or_else(|late| Err(io::Error::from(late).into()));
        conn.with_context(|| format!("connecting to MySQL at {}", self.mysql_label()))
    }

    /// Opens a connection to Redis.
    ///
    /// # Errors
    /// When the server is not reachable.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        let connection = connect_redis(self.redis.as_str()).await;
        connection.with_context(|| format!("connecting to Redis at {}", self.redis_label()))
    }
}

/// Opens a connection to a Redis or a Sentinel, which may be slow to answer.
///
/// # Errors
/// When the server is not reachable.
pub async fn connect_redis(url: &str) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(url)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(REDIS_ANSWER_LIMIT));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn checked_mysql(text: &str) -> Result<Url> {
    const SHAPE: &str = "expected mysql://user:password@host:port/database";
    let url = Url::parse(text).context(SHAPE)?;
    ensure!(url.scheme() == "mysql" && url.has_host(), SHAPE);
    ensure!(!url.username().is_empty(), "{SHAPE}: the user is missing");
    let database = url.path().trim_start_matches('/');
    ensure!(
        !database.is_empty() && !database.contains('/'),
        "{SHAPE}: the database is missing"
    );
    ensure!(url.query().is_none(), "{SHAPE}: options are not supported");
    Ok(url)
}

fn checked_redis(text: &str) -> Result<Url> {
    const SHAPE: &str = "expected redis://user:password@host:port";
    let url = Url::parse(text).context(SHAPE)?;
    ensure!(url.scheme() == "redis" && url.has_host(), SHAPE);
    // The app's variables hold only address, user and password; anything else would be lost.
    ensure!(url.query().is_none(), "{SHAPE}: options are not supported");
    ensure!(
        matches!(url.path(), "" | "/" | "/0"),
        "{SHAPE}: only database 0 is supported"
    );
    Ok(url)
}

fn checked_key_prefix(text: &str) -> Result<KeyPrefix> {
    KeyPrefix::parse(text).with_context(|| format!("expected {}", KeyPrefix::ALLOWED))
}

fn host_and_port(url: &Url, default_port: u16) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port().unwrap_or(default_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_the_variables_of_the_app() {
        let addresses = Addresses::new(
            "mysql://me:p%40ss@db.example/shop",
            "redis://:p%2Fw@[::1]:7000",
        );
        let variables = addresses.expect("both are good").variables();
        let expected = [
            ("mysql_address", "db.example:3306"),
            ("mysql_user", "me"),
            ("mysql_password", "p%40ss"),
            ("mysql_database", "shop"),
            ("redis_address", "[::1]:7000"),
            ("redis_user", ""),
            ("redis_password", "p%2Fw"),
        ];
        assert_eq!(
            variables,
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn a_prefix_of_keys_is_a_variable_of_the_app_too() {
        let addresses = Addresses::new("mysql://me@db/shop", "redis://r")
            .and_then(|addresses| addresses.with_key_prefix("{store}:"));
        let variables = addresses.expect("all are good").variables();
        let expected = ("redis_key_prefix".to_owned(), "{store}:".to_owned());
        assert_eq!(variables.last(), Some(&expected));
    }

    #[test]
    fn a_wrong_prefix_of_keys_is_one_clear_line() {
        let error = Addresses::check_key_prefix("a b").expect_err("it has a space");
        assert_eq!(
            format!("{error:#}"),
            "expected up to 64 visible ASCII characters"
        );
    }

    #[test]
    fn a_url_without_a_database_is_refused() {
        for url in [
            "mysql://me@db:3306",
            "mysql://me@db/",
            "mysql://me@db/a/b",
            "http://me@db/a",
            "shop",
        ] {
            assert!(checked_mysql(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_a_redis_address_cannot_hold_is_refused() {
        for url in ["redis://r/1", "rediss://r", "redis://r?protocol=3"] {
            assert!(checked_redis(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_password_to_itself() {
        for url in [
            "mysql://me:hunter2@db",
            "mysql://me@db/shop?password=hunter2",
            "mysql://me:hunter2@db/shop?ssl-mode=required",
        ] {
            let error = Addresses::new(url, "redis://r").expect_err("not supported");
            assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
        }
    }
}
