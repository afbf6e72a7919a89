//! The MariaDB and the Redis of `up`: started here, or given by URL.

use anyhow::Result;
use testbed::{Addresses, MariaDb, MariaDbOptions, Progress, Purpose, RedisOptions, RedisServer};

use xtask::paths;

/// Redis commands that no client of the store sends, or that would give a client more rights than it needs. The host
/// refuses these commands to components but does not see what their scripts call. The user of `RedisServer` may not call
/// most of them; these, Redis does not even know.
const REDIS_WITHOUT: &[&str] = &[
    "BGREWRITEAOF",
    "BGSAVE",
    "CONFIG",
    "DEBUG",
    "FLUSHALL",
    "FLUSHDB",
    "KEYS",
    "MIGRATE",
    "MODULE",
    "REPLICAOF",
    "SAVE",
    "SHUTDOWN",
    "SLAVEOF",
    "SWAPDB",
];

/// The most memory of Redis, in MiB: many times what the course's data need, and little enough for a small machine.
/// When it is full, Redis refuses writes, and the store goes on without it.
const REDIS_MEMORY_MIB: u32 = 512;

/// Both servers, started here or given.
pub(super) struct Servers {
    /// `None` if a URL was given.
    pub(super) mariadb: Option<MariaDb>,
    /// `None` if a URL was given.
    pub(super) redis: Option<RedisServer>,
    pub(super) addresses: Addresses,
}

impl Servers {
    /// Starts each server that is not given.
    pub(super) async fn start(mysql_url: Option<&str>, redis_url: Option<&str>) -> Result<Self> {
        let (mariadb, mysql_url) = match mysql_url {
            Some(url) => (None, url.to_owned()),
            None => {
                let mariadb = start_mariadb().await?;
                let url = mariadb.store_url();
                (Some(mariadb), url)
            }
        };
        let (redis, redis_url) = match redis_url {
            Some(url) => (None, url.to_owned()),
            None => {
                let redis = start_redis().await?;
                let url = redis.url();
                (Some(redis), url)
            }
        };
        let addresses = Addresses::new(&mysql_url, &redis_url)?;
        Ok(Self {
            mariadb,
            redis,
            addresses,
        })
    }
}

async fn start_mariadb() -> Result<MariaDb> {
    let step = Progress::detect().step("MariaDB", 0);
    let mariadb = MariaDb::start(MariaDbOptions::new(
        paths::store().join("mariadb"),
        paths::store().join("logs/mariadb.log"),
        Purpose::Keeping,
    ))
    .await?;
    step.finish_with(&format!("127.0.0.1:{}", mariadb.port()));
    Ok(mariadb)
}

async fn start_redis() -> Result<RedisServer> {
    let step = Progress::detect().step("Redis", 0);
    let redis = RedisServer::start_with_password(redis_options()).await?;
    step.finish_with(&format!("127.0.0.1:{}", redis.port()));
    Ok(redis)
}

fn redis_options() -> RedisOptions {
    RedisOptions {
        max_memory_mib: Some(REDIS_MEMORY_MIB),
        without: REDIS_WITHOUT,
        ..RedisOptions::new(
            paths::store().join("redis"),
            paths::store().join("logs/redis.log"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_can_t_be_emptied_or_read_whole() {
        for name in ["FLUSHALL", "FLUSHDB", "KEYS", "SWAPDB"] {
            assert!(redis_options().without.contains(&name), "{name}");
        }
    }

    #[test]
    fn redis_does_not_take_all_memory() {
        assert_eq!(redis_options().max_memory_mib, Some(REDIS_MEMORY_MIB));
    }
}
