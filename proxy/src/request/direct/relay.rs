//! One try: sends the request to the upstream, and passes the answer to the client, part by part.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_timeout::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::{Progress, RemainingBody};
use super::client::{Client, OwnFields};
use crate::cache::AnsweredRequest;
use crate::message::answer_head::{self, AnswerHead};
use crate::message::forwarded::RequestAuthority;
use crate::message::plain::PlainRequest;
use crate::request::exchange::Exchange;
use crate::request::tries::{Fault, Try};
use crate::upstream::Connection;

/// Room in bytes for the first read; most answers fit.
const READ: usize = 16 * 1024;

/// The state of an answer that is passed on.
pub(super) struct Relay<'a> {
    request: &'a PlainRequest<'a>,
    /// Status of the head that was sent to the client.
    status: Option<u16>,
    /// Status of the head that was put and not yet sent.
    written: Option<u16>,
    /// The field that names the trace, if answers name it.
    pub(super) trace: Option<(HeaderName, HeaderValue)>,
    /// Bytes of the answer's body that were sent to the client.
    pub(super) bytes_sent: u64,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection: {0}")]
    Unreachable(io::Error),
    #[error("{why}")]
    Upstream {
        fault: Fault,
        reused: bool,
        why: String,
    },
    #[error("the time for the request is over")]
    OutOfTime,
    #[error("the client left")]
    ClientLeft,
}

/// Limits of one try.
struct Limits {
    read: Duration,
    send: Duration,
}

impl<'a> Relay<'a> {
    pub(super) fn new(request: &'a PlainRequest<'a>) -> Self {
        Self {
            request,
            status: None,
            written: None,
            trace: None,
            bytes_sent: 0,
        }
    }

    /// The status that the client got, if it got one.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Sends the request to the upstream of the try, and passes its answer on.
    ///
    /// # Errors
    /// Why the client has no whole answer.
    pub(super) async fn exchange(
        &mut self,
        exchange: &mut Exchange,
        next: &Try,
        message: &[u8],
        client: &mut impl Client,
    ) -> Result<(), Failure> {
        let (Some(group), Some(permit)) = (exchange.group(), exchange.attempts.permit()) else {
            return Err(Failure::OutOfTime);
        };
        let (upstream, write_limit) = (permit.upstream.clone(), group.settings.write_timeout);
        let connected = upstream.connect(next.alone).await;
        let mut connection = connected.map_err(Failure::Unreachable)?;
        exchange.attempts.is_sent = true;
        let sent = timeout(write_limit, connection.stream.write_all(message)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(broke(Fault::Broke, &connection, error)),
            Err(_) => {
                return Err(broke(
                    Fault::Stuck,
                    &connection,
                    "it did not take the request in time",
                ));
            }
        }
        let limits = Limits {
            read: next.read_timeout,
            send: exchange.table.config.limits.send_timeout,
        };
        let may_be_kept = self
            .answer(exchange, &mut connection, &limits, client)
            .await?;
        if may_be_kept && !next.alone {
            upstream.keep(connection);
        }
        Ok(())
    }

    /// Passes an answer on. Returns whether its connection may carry another request.
    async fn answer(
        &mut self,
        exchange: &mut Exchange,
        connection: &mut Connection,
        limits: &Limits,
        client: &mut impl Client,
    ) -> Result<bool, Failure> {
        let mut read = BytesMut::with_capacity(READ);
        self.written = None;
        client.forget();
        let (mut rest, keeps) = loop {
            let limit = limits.read.min(time_left(exchange)?);
            if read_more(connection, &mut read, READ, limit, client).await? == 0 {
                return Err(broke(Fault::Broke, connection, "it closed the connection"));
            }
            if let Some(found) = self.heads(exchange, connection, &mut read, client)? {
                break found;
            }
            self.send(0, limits, client).await?;
        };
        let (mut bytes, mut has_begun) = (0, false);
        loop {
            let taken = rest.take(&mut read);
            let Progress { part, is_last } =
                taken.map_err(|why| broke(Fault::Broke, connection, why))?;
            bytes += part.len();
            client.put_body(part, is_last);
            let room = rest.room();
            // The body may follow close behind a head that came alone: then both go out in one piece.
            if !is_last && !std::mem::replace(&mut has_begun, true) {
                read.reserve(room);
                if matches!(connection.stream.try_read_buf(&mut read), Ok(1..)) {
                    continue;
                }
            }
            self.send(std::mem::take(&mut bytes), limits, client)
                .await?;
            if is_last {
                // Bytes after the end of the answer belong to no request: such a connection is not used again.
                return Ok(keeps && read.is_empty());
            }
            let limit = limits.read.min(time_left(exchange)?);
            if read_more(connection, &mut read, room, limit, client).await? == 0 {
                let RemainingBody::UntilClose = rest else {
                    return Err(broke(Fault::Broke, connection, "the answer is cut short"));
                };
                client.put_body(BytesMut::new(), true);
                self.send(0, limits, client).await?;
                return Ok(false);
            }
        }
    }

