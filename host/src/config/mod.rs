//! The settings of a serving host: flags and environment variables make one checked [`Config`].
//!
//! This room defines the allowed values and the default of each setting. Nothing here reads a file, binds a port or
//! knows what a setting does. The manifest, which sets limits too, is read in `app`.

mod admin_address;
mod clients;
mod cluster;
mod host_port;
mod members;
mod sentinel;
mod swap;
mod tls;
mod trace;
mod variable_file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, value_parser};
use store_server::console::Member;
pub(crate) use store_server::duration::parse as duration;
use store_server::logging::LogFormat;
pub use store_server::names::NameServer;
use store_server::terminal;
pub use store_server::{AdminUrl, Secret};

pub use self::admin_address::AdminAddress;
pub use self::clients::{ClientSettings, Networks};
pub use self::cluster::ClusterSettings;
pub use self::host_port::HostPort;
pub use self::members::MysqlMember;
pub use self::sentinel::SentinelSettings;
pub use self::swap::{CanaryBudget, SwapSettings};
pub use self::tls::{MysqlTls, RedisTls, TlsMode, TlsSettings};
pub use self::trace::TraceSettings;
pub use self::variable_file::VariableFile;

/// Everything that can be set about a serving host. Durations are written as `500ms`, `2s` or `1m`.
#[derive(Clone, Debug, Args)]
#[command(mut_args = environment_twin)]
pub struct Config {
    /// The app to serve: a Spin manifest, version 2
    #[arg(long, default_value = "spin.toml")]
    pub app: PathBuf,

    /// File that holds the value of a variable of the app, as NAME=FILE; it goes before SPIN_VARIABLE_NAME. A password
    /// stands in it without encoding. Read at start and at each reload. Give it several times for several variables
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',')]
    pub variable_file: Vec<VariableFile>,

    /// Address for requests; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Address for metrics, status and swaps, or unix:/path/to/a.sock; beyond loopback only with an admin token
    #[arg(long, default_value = "127.0.0.1:5100")]
    pub admin_listen: AdminAddress,

    /// Host names by which the admin listener may be asked, besides `localhost` and addresses, divided by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub admin_names: Vec<String>,

    /// Another program of the fleet that this host's console shows, as NAME=http://host:port of its admin listener. Give
    /// it several times for several programs
    #[arg(long, value_name = "NAME=URL", value_delimiter = ',')]
    pub console_peer: Vec<Member>,

    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What to log: a level, or `target=level` pairs divided by commas
    #[arg(long, default_value = "info")]
    pub log: String,

    /// Folder that keeps compiled components, so that the next start is quick [default: the user's cache folder]
    #[arg(long)]
    pub compile_cache: Option<PathBuf>,

    /// How long requests in flight may take to finish after SIGTERM
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// Connections of clients that are open at once; more wait in the system's queue
    #[arg(long, default_value_t = 8192, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// How long a client's connection may be without a request before it is closed; after a request up to twice as long
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// How long a client may leave an answer unread before its connection is closed
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub send_timeout: Duration,

    /// Start even if a database or cache can't be reached; a refused password still stops the start
    #[arg(long)]
    pub allow_unreachable: bool,

    /// Start even if the database's schema is of another version than this program's
    #[arg(long)]
    pub allow_other_schema: bool,

    /// Admin listener of a store-proxy that keeps answers, as http://host:port; the host tells it when answers change.
    /// Give it several times for several proxies
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub purge: Vec<AdminUrl>,

    /// File with the admin token of the proxies that --purge names; read at start and each time, as it may change
    #[arg(long, value_name = "FILE")]
    pub proxy_token_file: Option<PathBuf>,

    /// Limits of each client.
    #[command(flatten)]
    pub clients: ClientSettings,

    /// Limits of each component.
    #[command(flatten)]
    pub limits: Limits,

    /// Swaps and canaries, and the token that is needed to start them.
    #[command(flatten)]
    pub swap: SwapSettings,

    /// Traces.
    #[command(flatten)]
    pub trace: TraceSettings,

    /// The MySQL pools.
    #[command(flatten)]
    pub mysql: MysqlSettings,

    /// The Redis connections.
    #[command(flatten)]
    pub redis: RedisSettings,
}

