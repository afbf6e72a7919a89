//! `cargo xtask up`: builds and runs the whole store on this machine, with the proxy in front, until Ctrl-C.

mod follow;
mod observe;
mod ports;
mod proxy;
mod running;
mod servers;
mod token;
mod welcome;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use testbed::{Addresses, Host, HostOptions, Progress, migrate, private_folder, seed};

use self::observe::ObserveArgs;
use self::running::RunningStore;
use self::servers::Servers;
use crate::seed::{Data, RandomArgs};
use crate::store_urls;
use xtask::build::HOST_PACKAGE;
use xtask::paths;
use xtask::stop_signals::{INTERRUPTED, StopSignals};

/// Build the store, start it with MariaDB and Redis of its own, fill it with data, and run it until Ctrl-C
///
/// Data, logs and addresses are in `.store/`; a second `up` finds the data again.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Use this MySQL or MariaDB, as mysql://user:password@host:port/database, instead of starting one
    #[arg(long, value_name = "URL", value_parser = store_urls::mysql_url)]
    mysql_url: Option<String>,
    /// Use this Redis, as redis://user:password@host:port, instead of starting one
    #[arg(long, value_name = "URL", value_parser = store_urls::redis_url)]
    redis_url: Option<String>,
    /// The data to fill an empty store with
    #[arg(long = "seed", value_enum, value_name = "DATA", default_value_t = Data::Lab)]
    data: Data,
    #[command(flatten)]
    random: RandomArgs,
    /// How many hosts to start
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    instances: u16,
    /// The first host's port; the others get the ports after it
    #[arg(long, value_name = "PORT", default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..=65000))]
    port: u16,
    /// The first host's port for metrics and status; the others get the ports after it
    #[arg(long, value_name = "PORT", default_value_t = 5100, value_parser = clap::value_parser!(u16).range(1..=65000))]
    admin_port: u16,
    /// The address of the proxy in front of the hosts; its metrics are on the port after it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    proxy_listen: SocketAddr,
    /// Start the proxy with this file, instead of one made for these hosts
    #[arg(long, value_name = "FILE", conflicts_with = "proxy_listen")]
    proxy_config: Option<PathBuf>,
    /// Swap a component into the running hosts when its file changes, and reload when spin.toml changes
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    observe: ObserveArgs,
}

/// The duration from which a request counts as slow here. It is low so that the console has slow requests to show:
/// without load, hardly any request on one machine takes this long.
const SLOW: &str = "100ms";

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let _lock = lock()?;
    let mut signals = StopSignals::new()?;
    let running = tokio::select! {
        running = start(&options) => running?,
        () = signals.next() => {
            // Dropping a store that is only half started kills its servers. MariaDB recovers, and rolls an unfinished
            // seed back.
            eprintln!("interrupted before the store was up");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    running.until_stopped(&mut signals).await
}

async fn start(options: &Options) -> Result<RunningStore> {
    ports::check_free(options.port, options.admin_port, options.instances)?;
    if options.proxy_config.is_none() {
        proxy::check_free(options.proxy_listen)?;
    }
    options.observe.check_free()?;
    let servers =
        Servers::start(options.mysql_url.as_deref(), options.redis_url.as_deref()).await?;
    let step = Progress::detect().step("migrations", 0);
    migrate(&paths::program(HOST_PACKAGE), servers.addresses.mysql_url())?;
    step.finish();
    store_urls::save(&servers.addresses)?;
    fill_if_empty(&servers.addresses, options).await?;
    let hosts = start_hosts(&servers.addresses, options).await?;
    let proxy = proxy::start(options, &hosts).await?;
    let prometheus = options.observe.start(&hosts, &proxy).await?;
    Ok(RunningStore {
        prometheus,
        proxy,
        hosts,
        servers,
    })
}

async fn fill_if_empty(addresses: &Addresses, options: &Options) -> Result<()> {
    if seed::is_empty(addresses).await? {
        return crate::seed::load(addresses, options.data, options.random).await;
    }
    eprintln!("✓ the store has data, which is kept (`cargo xtask seed --force` replaces it)");
    Ok(())
}

async fn start_hosts(addresses: &Addresses, options: &Options) -> Result<Vec<Host>> {
    let mut hosts = Vec::new();
    let token = token::file()?.display().to_string();
    // One after the other: the first host leaves compiled components in the cache for the others.
    for number in 0..options.instances {
        let step = Progress::detect().step(&format!("host {}", number + 1), 0);
        let host = Host::start(&host_options(number, options, &token), addresses).await?;
        step.finish_with(&host.url(""));
        hosts.push(host);
    }
    Ok(hosts)
}

fn host_options(number: u16, options: &Options, token: &str) -> HostOptions {
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let mut args = vec![
        "--admin-token-file".to_owned(),
        token.to_owned(),
        "--trace-tail".to_owned(),
    ];
    if std::env::var_os("STORE_HOST_TRACE_SLOW").is_none() {
        args.push(format!("--trace-slow={SLOW}"));
    }
    args.extend(proxy::purge_flags(options, token));
    if options.watch {
        args.push("--watch".to_owned());
    }
    HostOptions {
        name: format!("host-{}", options.port + number),
        directory: paths::root().to_owned(),
        logs: paths::store().join("logs"),
        listen: loopback(options.port + number),
        admin_listen: loopback(options.admin_port + number).to_string(),
        args,
        inherit_settings: true,
        ..HostOptions::new(paths::program(HOST_PACKAGE), paths::app())
    }
}

/// Keeps a second `up` from starting. The lock belongs to the open file, so the kernel releases it however this process
/// ends.
fn lock() -> Result<File> {
    let path = paths::store().join("lock");
    // The folder holds passwords, a token and the store's data.
    private_folder(&paths::store())?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = file.with_context(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        let mut owner = String::new();
        file.read_to_string(&mut owner)
            .context("reading .store/lock")?;
        bail!(
            "the store is up already: process {} runs `cargo xtask up` here. Stop that one first",
            owner.trim()
        );
    }
    file.set_len(0).context("emptying .store/lock")?;
    writeln!(file, "{}", std::process::id()).context("writing .store/lock")?;
    Ok(file)
}
