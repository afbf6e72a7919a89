//! A store for one test: a schema, a Redis, and as many hosts as the test starts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use mysql_async::Conn;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;
use xtask::mysql::TestMysql;

use crate::addresses::Addresses;
use crate::host::{self, Host, HostOptions};
use crate::mariadb::{MariaDb, MariaDbOptions, Purpose};
use crate::mysql_server::MysqlServer;
use crate::progress::Progress;
use crate::redis_server::{RedisOptions, RedisServer};
use crate::run_folder::new_folder;
use crate::seed::{self, Dataset};
use crate::verify::{self, Audit};

/// The database server that all tests of one binary share; each has its own schema there. It ends with the process,
/// unless somebody else runs it.
static SHARED: OnceCell<SharedServer> = OnceCell::const_new();

/// The kind of shared server.
#[derive(Debug)]
enum SharedServer {
    Own(Box<MariaDb>),
    /// A server that somebody else runs.
    Given(MysqlServer),
}

static NEXT_SCHEMA: AtomicUsize = AtomicUsize::new(0);

/// A private store. Dropping it ends its servers, except the shared MariaDB.
#[derive(Debug)]
pub struct DataStore {
    /// The store's own MariaDB, which the test may stop and start; `None` if the store uses the shared one.
    pub mariadb: Option<MariaDb>,
    /// The store's Redis, which the test may stop and start.
    pub redis_server: RedisServer,
    addresses: Addresses,
    folder: PathBuf,
    hosts: AtomicUsize,
}

impl DataStore {
    /// A store without tables. Its schema is on the MariaDB that this process's stores share, or on MySQL if tests are
    /// told to use that. Files go to a folder under `base`, usually `env!("CARGO_TARGET_TMPDIR")`.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start(base: impl AsRef<Path>) -> Result<Self> {
        let base = base.as_ref();
        let shared = SHARED.get_or_try_init(|| shared_server(base)).await?;
        let url = match shared {
            SharedServer::Own(server) => fresh_schema(server).await?,
            SharedServer::Given(server) => server.fresh_database(&next_schema()).await?,
        };
        Self::on(base, &url).await
    }

    /// As [`DataStore::start`], but with its own MariaDB or MySQL, which the test may stop, kill and start again.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start_with_own_mariadb(base: impl AsRef<Path>) -> Result<Self> {
        let program = chosen_program()?;
        Self::with_own_server(base.as_ref(), Purpose::Testing, program).await
    }

    /// As [`DataStore::start_with_own_mariadb`], but never MySQL: for tests of behaviour that differs between the two.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start_on_mariadb_only(base: impl AsRef<Path>) -> Result<Self> {
        Self::with_own_server(base.as_ref(), Purpose::Testing, None).await
    }

    /// As [`DataStore::start_with_own_mariadb`], but a MariaDB that can take minutes of load.
    ///
    /// # Errors
    /// When a server doesn't start.
    pub async fn start_for_measuring(base: impl AsRef<Path>) -> Result<Self> {
        Self::with_own_server(base.as_ref(), Purpose::Measuring, None).await
    }

    async fn with_own_server(
        base: &Path,
        purpose: Purpose,
        mysqld: Option<PathBuf>,
    ) -> Result<Self> {
        let server = start_server(base, purpose, mysqld).await?;
        let mut store = Self::on(base, &fresh_schema(&server).await?).await?;
        store.mariadb = Some(server);
        Ok(store)
    }

    async fn on(base: &Path, mysql_url: &str) -> Result<Self> {
        let folder = new_folder(base, "store")?;
        let options = RedisOptions::new(folder.join("redis"), folder.join("redis.log"));
        let redis_server = RedisServer::start(options).await?;
        let addresses = Addresses::new(mysql_url, &redis_server.url())?;
        Ok(Self {
            mariadb: None,
            redis_server,
            addresses,
            folder,
            hosts: AtomicUsize::new(0),
        })
    }

    /// The addresses of the store's MySQL and Redis.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The folder of the store's logs; tests may put files here too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a connection to the store's schema.
    ///
    /// # Errors
    /// When MariaDB is down.
    pub async fn mysql(&self) -> Result<Conn> {
        self.addresses.mysql().await
    }

    /// Opens a connection to the store's Redis.
    ///
    /// # Errors
    /// When Redis is down.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        self.addresses.redis().await
    }

    /// Makes the store's tables, with the `store-host` program `binary`.
    ///
    /// # Errors
    /// When a migration fails.
    pub fn migrate(&self, binary: impl AsRef<Path>) -> Result<()> {
        host::migrate(binary.as_ref(), self.addresses.mysql_url())
    }

    /// Fills the store, which must be empty, with `dataset`.
    ///
    /// # Errors
    /// When the store holds users already, or a server is down.
    pub async fn seed(&self, dataset: &Dataset) -> Result<()> {
        seed::load(&self.addresses, dataset, Progress::Silent).await
    }

    /// Audits the store: compares everything that must be equal.
    ///
    /// # Errors
    /// When a server is down. Differences are not errors; the audit lists them.
    pub async fn verify(&self) -> Result<Audit> {
        verify::audit(&self.addresses, Progress::Silent).await
    }

    /// Starts a host in front of this store, which gives the host its name and folders.
    ///
    /// # Errors
    /// When the host doesn't come up.
    pub async fn host(&self, options: HostOptions) -> Result<Host> {
        Host::start(&self.placed(options), &self.addresses).await
    }

    /// `options` with the name and the folders that this store gives a host, for [`Host::run_to_end`].
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

impl Drop for DataStore {
    fn drop(&mut self) {
        // The store's own processes print their logs when dropped; the shared server is not dropped here.
        if thread::panicking()
            && self.mariadb.is_none()
            && let Some(SharedServer::Own(server)) = SHARED.get()
            && let Some(process) = server.process()
        {
            eprintln!("--- log of the shared server:{}", process.log_tail());
        }
    }
}

/// The server that this process's stores share, as the environment says.
async fn shared_server(base: &Path) -> Result<SharedServer> {
    if let Some(TestMysql::Server(url)) = TestMysql::chosen()? {
        return Ok(SharedServer::Given(MysqlServer::new(url)));
    }
    let started = start_server(base, Purpose::Testing, chosen_program()?).await;
    started.map(|server| SharedServer::Own(Box::new(server)))
}

/// The `mysqld` that tests start instead of MariaDB, if the environment names one.
pub(crate) fn chosen_program() -> Result<Option<PathBuf>> {
    Ok(match TestMysql::chosen()? {
        Some(TestMysql::Program(program)) => Some(program),
        // Tests must not stop or kill this server.
        Some(TestMysql::Server(_)) | None => None,
    })
}

fn next_schema() -> String {
    format!("store_{}", NEXT_SCHEMA.fetch_add(1, Ordering::Relaxed))
}

async fn fresh_schema(server: &MariaDb) -> Result<String> {
    let schema = next_schema();
    server.create_database(&schema).await?;
    Ok(server.url(&schema))
}

async fn start_server(base: &Path, purpose: Purpose, mysqld: Option<PathBuf>) -> Result<MariaDb> {
    let folder = new_folder(base, "mariadb")?;
    let options = MariaDbOptions {
        mysqld,
        ..MariaDbOptions::new(&folder, folder.join("mariadb.log"), purpose)
    };
    MariaDb::start(options)
        .await
        .context("starting a private database server")
}
