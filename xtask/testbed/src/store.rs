//! One store for one test: a schema, a Redis, and as many hosts as it asks for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use mysql_async::Conn;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

use crate::addresses::Addresses;
use crate::host::{self, Host, HostOptions};
use crate::mariadb::{MariaDb, MariaDbOptions, Purpose};
use crate::progress::Progress;
use crate::redis_server::{RedisOptions, RedisServer};
use crate::run_folder::new_folder;
use crate::seed::{self, Dataset};
use crate::verify::{self, Audit};

/// The server that all tests of one binary share, each in a schema of its own. It ends with the process.
static SHARED: OnceCell<MariaDb> = OnceCell::const_new();

static NEXT_SCHEMA: AtomicUsize = AtomicUsize::new(0);

/// A private store. Dropping it ends its servers, except the shared MariaDB.
#[derive(Debug)]
pub struct Store {
    /// Its own MariaDB, to be stopped and started by the test; `None` if it uses the shared one.
    pub mariadb: Option<MariaDb>,
    /// Its Redis, to be stopped and started by the test.
    pub redis_server: RedisServer,
    addresses: Addresses,
    folder: PathBuf,
    hosts: AtomicUsize,
}

impl Store {
    /// A store without tables, with a schema on the MariaDB that this process's stores share. Files go to a folder
    /// under `base`, usually `env!("CARGO_TARGET_TMPDIR")`.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start(base: impl AsRef<Path>) -> Result<Self> {
        let base = base.as_ref();
        let shared = SHARED
            .get_or_try_init(|| start_mariadb(base, Purpose::Testing))
            .await?;
        Self::on(base, shared).await
    }

    /// Like [`Store::start`], with a MariaDB of its own that the test may stop, kill and start again.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start_with_own_mariadb(base: impl AsRef<Path>) -> Result<Self> {
        Self::with_own_mariadb(base.as_ref(), Purpose::Testing).await
    }

    /// Like [`Store::start_with_own_mariadb`], with a MariaDB that takes minutes of load.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start_for_measuring(base: impl AsRef<Path>) -> Result<Self> {
        Self::with_own_mariadb(base.as_ref(), Purpose::Measuring).await
    }

    async fn with_own_mariadb(base: &Path, purpose: Purpose) -> Result<Self> {
        let mariadb = start_mariadb(base, purpose).await?;
        let mut store = Self::on(base, &mariadb).await?;
        store.mariadb = Some(mariadb);
        Ok(store)
    }

    async fn on(base: &Path, server: &MariaDb) -> Result<Self> {
        let folder = new_folder(base, "store")?;
        let schema = format!("store_{}", NEXT_SCHEMA.fetch_add(1, Ordering::Relaxed));
        server.create_database(&schema).await?;
        let options = RedisOptions::new(folder.join("redis"), folder.join("redis.log"));
        let redis_server = RedisServer::start(options).await?;
        let addresses = Addresses::new(&server.url(&schema), &redis_server.url())?;
        Ok(Self {
            mariadb: None,
            redis_server,
            addresses,
            folder,
            hosts: AtomicUsize::new(0),
        })
    }

    /// Where its MySQL and Redis are.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The folder of its logs, for a test's own files too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection to its schema.
    ///
    /// # Errors
    /// When MariaDB is down.
    pub async fn mysql(&self) -> Result<Conn> {
        self.addresses.mysql().await
    }

    /// A connection to its Redis.
    ///
    /// # Errors
    /// When Redis is down.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        self.addresses.redis().await
    }

    /// Makes its tables, with the `store-host` program `binary`.
    ///
    /// # Errors
    /// When a migration fails.
    pub fn migrate(&self, binary: impl AsRef<Path>) -> Result<()> {
        host::migrate(binary.as_ref(), self.addresses.mysql_url())
    }

    /// Fills it, which must be empty, with `dataset`.
    ///
    /// # Errors
    /// When it holds users already, or a server is down.
    pub async fn seed(&self, dataset: &Dataset) -> Result<()> {
        seed::load(&self.addresses, dataset, Progress::Silent).await
    }

    /// Compares everything that must be equal.
    ///
    /// # Errors
    /// When a server is down; differences are in the audit.
    pub async fn verify(&self) -> Result<Audit> {
        verify::audit(&self.addresses, Progress::Silent).await
    }

    /// Starts a host in front of this store. Its name and folders are given here.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub async fn host(&self, options: HostOptions) -> Result<Host> {
        Host::start(&self.placed(options), &self.addresses).await
    }

    /// `options` with the name and the folders that a host of this store gets, for [`Host::run_to_end`].
    pub fn placed(&self, options: HostOptions) -> HostOptions {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed);
        HostOptions {
            name: format!("host-{number}"),
            directory: self.folder.clone(),
            logs: self.folder.clone(),
            ..options
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Processes of this store print their own logs; the shared server is not dropped with it.
        if thread::panicking()
            && self.mariadb.is_none()
            && let Some(process) = SHARED.get().and_then(MariaDb::process)
        {
            eprintln!("--- log of the shared MariaDB:{}", process.log_tail());
        }
    }
}

async fn start_mariadb(base: &Path, purpose: Purpose) -> Result<MariaDb> {
    let folder = new_folder(base, "mariadb")?;
    let options = MariaDbOptions::new(&folder, folder.join("mariadb.log"), purpose);
    MariaDb::start(options)
        .await
        .context("starting a private MariaDB")
}