/// The flag, which its environment variable sets too: `STORE_HOST_LOG_FORMAT` is that of `--log-format`.
pub(crate) fn environment_twin(flag: Arg) -> Arg {
    terminal::environment_twin("STORE_HOST_", flag)
}

/// What one component may use. Each limit counts for every component on its own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits of each component")]
pub struct Limits {
    /// Longest time from a request's headers to those of its answer; then 504
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Largest request body, in bytes; a larger one is answered 413
    #[arg(long, default_value_t = 1024 * 1024)]
    pub body_limit_bytes: u64,

    /// Most memory of one instance, in MiB: all its memories and tables together
    #[arg(long, default_value_t = 128, value_parser = value_parser!(u32).range(1..=4096))]
    pub memory_limit_mib: u32,

    /// Requests that one component may have in flight; one more is answered 503
    #[arg(long, default_value_t = 1024, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_in_flight: u32,

    /// Requests that share one instance at a time; those whose answers clients are still reading count too
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=1024))]
    pub instance_concurrency: u32,

    /// Requests that one instance serves before a fresh one takes its place
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(1..))]
    pub instance_requests: u32,

    /// How long an instance without requests is kept
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub instance_idle: Duration,

    /// Log lines that one component may write in a second; a line longer than 1 KiB counts as one for each KiB, up to
    /// this limit. More are dropped and counted
    #[arg(
        long,
        default_value_t = 100,
        value_parser = value_parser!(u32).range(1..=1_000_000)
    )]
    pub log_lines_per_second: u32,
}

impl Limits {
    /// [`Limits::memory_limit_mib`] in bytes.
    pub fn memory_limit_bytes(&self) -> usize {
        self.memory_limit_mib as usize * 1024 * 1024
    }
}

/// One pool per component and address.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "MySQL pool of each component and address")]
pub struct MysqlSettings {
    /// Most connections
    #[arg(
        id = "mysql-pool-size",
        long,
        default_value_t = 16,
        value_parser = value_parser!(u32).range(1..=10_000)
    )]
    pub pool_size: u32,

    /// Longest wait for a connection, after which the component is told so and answers 503
    #[arg(id = "mysql-pool-wait", long, default_value = "2s", value_parser = duration)]
    pub wait: Duration,

    /// Longest wait for a statement's answer, and for each further row
    #[arg(id = "mysql-statement-timeout", long, default_value = "30s", value_parser = duration)]
    pub statement: Duration,

    /// How long an unused connection is kept open
    #[arg(id = "mysql-pool-idle", long, default_value = "60s", value_parser = duration)]
    pub idle: Duration,

    /// Servers that hold the same data, as host:port divided by commas, in the order in which they are preferred. If the
    /// app's address is one of them, all hosts agree on one of the servers and write there. Or dns:host:port alone: all
    /// addresses of that host, which are looked up again and again
    #[arg(
        id = "mysql-members",
        long,
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub members: Vec<MysqlMember>,

    /// Name servers to ask for the host of a dns: entry, as IP addresses divided by commas, with a port if it is not 53
    /// [default: those of the system]
    #[arg(
        id = "mysql-name-servers",
        long,
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub name_servers: Vec<NameServer>,

    /// TLS to the servers.
    #[command(flatten)]
    pub tls: MysqlTls,
}

/// One multiplexed connection per component and address.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Redis connection of each component and address")]
pub struct RedisSettings {
    /// Longest wait for a connection
    #[arg(id = "redis-connect-timeout", long, default_value = "500ms", value_parser = duration)]
    pub connect_timeout: Duration,

    /// Longest wait for the answer to one command
    #[arg(id = "redis-response-timeout", long, default_value = "2s", value_parser = duration)]
    pub response_timeout: Duration,

    /// Stop a Redis in which a component's script has written data and does not end: nothing else ends such a script,
    /// and Redis answers nobody meanwhile. For a Redis that has nothing but this cache, and that is started again when
    /// it ends. Its user needs the right +shutdown
    #[arg(id = "redis-shutdown-if-stuck", long)]
    pub shutdown_if_stuck: bool,

    /// The Sentinels.
    #[command(flatten)]
    pub sentinel: SentinelSettings,

    /// The nodes of a Redis Cluster.
    #[command(flatten)]
    pub cluster: ClusterSettings,

    /// TLS to the servers.
    #[command(flatten)]
    pub tls: RedisTls,
}
