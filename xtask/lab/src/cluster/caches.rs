//! The cache members: three Redis, and the Sentinels that watch them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{RedisOptions, RedisServer, Sentinel, SentinelOptions};

use super::network::Network;

/// The Sentinels' name of the Redis primary.
pub(super) const CACHE: &str = "store-cache";

/// The quorum, of three Sentinels.
const QUORUM: u32 = 2;

/// How long a Redis is silent until a Sentinel finds it dead.
const SILENCE: Duration = Duration::from_millis(500);

/// Starts a primary and two replicas.
pub(super) async fn start_redis(folder: &Path, network: &mut Network) -> Result<Vec<RedisServer>> {
    let mut servers: Vec<RedisServer> = Vec::new();
    for number in 0..3 {
        let name = format!("redis-{number}");
        let options = RedisOptions {
            seat: network.seat(&name)?,
            replicated: true,
            ..RedisOptions::new(folder.join(&name), folder.join(format!("{name}.log")))
        };
        let server = RedisServer::start(options).await?;
        if let Some(primary) = servers.first() {
            let primary = primary.address();
            let (host, port) = primary.split_once(':').context("an address has a port")?;
            let mut connection = connect_redis(&server.url()).await?;
            let mut replicate = redis::cmd("REPLICAOF");
            let told = replicate.arg(host).arg(port).exec_async(&mut connection);
            told.await
                .with_context(|| format!("making {name} a replica"))?;
            let mut rewrite = redis::cmd("CONFIG");
            let written = rewrite.arg("REWRITE").exec_async(&mut connection).await;
            written.with_context(|| format!("noting that {name} is a replica"))?;
        }
        servers.push(server);
    }
    Ok(servers)
}

/// Opens a connection to a Redis or a Sentinel.
pub(super) async fn connect_redis(url: &str) -> Result<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(url).context("reading a Redis URL")?;
    let connection = client.get_multiplexed_async_connection().await;
    connection.with_context(|| format!("connecting to {url}"))
}

/// Starts the Sentinels that watch the Redis servers.
pub(super) async fn start_sentinels(
    folder: &Path,
    network: &mut Network,
    primary: &RedisServer,
) -> Result<Vec<Sentinel>> {
    let mut sentinels = Vec::new();
    for number in 0..3 {
        let name = format!("sentinel-{number}");
        let options = SentinelOptions {
            folder: folder.join(&name),
            seat: network.seat(&name)?,
            name: CACHE.to_owned(),
            primary: primary.address(),
            quorum: QUORUM,
            silence: SILENCE,
            tls: None,
        };
        sentinels.push(Sentinel::start(options).await?);
    }
    Ok(sentinels)
}

/// The Sentinels' addresses, in the form of `--redis-sentinel`.
pub(super) fn addresses_of(sentinels: &[Sentinel]) -> String {
    let addresses = sentinels.iter().map(Sentinel::address);
    addresses.collect::<Vec<_>>().join(",")
}
