//! Access to internals of the crate for `benches/`, only with the feature `micro`. It is not part of the library.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http::Request;
use http_body_util::{BodyExt, Empty};
use store_server::trace::{Trace, Tracing};
use tokio::sync::Mutex;
use wasmtime::Engine;

use crate::app::{Plan, Router};
use crate::cli::Cli;
use crate::config::Config;
use crate::instance::{
    Admission, Code, EpochTicker, Generation, MemoryShare, Origin, Source, Version, engine,
};
use crate::message::RequestId;
use crate::metrics::Metrics;
use crate::mysql::{Pool, Server};
use crate::outbound::{Backend, Kind, Tls};

type Failure = Box<dyn std::error::Error>;

/// The routes of an app.
pub struct Routes(Arc<Router>);

impl Routes {
    /// Reads the app's manifest.
    ///
    /// # Errors
    /// The app can't be served.
    pub fn of(app: &Path) -> Result<Self, Failure> {
        let config = config(app)?;
        let plan = plan(&config)?;
        Ok(Self(plan.router))
    }

    /// Whether there is a route for `path`.
    pub fn find(&self, path: &str) -> bool {
        self.0.find(path).is_some()
    }
}

/// A component with all limits of the host, but without HTTP around it.
pub struct Component {
    generation: Arc<Generation>,
    _ticker: EpochTicker,
}

impl Component {
    /// Compiles the component `id` of an app. Must be called inside a runtime.
    ///
    /// # Errors
    /// The app can't be served.
    pub fn load(app: &Path, id: &str) -> Result<Self, Failure> {
        let config = config(app)?;
        let plan = plan(&config)?;
        let context = plan.contexts.get(id).ok_or("no such component")?.clone();
        let engine = engine::new(config.limits.memory_limit_bytes(), None)?;
        let version = Version {
            number: 1,
            origin: Origin::File,
            file_digest: None,
            compiled: compile(&engine, &plan, id)?,
        };
        Ok(Self {
            generation: Generation::new(Arc::new(version), context),
            _ticker: EpochTicker::start(engine)?,
        })
    }

    /// Sends `GET path` to the component. Returns the length of the answer's body in bytes.
    ///
    /// # Errors
    /// The component gives no answer.
    pub async fn get(&self, path: &str) -> Result<usize, Failure> {
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let request = Request::get(path).body(body.boxed_unsync())?;
        let admitted = Admission {
            id: RequestId::made("bench-"),
            place: None,
            is_urgent: false,
        };
        let instances = &self.generation.instances;
        let (answer, _) = instances.handle(admitted, request, &Trace::off()).await?;
        Ok(answer.into_body().collect().await?.to_bytes().len())
    }
}

/// The generation number of these connections.
const GENERATION: u64 = 1;

/// The default memory limit of an instance, in bytes.
const MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// A pool of connections to MySQL, for benchmarks.
pub struct Connections(Arc<Pool>);

impl Connections {
    /// Makes a pool in the same way as the host. Must be called inside a runtime.
    ///
    /// # Errors
    /// The URL is not an address of MySQL.
    pub fn to(url: &str) -> Result<Self, Failure> {
        let config = config(Path::new("spin.toml"))?;
        let metrics = Metrics::new()?.mysql_pool("bench");
        let backend = Backend::parse(url, Kind::Mysql)?;
        let tls = Tls::load(&config.mysql.tls.settings())?;
        let server = Server::alone(&backend, &tls, config.limits.memory_limit_bytes());
        let pool = Pool::new(server, config.mysql, metrics);
        Ok(Self(pool))
    }

    /// Takes a connection and gives it back.
    ///
    /// # Errors
    /// No connection can be opened.
    pub async fn open_and_drop(&self) -> Result<(), Failure> {
        drop(self.0.checkout(GENERATION, None).await?);
        Ok(())
    }

    /// Runs a query and converts its rows to the form that components read. Returns the number of rows, up to 256.
    ///
    /// # Errors
    /// The server refuses the statement.
    pub async fn rows(&self, statement: &str) -> Result<usize, Failure> {
        let connection = Arc::new(Mutex::new(self.0.checkout(GENERATION, None).await?));
        let room = MemoryShare::of(MEMORY_BYTES).stream();
        let rows = crate::mysql::first_rows(connection.lock_owned().await, statement, room).await;
        rows.map_err(|error| format!("{error:?}").into())
    }
}

fn config(app: &Path) -> Result<Config, Failure> {
    let mut config = Cli::try_parse_from(["store-host"])?.config;
    config.app = app.to_owned();
    Ok(config)
}

fn plan(config: &Config) -> Result<Plan, Failure> {
    let (metrics, tracing) = (Metrics::new()?, Tracing::default());
    Ok(Plan::new(config, &metrics, &tracing, &Arc::default())?)
}

fn compile(engine: &Engine, plan: &Plan, id: &str) -> Result<Code, Failure> {
    let file = &plan.manifest.components[id].source;
    let source = Source::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Code::new(engine, &source)?)
}
