//! MySQL and Redis, with the settings that the host uses.

use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};
use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

/// `--mysql-pool-size`
const CONNECTIONS: usize = 16;

/// As the host keeps them on each connection.
const STATEMENTS_KEPT: usize = 64;

/// `--redis-connect-timeout` and `--redis-response-timeout`
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What every request shares.
#[derive(Clone)]
pub(crate) struct Pools {
    pub(crate) mysql: Pool,
    pub(crate) redis: ConnectionManager,
}

impl Pools {
    /// Connects when first asked.
    pub(crate) fn new(mysql_url: &str, redis_url: &str) -> Result<Self> {
        let opts = mysql_async::Opts::from_url(mysql_url).context("reading --mysql-url")?;
        // Fewer than the first number of idle connections are never closed.
        let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS);
        let constraints = constraints.context("a pool has at least one connection")?;
        let opts = OptsBuilder::from_opts(opts)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            .prefer_socket(false)
            .pool_opts(
                PoolOpts::new()
                    .with_constraints(constraints)
                    // Costs a round trip and the prepared statements; `orders` leaves its connections clean.
                    .with_reset_connection(false),
            );
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(0);
        let client = Client::open(redis_url).context("reading --redis-url")?;
        Ok(Self {
            mysql: Pool::new(opts),
            redis: ConnectionManager::new_lazy_with_config(client, config)
                .context("preparing Redis")?,
        })
    }
}
