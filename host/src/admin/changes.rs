//! What needs the token: swaps, rollbacks, the end of canaries, reloads, refreshes. Each is answered when the proxies that
//! keep answers know of it.
//!
//! Each is a task of its own: hyper drops the future of a client that leaves, and no change stops halfway.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

use super::Admin;
use super::reply::{self, Rejection, Reply};
use super::upload::{Query, receive};
use crate::answers::Change;
use crate::control::{ControlError, Peer};
use crate::http::body::discard;

impl Admin {
    pub(super) async fn reload(self: Arc<Self>, peer: Peer) -> Reply {
        let control = self.control.clone();
        let by = peer.clone();
        let reloading = tokio::spawn(async move {
            let reloaded = control.reload(&by).await;
            control.purger.settled().await;
            reloaded
        });
        let outcome = reloading.await.unwrap_or_else(|_| {
            self.control
                .audited_reload(&peer, Err(ControlError::BrokenOff))
        });
        match outcome {
            Ok(reloaded) => reply::json(&reloaded),
            Err(error) => Rejection::from(error).reply(),
        }
    }

    pub(super) async fn refresh(self: Arc<Self>, peer: Peer) -> Reply {
        let control = self.control.clone();
        let refreshing = tokio::spawn(async move {
            let refreshed = control.refresh(&peer).await;
            control.purger.settled().await;
            refreshed
        });
        match refreshing.await.unwrap_or(Err(ControlError::BrokenOff)) {
            Ok(refreshed) => reply::json(&refreshed),
            Err(error) => Rejection::from(error).reply(),
        }
    }

    pub(super) async fn change(
        self: Arc<Self>,
        id: String,
        action: String,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        let changing = tokio::spawn({
            let (admin, id, action, peer) =
                (self.clone(), id.clone(), action.clone(), peer.clone());
            async move { admin.changed(&id, &action, request, &peer).await }
        });
        let outcome = changing.await.unwrap_or_else(|_| {
            let broken_off = Err(ControlError::BrokenOff);
            self.control.audited(&peer, &action, &id, None, broken_off)
        });
        match outcome {
            Ok(changed) => reply::json(&changed),
            Err(error) => Rejection::from(error).reply(),
        }
    }

    async fn changed(
        &self,
        id: &str,
        action: &str,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Result<Change, ControlError> {
        let control = &self.control;
        let query = match Query::of(&request, action) {
            Ok(query) => query,
            Err(error) => {
                discard(request.into_body()).await;
                return control.audited(peer, action, id, None, Err(error));
            }
        };
        let outcome = match action {
            "swap" => match receive(request, &query, control.component_limit_bytes()).await {
                Ok(upload) => control.swap(id, upload, peer).await,
                Err(error) => control.audited(peer, action, id, None, Err(error)),
            },
            "rollback" => control.rollback(id, query.generation, peer).await,
            "promote" => tokio::task::block_in_place(|| control.promote(id, peer)),
            _ => tokio::task::block_in_place(|| control.abort(id, peer)),
        };
        control.purger.settled().await;
        outcome
    }
}
