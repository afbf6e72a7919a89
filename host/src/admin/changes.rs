//! What needs the token: swaps, rollbacks, the end of canaries, reloads.

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;

use super::Admin;
use super::reply::{self, Problem, Reply};
use super::upload::{Query, receive};
use crate::body::discard;
use crate::control::{Changed, ControlError, Peer};

impl Admin {
    pub(super) async fn reload(self: Arc<Self>, peer: Peer) -> Reply {
        // A task of its own, so that a client that leaves does not stop it halfway.
        let reloading = tokio::spawn(async move { self.control.reload(&peer).await });
        match reloading.await {
            Ok(Ok(reloaded)) => reply::json(&reloaded),
            Ok(Err(error)) => Problem::from(error).reply(),
            Err(_) => broken().reply(),
        }
    }

    pub(super) async fn change(
        self: Arc<Self>,
        id: &str,
        action: &str,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        let outcome = match Query::of(&request) {
            Err(error) => {
                discard(request.into_body()).await;
                Err(error)
            }
            Ok(query) => match action {
                "swap" => return self.swap(id.to_owned(), query, request, peer).await,
                "rollback" => tokio::task::block_in_place(|| {
                    self.control.rollback(id, query.generation, &peer)
                }),
                "promote" => tokio::task::block_in_place(|| self.control.promote(id, &peer)),
                _ => tokio::task::block_in_place(|| self.control.abort(id, &peer)),
            },
        };
        said(outcome)
    }

    async fn swap(
        self: Arc<Self>,
        id: String,
        query: Query,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        // A task of its own: hyper drops this future when the client leaves.
        let swapping = tokio::spawn(async move {
            let control = &self.control;
            match receive(request, &query, control.component_limit_bytes()).await {
                Ok(upload) => control.swap(&id, upload, &peer).await,
                Err(error) => control.audited(&peer, "swap", &id, None, Err(error)),
            }
        });
        match swapping.await {
            Ok(outcome) => said(outcome),
            Err(_) => broken().reply(),
        }
    }
}

fn said(outcome: Result<Changed, ControlError>) -> Reply {
    match outcome {
        Ok(changed) => reply::json(&changed),
        Err(error) => Problem::from(error).reply(),
    }
}

/// The task panicked, or the host is about to end.
fn broken() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the change was broken off; /status shows what serves",
    )
}
