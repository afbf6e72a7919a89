//! Settings of Redis Sentinel, which knows the primary Redis server.

use std::path::PathBuf;

use clap::Args;

use super::HostPort;

/// The Sentinels, and how they are asked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Redis Sentinel")]
pub struct SentinelSettings {
    /// Sentinels as host:port, divided by commas. The host in each redis:// address is then the name of a primary that they
    /// watch, as in `sentinel monitor NAME …`, and its port is ignored
    #[arg(
        id = "redis_sentinel",
        long = "redis-sentinel",
        env = "STORE_HOST_REDIS_SENTINEL",
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub addresses: Vec<HostPort>,

    /// User of the Sentinels themselves, if they have any
    #[arg(
        id = "redis_sentinel_user",
        long = "redis-sentinel-user",
        env = "STORE_HOST_REDIS_SENTINEL_USER",
        value_name = "NAME"
    )]
    pub user: Option<String>,

    /// File with the password of the Sentinels themselves
    #[arg(
        id = "redis_sentinel_password_file",
        long = "redis-sentinel-password-file",
        env = "STORE_HOST_REDIS_SENTINEL_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
}
