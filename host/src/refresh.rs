//! The background task that keeps what Redis holds equal to MySQL, by calling the component that knows how.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wasmtime::Engine;
use wasmtime::component::Accessor;

use crate::bindings::refresher::exports::store::reports::refresh::Outcome;
use crate::component::LoadedComponent;
use crate::instance::new_store;
use crate::state::State;

/// The variable of the component that says how often.
const INTERVAL_VARIABLE: &str = "report_refresh_seconds";

/// How often when the component has no such variable.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);

/// A day, as the component has it.
const LONGEST_INTERVAL_SECONDS: u32 = 86_400;

/// First pause after a failure; doubled with each further one, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest time for one refresh. Refilling an emptied Redis is the longest work there is.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Tasks, one for each component that exports the refresh function. They stop when this is dropped.
pub(crate) struct RefreshTasks(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

/// Starts a task for each component that exports the refresh function.
///
/// # Errors
/// An interval that is no positive number of seconds.
pub(crate) fn start<'a>(
    engine: &Engine,
    components: impl Iterator<Item = &'a Arc<LoadedComponent>>,
) -> Result<RefreshTasks, String> {
    let mut tasks = JoinSet::new();
    for component in components.filter(|component| component.refresher.is_some()) {
        let interval = interval(component)?;
        tasks.spawn(keep_fresh(engine.clone(), component.clone(), interval));
    }
    Ok(RefreshTasks(tasks))
}

fn interval(component: &LoadedComponent) -> Result<Duration, String> {
    let context = &component.context;
    let Some(text) = context.variables.get(INTERVAL_VARIABLE) else {
        return Ok(USUAL_INTERVAL);
    };
    match text.parse::<u32>() {
        Ok(seconds) if (1..=LONGEST_INTERVAL_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs(seconds.into()))
        }
        _ => Err(format!(
            "`component.{}.variables.{INTERVAL_VARIABLE}`: `{text}` is not a whole number of seconds from 1 to {LONGEST_INTERVAL_SECONDS}",
            context.id
        )),
    }
}

async fn keep_fresh(engine: Engine, component: Arc<LoadedComponent>, interval: Duration) {
    let id = &component.context.id;
    let metrics = &component.context.metrics;
    let mut retry = FIRST_RETRY;
    loop {
        let started = Instant::now();
        let outcome = tokio::time::timeout(TIME_LIMIT, refresh(&engine, &component))
            .await
            .unwrap_or_else(|_| Err(format!("not done within {TIME_LIMIT:?}")));
        let took = started.elapsed();
        let pause = match outcome {
            Ok(Outcome::Elsewhere(wait_ms)) => {
                metrics.refresh("elsewhere", None);
                Duration::from_millis(wait_ms.into()).min(interval)
            }
            Ok(done) => {
                let outcome = if matches!(done, Outcome::Rebuilt) {
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
                interval.saturating_sub(took)
            }
            Err(reason) => {
                metrics.refresh("failed", None);
                tracing::warn!(
                    component = id,
                    "The refresh failed and is tried again in {retry:?}: {reason}"
                );
                let pause = retry;
                retry = (retry * 2).min(interval);
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        retry = FIRST_RETRY;
        // Never in a tight loop, whatever a component answers.
        tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
    }
}

/// One call in an instance of its own, so that long work shares nothing with requests.
async fn refresh(engine: &Engine, component: &LoadedComponent) -> Result<Outcome, String> {
    let Some(refresher) = &component.refresher else {
        return Err("the component exports no refresh function".into());
    };
    let mut store = new_store(engine, &component.context);
    let call = async {
        let instance = refresher.instantiate_async(&mut store).await?;
        store
            .run_concurrent(async |accessor: &Accessor<State>| {
                instance
                    .store_reports_refresh()
                    .call_refresh(accessor)
                    .await
            })
            .await?
    };
    call.await
        .map_err(|error: wasmtime::Error| error.root_cause().to_string())?
}
