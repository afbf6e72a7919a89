//! Tells proxies that cache answers (`store-proxy`, docs/PROXY.md) to forget them after a change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use store_server::token;
use tokio::sync::watch;

use crate::client::{Call, Caller};
use crate::config::{AdminUrl, Secret};
use crate::metrics::Metrics;

/// The path of a purge on a proxy's admin listener.
const PATH: &str = "/cache/purge";

/// The longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How long a proxy that does not answer is tried again: it may be restarting. After this time, its cached answers
/// expire by themselves.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

/// The first pause between two attempts. It is doubled each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long the caller of a change waits until the proxies were told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells all proxies of a fleet to purge their caches.
pub(crate) struct Purger {
    proxies: Vec<AdminUrl>,
    /// The file with the token that the proxies demand.
    token_file: Option<PathBuf>,
    metrics: Arc<Metrics>,
    /// The number of notices that are on their way. [`Notice`] changes it.
    under_way: watch::Sender<usize>,
}

/// A notice on its way to one proxy. It counts until it is dropped.
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
    /// # Errors
    /// There are proxies, and the file with the token can't be read, or its token is too short, in one line. Otherwise
    /// only proxies would notice, and only at the first purge.
    pub(crate) fn new(
        proxies: Vec<AdminUrl>,
        token_file: Option<PathBuf>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, String> {
        if let Some(file) = token_file.as_ref().filter(|_| !proxies.is_empty()) {
            check_token(file)
                .map_err(|reason| format!("--proxy-token-file {}: {reason}", file.display()))?;
        }
        Ok(Arc::new(Self {
            proxies,
            token_file,
            metrics,
            under_way: watch::Sender::new(0),
        }))
    }

    /// Begins to tell all proxies. Must be called after the change is in force, because what a proxy fetches afterwards
    /// must be new.
    pub(crate) fn start(self: &Arc<Self>) {
        for proxy in &self.proxies {
            let (notice, proxy) = (Notice::begin(self), proxy.clone());
            tokio::spawn(async move { notice.0.tell(&proxy).await });
        }
    }

    /// Waits until all proxies were told, for [`PATIENCE`] at most.
    pub(crate) async fn settled(&self) {
        let mut under_way = self.under_way.subscribe();
        let all_know = under_way.wait_for(|count| *count == 0);
        // The remaining proxies are told as soon as they answer.
        _ = tokio::time::timeout(PATIENCE, all_know).await;
    }

    /// The token that proxies demand, read each time, as it may change. `None` if there is no file or it can't be read
    /// any more; then the proxy answers that a token is missing.
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

fn check_token(file: &Path) -> Result<(), String> {
    let token = token::read(file).map_err(|error| format!("can't be read: {error}"))?;
    match token.0.len() {
        0 => Err("is empty: write the proxies' admin token into it".into()),
        length if length < token::SHORTEST => Err(format!(
            "the proxies' admin token has {} characters or more",
            token::SHORTEST
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_proxies_no_token_is_needed() {
        let purger = |proxies| {
            let metrics = Metrics::new().expect("metrics");
            Purger::new(proxies, Some("no/such/file".into()), metrics)
        };
        assert!(purger(Vec::new()).is_ok());
        let proxy = "http://127.0.0.1:1".parse().expect("an address");
        assert!(purger(vec![proxy]).is_err());
    }

    #[test]
    fn a_token_that_no_proxy_takes_is_told_at_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let refusal = || check_token(&file).expect_err("it is no token");
        assert!(refusal().starts_with("can't be read"), "{}", refusal());
        for (text, part) in [("\n", "is empty"), ("short\n", "16 characters or more")] {
            std::fs::write(&file, text).expect("writes");
            assert!(refusal().contains(part), "{}", refusal());
        }
        std::fs::write(&file, "0123456789abcdef\n").expect("writes");
        assert_eq!(check_token(&file), Ok(()));
    }
}
