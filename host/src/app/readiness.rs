//! Whether the app can do its work. An app may answer requests and still have a database that takes no writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::live::LiveApp;
use crate::mysql::{Servers, Writer};
use crate::outbound::{Backend, Kind};

/// For how long a result is used again, so that frequent checks cost the databases nothing more.
const STANDS: Duration = Duration::from_secs(1);

/// Checks whether the databases that the components' variables name take writes.
pub(crate) struct Readiness {
    live: Arc<LiveApp>,
    /// Locked while the databases are asked, so that simultaneous checks ask only once.
    last: Mutex<ReadinessCheck>,
}

/// The result of the last check of the databases.
#[derive(Default)]
struct ReadinessCheck {
    at: Option<Instant>,
    is_ready: bool,
    /// The databases that were asked, by address, with how to reach each.
    writers: BTreeMap<String, (Arc<Servers>, Writer)>,
}

impl Readiness {
    pub(crate) fn new(live: Arc<LiveApp>) -> Self {
        Self {
            live,
            last: Mutex::default(),
        }
    }

    /// Whether the app can do its work; the result is at most a second old.
    pub(crate) async fn is_ready(&self) -> bool {
        let mut last = self.last.lock().await;
        if last.at.is_none_or(|at| at.elapsed() >= STANDS) {
            let was_ready = last.at.is_none() || last.is_ready;
            let databases = self.live.load().databases();
            let found = last.ask(databases).await;
            match &found {
                Ok(()) if !was_ready => tracing::info!("Ready again"),
                Err(reason) if was_ready => tracing::warn!("Not ready: {reason}"),
                _ => {}
            }
            last.at = Some(Instant::now());
            last.is_ready = found.is_ok();
        }
        last.is_ready
    }
}

impl ReadinessCheck {
    /// Asks the databases one after the other. Fails at the first one that takes no writes.
    async fn ask(&mut self, databases: BTreeMap<String, Arc<Servers>>) -> Result<(), String> {
        // A reload may have read other certificates, so connections that were made with the old settings are dropped.
        self.writers.retain(|address, (servers, _)| {
            let now = databases.get(address);
            now.is_some_and(|now| Arc::ptr_eq(now, servers))
        });
        for (address, servers) in databases {
            let backend = Backend::parse(&address, Kind::Mysql)?;
            let entry = self.writers.entry(address);
            let (_, writer) = entry.or_insert_with(|| {
                let writer = Writer::new(&backend, &servers);
                (servers, writer)
            });
            writer.check().await?;
        }
        Ok(())
    }
}