    /// Takes all heads that were read out of `read`, and puts them for the client. Returns the body that follows the
    /// answer's own head, and whether the connection may be used after it; `None` if only informational heads have
    /// come.
    fn heads(
        &mut self,
        exchange: &mut Exchange,
        connection: &Connection,
        read: &mut BytesMut,
        client: &mut impl Client,
    ) -> Result<Option<(RemainingBody, bool)>, Failure> {
        loop {
            let head = answer_head::read(read, self.request.is_head());
            let head = head.map_err(|error| broke(Fault::Broke, connection, error))?;
            let Some(head) = head else { return Ok(None) };
            let length = head.length;
            if head.status == 101 {
                let why = "it switches protocols without being asked";
                return Err(broke(Fault::Broke, connection, why));
            }
            let is_last = !head.is_informational();
            if is_last {
                exchange.answered(head.status);
                self.tell_cache(exchange, &head);
                self.written = Some(head.status);
            }
            let own = OwnFields {
                id: &exchange.origin.request_id,
                trace: self.trace.as_ref(),
            };
            let put = client.put_head(&head, &own);
            put.map_err(|why| broke(Fault::Broke, connection, why))?;
            let found = (RemainingBody::new(head.body), head.keeps_connection);
            read.advance(length);
            if is_last {
                return Ok(Some(found));
            }
        }
    }

    /// Lets the cache forget what the request has changed, before the client learns of the change.
    fn tell_cache(&self, exchange: &Exchange, head: &AnswerHead<'_>) {
        let cache = exchange.group().and_then(|group| group.cache);
        let (Some(cache), Ok(status)) = (cache, StatusCode::from_u16(head.status)) else {
            return;
        };
        let (origin, said) = (&exchange.origin, &self.request.origin);
        let host = self.request.host.as_bytes();
        let asked = RequestAuthority::new(said, host, origin.https, exchange.trusts_peer());
        let answered = AnsweredRequest {
            method: self.request.method,
            target: Some(self.request.target),
            host: asked.host,
            status,
        };
        cache.answered(&answered, |name| head.field(name.as_str().as_bytes()));
    }

    /// Sends what was put, which includes `body_bytes` bytes of the body.
    async fn send(
        &mut self,
        body_bytes: usize,
        limits: &Limits,
        client: &mut impl Client,
    ) -> Result<(), Failure> {
        if !client.flush(limits.send).await {
            return Err(Failure::ClientLeft);
        }
        self.status = self.written;
        self.bytes_sent += body_bytes as u64;
        Ok(())
    }
}

/// The time that the request has left.
fn time_left(exchange: &Exchange) -> Result<Duration, Failure> {
    exchange.time_left().map_err(|_| Failure::OutOfTime)
}

/// Reads the next bytes, up to `room` of them, unless the client leaves meanwhile.
async fn read_more(
    connection: &mut Connection,
    read: &mut BytesMut,
    room: usize,
    limit: Duration,
    client: &mut impl Client,
) -> Result<usize, Failure> {
    read.reserve(room);
    let more = tokio::select! {
        biased;
        more = timeout(limit, connection.stream.read_buf(read)) => more,
        () = client.left() => return Err(Failure::ClientLeft),
    };
    match more {
        Ok(Ok(length)) => Ok(length),
        Ok(Err(error)) => Err(broke(Fault::Broke, connection, error)),
        Err(_) => Err(broke(
            Fault::Silent,
            connection,
            "it did not answer in time",
        )),
    }
}

fn broke(fault: Fault, connection: &Connection, why: impl ToString) -> Failure {
    Failure::Upstream {
        fault,
        reused: connection.reused,
        why: why.to_string(),
    }
}
