//! Requests of the console's page, to this proxy and, through it, to the other members of its fleet. `admin` lists
//! their paths.

use bytes::{Bytes, BytesMut};
use http::Method;
use pingora_core::protocols::http::ServerSession;
use store_server::console::{self, ConsoleRejection, ConsoleResource, Forward};
use store_server::listener::UPLOAD_LIMIT;
use store_server::recent::AUDIT;

use super::admin::{Admin, check_origin, peer};
use super::admin_error::{AdminError, Answer};

/// Largest component in bytes that is passed on to a host; the default limit of hosts.
const LARGEST_COMPONENT: usize = 64 << 20;

impl Admin {
    /// Answers a request for `place`, if its sender may make it.
    pub(super) async fn at_console(
        &self,
        place: ConsoleResource<'_>,
        session: &mut ServerSession,
    ) -> Result<Answer, AdminError> {
        let head = session.req_header();
        place.check(&head.method).map_err(|why| match why {
            ConsoleRejection::NoSuchPath => AdminError::NotPassedOn,
            ConsoleRejection::Method(allowed) => AdminError::Method(allowed),
        })?;
        match place {
            ConsoleResource::Member { name, path } => self.pass_on(name, path, session).await,
            ConsoleResource::Token => {
                let checked = self.check_may_change(&head.headers);
                checked.inspect_err(|why| {
                    let peer = peer(session);
                    tracing::warn!(target: AUDIT, peer, action = "token", result = "refused", "The token is refused: {why}");
                })?;
                Ok(answer(self.console.token_is_right()))
            }
            place => Ok(answer(self.console.read(
                place,
                head.uri.query(),
                &head.headers,
            ))),
        }
    }

    async fn pass_on(
        &self,
        name: &str,
        path: &str,
        session: &mut ServerSession,
    ) -> Result<Answer, AdminError> {
        let head = session.req_header().clone();
        let is_change = head.method == Method::POST;
        if is_change {
            check_origin(&head.headers)?;
        }
        if is_change && self.is_handing_over() {
            return Err(AdminError::HandingOver);
        }
        let peer = peer(session);
        let forward = Forward {
            name,
            path,
            query: head.uri.query(),
            method: &head.method,
            headers: &head.headers,
            peer: &peer,
        };
        let received = self.console.forward(forward, receive(session));
        received.await.map(answer)
    }
}

/// Receives the body.
///
/// # Errors
/// The body is too large, breaks off, or takes too long.
async fn receive(session: &mut ServerSession) -> Result<Bytes, AdminError> {
    let reading = tokio::time::timeout(UPLOAD_LIMIT, read(session));
    let late = |_| Err(AdminError::TooSlow(UPLOAD_LIMIT));
    reading.await.unwrap_or_else(late)
}

async fn read(session: &mut ServerSession) -> Result<Bytes, AdminError> {
    let mut body = BytesMut::new();
    let broke_off = |error: Box<pingora_error::Error>| AdminError::BrokeOff(error.to_string());
    while let Some(part) = session.read_request_body().await.map_err(broke_off)? {
        if body.len() + part.len() > LARGEST_COMPONENT {
            return Err(AdminError::TooLarge(LARGEST_COMPONENT));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn answer(reply: console::Reply) -> Answer {
    reply.map(Into::into)
}
