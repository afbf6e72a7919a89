//! Calls the function that a component may export to refresh its values in Redis.

use std::time::Duration;

use store_server::trace::Trace;
use wasmtime::component::Accessor;

pub(crate) use super::bindings::refresher::exports::store::reports::refresh::Outcome;
use super::generation::Generation;
use super::instances::new_store;
use super::state::State;

/// The longest time for one refresh. Deleting old keys takes the longest, up to half an interval.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Whether the component may skip a refresh that is not due.
pub(crate) enum Urgency {
    WhenDue,
    Now,
}

/// Calls the refresh function of a component, until the time limit or the end of its generation.
///
/// # Errors
/// Says in one line why the component or the call failed.
pub(crate) async fn refresh(generation: &Generation, urgency: Urgency) -> Result<Outcome, String> {
    let context = &generation.context;
    let mut root = context.tracing.task("refresh");
    root.about(context.name.clone());
    let outcome = refresh_within(generation, urgency, root.inside().clone()).await;
    match &outcome {
        Ok(Outcome::Rebuilt) => root.set("store.refresh.outcome", "rebuilt"),
        Ok(Outcome::Unchanged) => root.set("store.refresh.outcome", "unchanged"),
        Ok(Outcome::Elsewhere(_)) => root.set("store.refresh.outcome", "elsewhere"),
        Err(_) => root.fail("refresh"),
    }
    outcome
}

async fn refresh_within(
    generation: &Generation,
    urgency: Urgency,
    trace: Trace,
) -> Result<Outcome, String> {
    tokio::select! {
        outcome = tokio::time::timeout(TIME_LIMIT, call(generation, urgency, trace)) => {
            outcome.unwrap_or_else(|_| Err(format!("not done within {TIME_LIMIT:?}")))
        }
        () = generation.life.cut.cancelled() => Err("its generation has ended".into()),
    }
}

/// Makes one call in an instance of its own, so that long work shares nothing with requests.
async fn call(generation: &Generation, urgency: Urgency, trace: Trace) -> Result<Outcome, String> {
    let compiled = &generation.version.compiled;
    let Some(refresher) = &compiled.refresher else {
        return Err("the component exports no refresh function".into());
    };
    let (context, life) = (&generation.context, &generation.life);
    let mut store = new_store(compiled.service.engine(), context, life);
    store.data_mut().trace = trace;
    let called = async {
        let instance = refresher.instantiate_async(&mut store).await?;
        store
            .run_concurrent(async |accessor: &Accessor<State>| {
                let refresher = instance.store_reports_refresh();
                match urgency {
                    Urgency::WhenDue => refresher.call_refresh(accessor).await,
                    Urgency::Now => refresher.call_refresh_now(accessor).await,
                }
            })
            .await?
    };
    called
        .await
        .map_err(|error: wasmtime::Error| error.root_cause().to_string())?
}
