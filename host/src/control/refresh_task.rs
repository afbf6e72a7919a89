//! The background task that keeps the reports in Redis up to date, by calling the component that makes them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::purge::Purger;
use crate::app::LiveApp;
use crate::instance::refresh::{Outcome, Urgency, refresh};
use crate::instance::{Context, Generation};

/// The pause after a first failure. It is doubled after each further one, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Refreshes the reports of the app's components until the returned set is dropped. `changed` is notified when the app
/// was replaced; `purger` tells the proxies about new reports.
pub(crate) fn start(
    live: Arc<LiveApp>,
    changed: watch::Receiver<()>,
    purger: Arc<Purger>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(live, changed, purger));
    tasks
}

/// Runs one task for each component of the app, including components that a reload adds.
async fn follow(live: Arc<LiveApp>, mut changed: watch::Receiver<()>, purger: Arc<Purger>) {
    let mut tasks = JoinSet::new();
    let mut known: HashMap<Id, String> = HashMap::new();
    loop {
        let ids: Vec<String> = live.load().slots.keys().cloned().collect();
        for id in ids {
            if !known.values().any(|known| *known == id) {
                let (changed, purger) = (changed.clone(), purger.clone());
                let task = tasks.spawn(keep_fresh(id.clone(), live.clone(), changed, purger));
                known.insert(task.id(), id);
            }
        }
        tokio::select! {
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => match ended {
                Ok((task, ())) => _ = known.remove(&task),
                Err(error) => {
                    let id = known.remove(&error.id()).unwrap_or_default();
                    tracing::error!(component = id, "The refresh of `{id}` broke and starts anew: {error}");
                    tokio::time::sleep(FIRST_RETRY).await;
                }
            },
            still_serving = changed.changed() => {
                if still_serving.is_err() {
                    return;
                }
            }
        }
    }
}

/// Calls the stable generation of a component again and again, until the app no longer has the component.
async fn keep_fresh(
    id: String,
    live: Arc<LiveApp>,
    mut changed: watch::Receiver<()>,
    purger: Arc<Purger>,
) {
    let mut retry = FIRST_RETRY;
    loop {
        changed.mark_unchanged();
        let Some(generation) = live.load().stable(&id) else {
            return;
        };
        if generation.version.compiled.refresher.is_none() {
            drop(generation);
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        let context = Arc::downgrade(&generation.context);
        let interval = generation.context.refresh_interval;
        let pause = match refresh_once(generation, &purger).await {
            Some(wait) => {
                retry = FIRST_RETRY;
                // There is always a pause, whatever a component answers.
                wait.min(interval).max(Duration::from_millis(10))
            }
            None => {
                let pause = retry;
                retry = (retry * 2).min(interval);
                tracing::warn!(component = id, "The refresh is tried again in {pause:?}");
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = other_settings(&id, &live, &context, &mut changed) => {}
        }
    }
}

/// Waits until the component serves with a context other than `context`. The interval may have changed then, or the
/// address of a database that failed.
async fn other_settings(
    id: &str,
    live: &LiveApp,
    context: &Weak<Context>,
    changed: &mut watch::Receiver<()>,
) {
    while changed.changed().await.is_ok() {
        let serves = live.load().stable(id);
        let same = |serves: Arc<Generation>| Arc::as_ptr(&serves.context) == context.as_ptr();
        if !serves.is_some_and(same) {
            return;
        }
    }
}

/// Calls the component once, and logs and counts the outcome. Returns how long to wait for the next refresh, or `None`
/// if this one failed.
async fn refresh_once(generation: Arc<Generation>, purger: &Arc<Purger>) -> Option<Duration> {
    let context = &generation.context;
    let (id, metrics) = (&context.id, &context.metrics);
    let started = Instant::now();
    let outcome = refresh(&generation, Urgency::WhenDue).await;
    let took = started.elapsed();
    match outcome {
        Ok(Outcome::Elsewhere(wait_ms)) => {
            metrics.refresh("elsewhere", None);
            Some(Duration::from_millis(wait_ms.into()))
        }
        Ok(done) => {
            let outcome = if matches!(done, Outcome::Rebuilt) {
                purger.start();
                "rebuilt"
            } else {
                "unchanged"
            };
            metrics.refresh(outcome, Some(took.as_secs_f64()));
            tracing::debug!(
                component = id,
                outcome,
                elapsed_ms = took.as_millis(),
                "Refreshed"
            );
            Some(context.refresh_interval.saturating_sub(took))
        }
        Err(reason) => {
            metrics.refresh("failed", None);
            tracing::warn!(component = id, "The refresh failed: {reason}");
            None
        }
    }
}
