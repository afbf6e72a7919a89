//! The head of a plain request as the upstream gets it.

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};
use store_server::trace::{TRACEPARENT, TRACESTATE, traceparent};

use crate::message::forwarded::Provenance;
use crate::message::plain::PlainRequest;
use crate::message::request_id::REQUEST_ID;
use crate::request::exchange::{Exchange, Origin};
use crate::request::traced::Traced;

/// Room for the lines that are added.
const ADDED: usize = 400;

/// The lines that stay, and what the next server is told of the request's origin and its trace.
pub(super) struct RequestHead {
    bytes: BytesMut,
    /// Where the value of `traceparent` begins, which is another with each try.
    parent_at: Option<usize>,
}

impl RequestHead {
    pub(super) fn new(request: &PlainRequest<'_>, exchange: &Exchange, is_trusted: bool) -> Self {
        let origin = &exchange.origin;
        let mut head = BytesMut::with_capacity(request.bytes() + ADDED);
        for line in request.lines_that_stay() {
            head.put_slice(line);
            head.put_slice(b"\r\n");
        }
        let host = Some(request.host);
        let told = Provenance::new(&request.origin, host, origin.peer, origin.https, is_trusted);
        told.write(&request.origin, request.host, &mut head);
        put_request_id(&mut head, origin);
        let parent_at = put_trace(&mut head, request, exchange);
        head.put_slice(b"\r\n");
        Self {
            bytes: head,
            parent_at,
        }
    }

    /// Says of which try it is.
    pub(super) fn name_try(&mut self, traced: &Traced) {
        if let (Some(at), Some(parent)) = (self.parent_at, traced.parent()) {
            let parent = parent.as_bytes();
            self.bytes[at..at + parent.len()].copy_from_slice(parent);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Says in which trace the request is, with the root's span until there is a try. Without traces, what the client said
/// goes on.
fn put_trace(
    head: &mut BytesMut,
    request: &PlainRequest<'_>,
    exchange: &Exchange,
) -> Option<usize> {
    let root = exchange.traced.root.inside();
    let Some(ids) = root.ids() else {
        for name in [TRACEPARENT, TRACESTATE] {
            for value in request.origin.get_all(&name) {
                put_line(head, &name, value);
            }
        }
        return None;
    };
    let at = head.len() + TRACEPARENT.as_str().len() + 2;
    put_line(head, &TRACEPARENT, &traceparent(ids));
    if let Some(state) = root.state() {
        put_line(head, &TRACESTATE, state);
    }
    Some(at)
}

/// The line that carries the id, in requests and answers.
pub(super) fn put_request_id(head: &mut BytesMut, origin: &Origin) {
    put_line(head, &REQUEST_ID, &origin.request_id);
}

pub(super) fn put_line(head: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    head.put_slice(name.as_str().as_bytes());
    head.put_slice(b": ");
    head.put_slice(value.as_bytes());
    head.put_slice(b"\r\n");
}
