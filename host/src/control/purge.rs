//! Tells proxies that keep answers (`store-proxy`, docs/PROXY.md) to forget them when they have changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use tokio::sync::watch;

use crate::client::{Call, Caller};
use crate::config::{AdminUrl, Secret};
use crate::metrics::Metrics;

/// The path of a purge at a proxy's admin listener.
const PATH: &str = "/cache/purge";

/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How long a proxy that does not answer is tried again: it may be restarting. After that its kept answers expire.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

/// First pause between two tries; doubled each time, up to the most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long whoever made a change waits for the proxies to be told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells all proxies of a fleet.
pub(crate) struct Purger {
    proxies: Vec<AdminUrl>,
    /// File with the token that the proxies ask for.
    token_file: Option<PathBuf>,
    metrics: Arc<Metrics>,
    /// How many notices are on their way. Written by [`Notice`].
    under_way: watch::Sender<usize>,
}

/// A notice on its way to one proxy, counted until it is dropped.
struct Notice(Arc<Purger>);

impl Notice {
    fn begin(purger: &Arc<Purger>) -> Self {
        purger.under_way.send_modify(|count| *count += 1);
        Self(purger.clone())
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

impl Purger {
    pub(crate) fn new(
        proxies: Vec<AdminUrl>,
        token_file: Option<PathBuf>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            proxies,
            token_file,
            metrics,
            under_way: watch::Sender::new(0),
        })
    }

    /// Begins to tell all proxies. Call it once the change is in force: what a proxy asks for after it was told must be new.
    pub(crate) fn start(self: &Arc<Self>) {
        for proxy in &self.proxies {
            let (notice, proxy) = (Notice::begin(self), proxy.clone());
            tokio::spawn(async move { notice.0.tell(&proxy).await });
        }
    }

    /// Waits until all proxies were told, but not for long.
    pub(crate) async fn settled(&self) {
        let mut under_way = self.under_way.subscribe();
        let all_know = under_way.wait_for(|count| *count == 0);
        // The others are told as soon as they answer.
        _ = tokio::time::timeout(PATIENCE, all_know).await;
    }

    /// The token that proxies ask for. `None` without a file, or while it can't be read: then the proxy's answer says
    /// that a token is missing.
    async fn token(&self) -> Option<Secret> {
        let text = tokio::fs::read_to_string(self.token_file.as_ref()?).await;
        text.ok().map(|token| Secret(token.trim().to_owned()))
    }

    async fn tell(&self, proxy: &AdminUrl) {
        let deadline = Instant::now() + GIVE_UP_AFTER;
        let mut pause = FIRST_PAUSE;
        loop {
            let caller = Caller {
                token: self.token().await,
                timeout: ANSWER_LIMIT,
            };
            let told = caller.call::<IgnoredAny>(proxy, Call::post(PATH)).await;
            let Err(error) = told else {
                return self.metrics.purge("done");
            };
            if Instant::now() + pause > deadline {
                self.metrics.purge("failed");
                return tracing::warn!(
                    "A proxy may show old answers until they expire, as it could not be told to forget them: {error}"
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
