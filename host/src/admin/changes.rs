//! Changes, which need the token: swaps, rollbacks, the ends of trials, reloads, refreshes. A client gets its answer
//! after the caching proxies have been told of its change.
//!
//! - `POST /reload` and `POST /refresh` are answered by functions of the same names.
//! - `POST /components/{id}/step` is answered by [`Admin::step`].
//! - `POST /components/{id}/swap`, `rollback`, `promote`, `abort` and `settle` are answered by [`Admin::change`].
//!
//! Except for a step, each change runs in a task of its own: hyper drops the future of a client that leaves, and no
//! change may stop halfway.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

use super::Admin;
use super::query::Query;
use super::reply::{self, Reply};
use super::upload::receive;
use crate::answers::Change;
use crate::control::{Control, ControlError, Initiator, audited_app};
use crate::http::body::discard;

impl Admin {
    pub(super) async fn reload(self: Arc<Self>, peer: Initiator) -> Reply {
        let (control, by) = (self.control.clone(), peer.clone());
        let outcome = self.run(async move { control.reload(&by).await }).await;
        let broken_off = |error| audited_app(&peer, "reload", "reloaded", Err(error));
        reply::outcome(outcome.unwrap_or_else(broken_off))
    }

    pub(super) async fn refresh(self: Arc<Self>, peer: Initiator) -> Reply {
        let (control, by) = (self.control.clone(), peer.clone());
        let outcome = self.run(async move { control.refresh(&by).await }).await;
        let broken_off = |error| audited_app(&peer, "refresh", "rebuilt", Err(error));
        reply::outcome(outcome.unwrap_or_else(broken_off))
    }

    pub(super) async fn change(
        self: Arc<Self>,
        id: String,
        action: String,
        request: Request<Incoming>,
        peer: Initiator,
    ) -> Reply {
        let outcome = self.run({
            let (control, id, action, peer) = (
                self.control.clone(),
                id.clone(),
                action.clone(),
                peer.clone(),
            );
            async move { change(&control, &id, &action, request, &peer).await }
        });
        let broken_off = |error| self.control.audited(&peer, &action, &id, None, Err(error));
        reply::outcome(outcome.await.unwrap_or_else(broken_off))
    }

    /// Carries out one step of a roll-out over several hosts for the command that leads it.
    pub(super) async fn step(
        self: Arc<Self>,
        id: String,
        request: Request<Incoming>,
        peer: Initiator,
    ) -> Reply {
        let query = Query::of(&request, "step");
        discard(request.into_body()).await;
        let wanted = query.and_then(|query| query.wanted_step());
        let wanted = wanted.inspect_err(|error| {
            self.control.log_refusal(&peer, "step", &id, None, error);
        });
        let outcome = wanted.and_then(|wanted| {
            let step = || {
                self.control
                    .step(&id, &wanted.rollout, wanted.phase, wanted.lease, &peer)
            };
            tokio::task::block_in_place(step)
        });
        reply::outcome(outcome)
    }

    /// Makes a change in a task of its own, and waits until the proxies were told of it.
    ///
    /// # Errors
    /// The change panicked or was aborted.
    async fn run<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ControlError> {
        let control = self.control.clone();
        let task = tokio::spawn(async move {
            let outcome = change.await;
            control.purger.settled().await;
            outcome
        });
        task.await.map_err(|_| ControlError::BrokenOff)
    }
}

async fn change(
    control: &Arc<Control>,
    id: &str,
    action: &str,
    request: Request<Incoming>,
    peer: &Initiator,
) -> Result<Change, ControlError> {
    let query = match Query::of(&request, action) {
        Ok(query) => query,
        Err(error) => {
            discard(request.into_body()).await;
            return control.audited(peer, action, id, None, Err(error));
        }
    };
    match action {
        "swap" => match receive(request, &query, control.component_limit_bytes()).await {
            Ok(upload) => control.swap(id, upload, peer).await,
            Err(error) => control.audited(peer, action, id, None, Err(error)),
        },
        "rollback" => control.rollback(id, query.generation, peer).await,
        "promote" => {
            let rollout = query.rollout.as_deref();
            tokio::task::block_in_place(|| control.promote(id, rollout, peer))
        }
        "settle" => match query.settled_rollout() {
            Ok(rollout) => tokio::task::block_in_place(|| control.settle(id, &rollout, peer)),
            Err(error) => control.audited(peer, action, id, None, Err(error)),
        },
        _ => {
            let rollout = query.rollout.as_deref();
            control.abort(id, rollout, query.cause(), peer).await
        }
    }
}
