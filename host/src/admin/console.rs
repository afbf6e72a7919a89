//! Answers the requests of the console's page, about this host and, through this host, about the other members of its
//! fleet (`docs/CONSOLE.md`).
//!
//! - `GET /console`, `GET /console/…`: the files of the page.
//! - `GET /history?after=POSITION`: samples of the charted metrics.
//! - `GET /events`: the latest changes and warnings.
//! - `GET /fleet`: this host and the other members of its fleet.
//! - `GET /fleet/NAME/…`, `POST /fleet/NAME/…`: a request to the member NAME, which checks the token itself.
//! - `POST /token`: whether the admin token is right.

use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use store_server::console::{self, ConsoleRejection, ConsoleResource, Forward};

use super::reply::{Rejection, Reply};
use super::upload::receive_bytes;
use super::{Admin, visitor};
use crate::control::{ControlError, Initiator, refused};
use crate::http::body::discard;

impl Admin {
    /// Checks that the client may send this request.
    pub(super) fn let_in_console(
        &self,
        place: ConsoleResource<'_>,
        request: &Request<Incoming>,
        peer: &Initiator,
    ) -> Result<(), Rejection> {
        place.check(request.method()).map_err(|why| match why {
            ConsoleRejection::NoSuchPath => {
                let detail = "this path of another member can't be reached through the console";
                Rejection::new(http::StatusCode::NOT_FOUND, detail)
            }
            ConsoleRejection::Method(allowed) => Rejection::method_not_allowed(allowed),
        })?;
        if request.method() != http::Method::POST {
            return Ok(());
        }
        visitor::check_origin(request.headers())?;
        match place {
            // The member checks the token, because it may have another token than this host.
            ConsoleResource::Member { .. } => Ok(()),
            _ => self
                .authorized(request)
                .inspect_err(|reason| refused(peer, "token", None, reason))
                .map_err(|reason| Rejection::unauthorized(reason.to_string())),
        }
    }

    /// Answers a request that [`Admin::let_in_console`] has accepted.
    pub(super) async fn at_console(
        self: Arc<Self>,
        place: ConsoleResource<'_>,
        request: Request<Incoming>,
        peer: Initiator,
    ) -> Reply {
        let query = request.uri().query();
        match place {
            ConsoleResource::Member { name, path } => {
                let (name, path) = (name.to_owned(), path.to_owned());
                self.pass_on(name, path, request, peer).await
            }
            ConsoleResource::Token => reply(self.console.token_is_right()),
            place => reply(self.console.read(place, query, request.headers())),
        }
    }

    /// Forwards a request to a member, in a task of its own. Hyper drops the future of a client that leaves, but the
    /// audit log must record every request to a member.
    async fn pass_on(
        self: Arc<Self>,
        name: String,
        path: String,
        request: Request<Incoming>,
        peer: Initiator,
    ) -> Reply {
        let task = tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let forward = Forward {
                name: &name,
                path: &path,
                query: head.uri.query(),
                method: &head.method,
                headers: &head.headers,
                peer: &peer.0,
            };
            let most = self.control.component_limit_bytes();
            let receiving = receive_bytes(&head.headers, &mut body, most);
            let answer = self.console.forward(forward, receiving).await;
            // The rest of the body is read, because a client that is still sending a component would not read the
            // answer.
            discard(&mut body).await;
            answer.map_or_else(|error| Rejection::from(error).reply(), reply)
        });
        let broken_off = |_| Rejection::from(ControlError::BrokenOff).reply();
        task.await.unwrap_or_else(broken_off)
    }
}

fn reply(answer: console::Reply) -> Reply {
    answer.map(Full::new)
}
