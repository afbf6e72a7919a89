//! Whether the app can do its work, which is more than that it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::live::Live;
use crate::mysql::Writer;
use crate::outbound::{Backend, Kind};

/// How long an answer stands: whoever asks more often costs the databases nothing more.
const STANDS: Duration = Duration::from_secs(1);

/// Whether the databases that the app's components are told of take writes.
pub(crate) struct Readiness {
    live: Arc<Live>,
    /// Held while the databases are asked, so that many who ask at once ask once.
    last: Mutex<Look>,
}

/// What was found when the databases were asked last.
#[derive(Default)]
struct Look {
    at: Option<Instant>,
    is_ready: bool,
    /// Those that were asked, by address.
    writers: BTreeMap<String, Writer>,
}

impl Readiness {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            last: Mutex::default(),
        }
    }

    /// Whether the app can do its work, as of a second ago at most.
    pub(crate) async fn is_ready(&self) -> bool {
        let mut last = self.last.lock().await;
        if last.at.is_none_or(|at| at.elapsed() >= STANDS) {
            let was_ready = last.at.is_none() || last.is_ready;
            let addresses = self.live.load().databases();
            let found = last.ask(addresses).await;
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

impl Look {
    /// Asks the databases at `addresses`, until one is found that takes no writes.
    async fn ask(&mut self, addresses: Vec<String>) -> Result<(), String> {
        self.writers
            .retain(|address, _| addresses.contains(address));
        for address in addresses {
            let backend = Backend::parse(&address, Kind::Mysql)?;
            let writer = self.writers.entry(address);
            writer
                .or_insert_with(|| Writer::new(&backend))
                .check()
                .await?;
        }
        Ok(())
    }
}
