//! The keys of one store in its Redis, as seeding and auditing ask for them.

use std::borrow::Cow;

use anyhow::{Context, Error, Result, anyhow, bail};
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use store_domain::cache::{self, STATE};
use store_domain::changes::Entity;
use store_domain::settings::KeyPrefix;

use crate::addresses::Addresses;

/// How many keys Redis examines for one `SCAN` answer.
const SCAN_COUNT: usize = 1_000;

/// The keys of one store, and the server that they are on.
pub(crate) struct StoreKeys {
    pub(crate) redis: MultiplexedConnection,
    prefix: KeyPrefix,
    /// The server, for messages.
    server: String,
}

impl StoreKeys {
    /// Connects to the server.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) async fn open(addresses: &Addresses) -> Result<Self> {
        Ok(Self {
            redis: addresses.redis().await?,
            prefix: addresses.key_prefix().clone(),
            server: addresses.redis_label(),
        })
    }

    /// A key by its whole name.
    pub(crate) fn named<'a>(&self, key: &'a str) -> Cow<'a, str> {
        self.prefix.named(key)
    }

    /// The whole name of the key of one order or one product's stock.
    pub(crate) fn of(&self, entity: Entity, id: i64) -> String {
        self.named(&cache::key(entity, id)).into_owned()
    }

    /// The id in the whole name of a key of `entity`, if it is one.
    pub(crate) fn id_in(&self, entity: Entity, key: &str) -> Option<i64> {
        cache::id_in_key(entity, key.strip_prefix(self.prefix.as_str())?)
    }

    /// The whole names of all keys of `entity`. One that comes or goes meanwhile may be missed or doubled.
    pub(crate) async fn all_of(&mut self, entity: Entity) -> Result<Vec<String>> {
        let pattern = literal(self.prefix.as_str()) + &cache::pattern(entity);
        self.scan(&pattern, usize::MAX).await
    }

    /// Checks that the prefix is that of the store, as far as Redis can tell. With a wrong one all keys would be missing,
    /// which is no difference to MySQL.
    ///
    /// # Errors
    /// When the store's keys seem to begin with another prefix, or to be on another node of a Redis Cluster.
    pub(crate) async fn check_prefix(&mut self) -> Result<()> {
        if self.has_state().await? {
            return Ok(());
        }
        let (server, state) = (self.server.clone(), self.named(STATE));
        if let Some(other) = self.other_state().await? {
            bail!(
                "Redis at {server} has no `{state}`, but it has `{other}`: the store's keys seem to begin with another \
                 prefix than the one given (--redis-key-prefix)"
            );
        }
        // Keys of another prefix may be on another node.
        if self.is_in_cluster().await? {
            bail!(
                "Redis at {server} is a node of a Redis Cluster and has no `{state}`: either no host has used it yet, or the \
                 store's keys begin with another prefix than the one given (--redis-key-prefix)"
            );
        }
        Ok(())
    }

    /// A key with which a cache of another prefix says what it is worth, if there is none of this prefix.
    pub(crate) async fn state_elsewhere(&mut self) -> Result<Option<String>> {
        if self.has_state().await? {
            return Ok(None);
        }
        self.other_state().await
    }

    /// Whether Redis says under the store's prefix what the cache is worth, as it does as soon as a host has used it.
    ///
    /// # Errors
    /// When Redis refuses, or is a node of a Redis Cluster that does not hold the store's keys.
    pub(crate) async fn has_state(&mut self) -> Result<bool> {
        let key = self.named(STATE);
        let mut command = redis::cmd("EXISTS");
        command.arg(&*key);
        let found = command.query_async::<bool>(&mut self.redis).await;
        self.explained(found)
            .with_context(|| format!("looking for the key {key}"))
    }

    /// Looks through the keys of the server, but no further than to the first one.
    async fn other_state(&mut self) -> Result<Option<String>> {
        let found = self.scan(&format!("*{STATE}"), 1).await?;
        Ok(found.into_iter().next())
    }

    async fn is_in_cluster(&mut self) -> Result<bool> {
        let mut command = redis::cmd("INFO");
        command.arg("cluster");
        let info = command.query_async::<String>(&mut self.redis).await;
        let info = info.context("asking Redis whether it is in a Redis Cluster")?;
        Ok(info.contains("cluster_enabled:1"))
    }

    /// Keys of the server that match `pattern`: all of them, unless there are as many as `enough` before the end.
    async fn scan(&mut self, pattern: &str, enough: usize) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(SCAN_COUNT);
            let (next, mut found): (u64, Vec<String>) = command
                .query_async(&mut self.redis)
                .await
                .with_context(|| format!("listing the keys {pattern}"))?;
            keys.append(&mut found);
            if next == 0 || keys.len() >= enough {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// An answer of Redis, whose error says what it means here.
    pub(crate) fn explained<T>(&self, answer: RedisResult<T>) -> Result<T> {
        answer.map_err(|error| {
            if is_moved(&error) {
                self.on_another_node(&error)
            } else {
                error.into()
            }
        })
    }

    /// Lets every answer pass but that of a node that does not hold the key.
    pub(crate) fn check_held<T>(&self, answer: &RedisResult<T>) -> Result<()> {
        match answer {
            Err(error) if is_moved(error) => Err(self.on_another_node(error)),
            _ => Ok(()),
        }
    }

    fn on_another_node(&self, error: &RedisError) -> Error {
        let holder = error.redirect_node();
        let holder = holder.map_or("another node", |(address, _)| address);
        anyhow!(
            "Redis at {} is a node of a Redis Cluster that does not hold the store's keys (MOVED: {holder} does): \
             --redis-url must be that of the primary that holds their slot, and --redis-key-prefix what they begin with",
            self.server
        )
    }
}

fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

/// A pattern that matches `text` and nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
