//! One try: the request's head to the upstream, and its answer to the client, part by part.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, BytesMut};
use http::{HeaderName, HeaderValue};
use pingora_timeout::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Downstream;
use super::body::{LAST_CHUNK, Progress, Rest};
use super::request_head::{put_line, put_request_id};
use crate::message::answer_head::{self, AnswerHead};
use crate::message::request_id::REQUEST_ID;
use crate::request::exchange::Exchange;
use crate::request::tries::{Fault, Try};
use crate::upstream::Connection;

/// Room for each read, at first: most answers fit. For what is long there is more.
const READ: usize = 4 * 1024;
const LONG_READ: usize = 64 * 1024;

/// An answer on its way.
pub(super) struct Relay {
    to_head: bool,
    /// Of the head that went to the client.
    status: Option<u16>,
    /// Of the head that goes next.
    written: Option<u16>,
    /// Names the trace, if answers are to.
    line: Option<(HeaderName, HeaderValue)>,
    /// Bytes of the body that the client was sent.
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

impl Relay {
    /// `to_head`: the request is a HEAD. `line` is to be in the answer's head.
    pub(super) fn new(to_head: bool, line: Option<(HeaderName, HeaderValue)>) -> Self {
        Self {
            to_head,
            status: None,
            written: None,
            line,
            bytes_sent: 0,
        }
    }

    /// The status that the client got.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Asks the upstream of the try, and passes its answer on.
    ///
    /// # Errors
    /// Why the client has no whole answer.
    pub(super) async fn exchange(
        &mut self,
        exchange: &mut Exchange,
        next: &Try,
        head: &[u8],
        client: &mut impl Downstream,
    ) -> Result<(), Failure> {
        let (Some(group), Some(permit)) = (exchange.group(), exchange.attempts.permit()) else {
            return Err(Failure::OutOfTime);
        };
        let (upstream, write_limit) = (permit.upstream.clone(), group.settings.write_timeout);
        let connected = upstream.connect(next.alone).await;
        let mut connection = connected.map_err(Failure::Unreachable)?;
        exchange.attempts.is_sent = true;
        let sent = timeout(write_limit, connection.stream.write_all(head)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(broke(Fault::Broke, &connection, error)),
            Err(_) => return Err(broke(Fault::Stuck, &connection, "it takes nothing")),
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

    /// Passes an answer on. Whether the connection that it came on may be used again.
    async fn answer(
        &mut self,
        exchange: &mut Exchange,
        connection: &mut Connection,
        limits: &Limits,
        client: &mut impl Downstream,
    ) -> Result<bool, Failure> {
        let (mut read, mut out) = (BytesMut::with_capacity(READ), BytesMut::new());
        self.written = None;
        let (mut rest, keeps) = loop {
            if read_more(connection, &mut read, limits, client).await? == 0 {
                return Err(broke(Fault::Broke, connection, "it closed the connection"));
            }
            if let Some(found) = self.heads(exchange, connection, &mut read, &mut out)? {
                break found;
            }
            self.send(&mut out, 0, limits, client).await?;
            exchange.time_left().map_err(|_| Failure::OutOfTime)?;
        };
        loop {
            let taken = match &mut rest {
                None => Ok(Progress::NOTHING),
                Some(rest) => rest.take(&mut read, &mut out),
            };
            let taken = taken.map_err(|why| broke(Fault::Broke, connection, why))?;
            self.send(&mut out, taken.bytes, limits, client).await?;
            if taken.is_all {
                // What follows an answer that was not asked for spoils the connection.
                return Ok(keeps && read.is_empty());
            }
            exchange.time_left().map_err(|_| Failure::OutOfTime)?;
            if let Some(Rest::Length(left)) = rest {
                // What was sent may lie in the memory that is read into next.
                out = BytesMut::new();
                read.reserve(usize::try_from(left).unwrap_or(LONG_READ).min(LONG_READ));
            } else {
                read.reserve(LONG_READ);
            }
            if read_more(connection, &mut read, limits, client).await? == 0 {
                let Some(Rest::UntilClose) = rest else {
                    return Err(broke(Fault::Broke, connection, "the answer is cut short"));
                };
                out.put_slice(LAST_CHUNK);
                self.send(&mut out, 0, limits, client).await?;
                return Ok(false);
            }
        }
    }

    /// Takes all heads that were read, and writes what the client gets of them. What the last of them says of the body,
    /// and whether the connection may be used after it; nothing if the answer's own head is still to come.
    fn heads(
        &mut self,
        exchange: &mut Exchange,
        connection: &Connection,
        read: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<(Option<Rest>, bool)>, Failure> {
        loop {
            let head = answer_head::read(read, self.to_head);
            let head = head.map_err(|error| broke(Fault::Broke, connection, error))?;
            let Some(head) = head else { return Ok(None) };
            let length = head.length;
            if head.status == 101 {
                let why = "it changes to a protocol that nobody asked for";
                return Err(broke(Fault::Broke, connection, why));
            }
            if head.is_informational() {
                head.write(out, |_| false);
                out.put_slice(b"\r\n");
                read.advance(length);
                continue;
            }
            exchange.answered(head.status);
            self.written = Some(head.status);
            write_head(&head, exchange, self.line.as_ref(), out);
            let found = (Rest::new(head.body), head.keeps_connection);
            read.advance(length);
            return Ok(Some(found));
        }
    }

    async fn send(
        &mut self,
        out: &mut BytesMut,
        body_bytes: usize,
        limits: &Limits,
        client: &mut impl Downstream,
    ) -> Result<(), Failure> {
        if out.is_empty() {
            return Ok(());
        }
        if !client.send(out, limits.send).await {
            return Err(Failure::ClientLeft);
        }
        self.status = self.written;
        self.bytes_sent += body_bytes as u64;
        out.clear();
        Ok(())
    }
}

fn write_head(
    head: &AnswerHead<'_>,
    exchange: &Exchange,
    line: Option<&(HeaderName, HeaderValue)>,
    out: &mut BytesMut,
) {
    out.reserve(READ);
    head.write(out, |name| {
        name.eq_ignore_ascii_case(REQUEST_ID.as_str().as_bytes())
    });
    if !head.has(b"date") {
        // RFC 9110, section 6.6.1.
        let date = httpdate::fmt_http_date(SystemTime::now());
        out.put_slice(b"Date: ");
        out.put_slice(date.as_bytes());
        out.put_slice(b"\r\n");
    }
    put_request_id(out, &exchange.origin);
    if let Some((name, value)) = line {
        put_line(out, name, value);
    }
    out.put_slice(b"Connection: keep-alive\r\n\r\n");
}

/// Reads what comes next, unless the client leaves meanwhile.
async fn read_more(
    connection: &mut Connection,
    read: &mut BytesMut,
    limits: &Limits,
    client: &mut impl Downstream,
) -> Result<usize, Failure> {
    read.reserve(READ);
    let more = tokio::select! {
        biased;
        more = timeout(limits.read, connection.stream.read_buf(read)) => more,
        () = client.left() => return Err(Failure::ClientLeft),
    };
    match more {
        Ok(Ok(length)) => Ok(length),
        Ok(Err(error)) => Err(broke(Fault::Broke, connection, error)),
        Err(_) => Err(broke(Fault::Silent, connection, "it says nothing")),
    }
}

fn broke(fault: Fault, connection: &Connection, why: impl ToString) -> Failure {
    Failure::Upstream {
        fault,
        reused: connection.reused,
        why: why.to_string(),
    }
}
