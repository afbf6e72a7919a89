//! Telling proxies that keep answers (`store-proxy`, docs/PROXY.md) that those have changed.

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

/// How long a proxy is asked again that does not answer: it may be starting anew. After that its answers expire.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

/// First pause between two tries; doubled each time, up to the most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long whoever made a change waits until the proxies know of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The proxies of a fleet.
pub(crate) struct Purger {
    proxies: Vec<AdminUrl>,
    /// File with the token that they ask for.
    token_file: Option<PathBuf>,
    metrics: Arc<Metrics>,
    /// Proxies that are being told.
    under_way: watch::Sender<usize>,
}

/// One proxy that is being told, until it is dropped.
struct UnderWay(Arc<Purger>);

impl UnderWay {
    fn begin(purger: &Arc<Purger>) -> Self {
        purger.under_way.send_modify(|count| *count += 1);
        Self(purger.clone())
    }
}

impl Drop for UnderWay {
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

    /// Begins to tell all proxies. To be called once the change is in force: what a proxy asks for after it was told
    /// must be new.
    pub(crate) fn start(self: &Arc<Self>) {
        for proxy in &self.proxies {
            let (under_way, proxy) = (UnderWay::begin(self), proxy.clone());
            tokio::spawn(async move { under_way.0.tell(&proxy).await });
        }
    }

    /// Waits until all proxies know, but not for long.
    pub(crate) async fn settled(&self) {
        let mut under_way = self.under_way.subscribe();
        let all_know = under_way.wait_for(|count| *count == 0);
        // Those that still don't know are told as soon as they answer.
        _ = tokio::time::timeout(PATIENCE, all_know).await;
    }

    /// The token that proxies ask for. There is none without a file, or as long as it can't be read: the proxy says
    /// then that it wants one.
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
