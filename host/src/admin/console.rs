//! What the console's page asks for, of this host and, through it, of the others of its fleet.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use store_server::console::{self, Forward, NotAnswered, Place};

use super::reply::{Rejection, Reply};
use super::upload::receive_bytes;
use super::{Admin, visitor};
use crate::control::{Peer, refused};
use crate::http::body::discard;

impl Admin {
    /// Checks that the sender of a request may make it.
    pub(super) fn let_in_console(
        &self,
        place: Place<'_>,
        request: &Request<Incoming>,
        peer: &Peer,
    ) -> Result<(), Rejection> {
        place.check(request.method()).map_err(|why| match why {
            NotAnswered::NoSuchPath => {
                let detail = "no such path of another member is passed on";
                Rejection::new(http::StatusCode::NOT_FOUND, detail)
            }
            NotAnswered::Method(allowed) => Rejection::method_not_allowed(allowed),
        })?;
        if request.method() != http::Method::POST {
            return Ok(());
        }
        visitor::check_origin(request.headers())?;
        match place {
            // The member judges the token, which may be another than ours.
            Place::Member { .. } => Ok(()),
            _ => self
                .authorized(request)
                .inspect_err(|reason| refused(peer, "token", None, reason))
                .map_err(|reason| Rejection::unauthorized(reason.to_string())),
        }
    }

    /// Answers a request that was let in.
    pub(super) async fn at_console(
        &self,
        place: Place<'_>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Reply {
        let query = request.uri().query();
        match place {
            Place::Member { name, path } => self.pass_on(name, path, request, peer).await,
            Place::Token => reply(self.console.token_is_right()),
            place => reply(self.console.read(place, query, request.headers())),
        }
    }

    async fn pass_on(
        &self,
        name: &str,
        path: &str,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Reply {
        let (head, body) = request.into_parts();
        let (bytes, _permit) = if path.ends_with("/swap") {
            let permit = match self.console.may_upload(name, &head.headers).await {
                Ok(permit) => permit,
                Err(why_not) => {
                    discard(body).await;
                    return reply(why_not);
                }
            };
            let most = self.control.component_limit_bytes();
            match receive_bytes(&head.headers, body, most).await {
                Ok(bytes) => (bytes, Some(permit)),
                Err(error) => return Rejection::from(error).reply(),
            }
        } else {
            (Bytes::new(), None)
        };
        let forward = Forward {
            name,
            path,
            query: head.uri.query(),
            method: &head.method,
            headers: &head.headers,
            body: bytes,
            peer: &peer.0,
        };
        reply(self.console.forward(forward).await)
    }
}

fn reply(answer: console::Reply) -> Reply {
    answer.map(Full::new)
}
