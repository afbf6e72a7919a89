//! Real servers on demand: a private MariaDB, a private Redis, store hosts in front of them, and a proxy in front of
//! the hosts.
//!
//! This is the only place that starts server processes, for `cargo xtask up` and for every integration test. Each
//! server listens on loopback, keeps its files in one folder, and dies with its owner, even if the owner is killed.
//!
//! A test begins with [`DataStore::start`]: it gets its own schema on the MariaDB that the tests of its binary share,
//! and its own Redis. [`seed`] fills a store with data, [`verify`] audits a store.

mod account;
mod addresses;
pub mod circles;
mod database_cluster;
mod galera;
mod group_replication;
mod guest;
mod host;
pub mod http2;
mod mariadb;
pub mod metrics;
mod mysql_server;
mod name_server;
mod polling;
mod ports;
mod process;
mod program;
mod progress;
mod prometheus;
mod proxy;
mod redis_cluster;
mod redis_keys;
mod redis_server;
mod redis_tls;
pub mod rooms;
mod run_folder;
mod seat;
mod secret;
pub mod seed;
mod sentinel;
mod server_settings;
mod service_manager;
mod spawner;
mod store;
mod twin;
pub mod verify;

pub use account::private_folder;
pub use addresses::{Addresses, connect_redis};
pub use database_cluster::{DatabaseCluster, Replication};
pub use guest::{Guest, component_folder};
pub use host::{Host, HostOptions, migrate};
pub use mariadb::{MariaDb, MariaDbOptions, Purpose};
pub use name_server::NameServer;
pub use nix::sys::signal::Signal;
pub use ports::{free_port, says_port_taken};
pub use process::{Process, start_program};
pub use progress::{Progress, Step};
pub use prometheus::{Prometheus, PrometheusOptions};
pub use proxy::{Proxy, ProxyLayout, ProxyOptions};
pub use redis_cluster::RedisCluster;
pub use redis_server::{RedisOptions, RedisServer};
pub use redis_tls::TlsFiles;
pub use run_folder::new_folder;
pub use seat::Seat;
pub use secret::Secret;
pub use sentinel::{Sentinel, SentinelOptions};
pub use service_manager::ServiceManager;
pub use store::DataStore;
pub use twin::Twin;
pub use xtask::programs::find_program;
