//! A plain request as the upstream gets it.

use bytes::{BufMut, BytesMut};
use store_server::trace::{TRACEPARENT, TRACESTATE, traceparent};

use crate::message::forwarded::Provenance;
use crate::message::head::put_field;
use crate::message::plain::PlainRequest;
use crate::message::request_id::REQUEST_ID;
use crate::request::exchange::Exchange;
use crate::request::spans::RequestSpans;

/// Room for the lines that are added.
const ADDED: usize = 400;

/// The lines that stay, what the next server is told of the request's origin and its trace, and the body.
pub(super) struct Message {
    bytes: BytesMut,
    /// Where the value of `traceparent` begins, which is another with each try.
    parent_at: Option<usize>,
}

impl Message {
    /// The head, with room for the body.
    pub(super) fn new(request: &PlainRequest<'_>, exchange: &Exchange, is_trusted: bool) -> Self {
        let origin = &exchange.origin;
        let mut head = BytesMut::with_capacity(request.bytes() + ADDED + request.body_bytes);
        for line in request.lines_that_stay() {
            head.put_slice(line);
            head.put_slice(b"\r\n");
        }
        let host = Some(request.host);
        let told = Provenance::new(&request.origin, host, origin.peer, origin.https, is_trusted);
        told.write(&request.origin, request.host, &mut head);
        put_field(&mut head, &REQUEST_ID, &origin.request_id);
        let parent_at = put_trace(&mut head, request, exchange);
        head.put_slice(b"\r\n");
        Self {
            bytes: head,
            parent_at,
        }
    }

    /// Says of which try it is.
    pub(super) fn name_try(&mut self, spans: &RequestSpans) {
        if let (Some(at), Some(parent)) = (self.parent_at, spans.parent()) {
            let parent = parent.as_bytes();
            self.bytes[at..at + parent.len()].copy_from_slice(parent);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the body is added.
    pub(super) fn body(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

/// Says in which trace the request is, with the root's span until there is a try. Without traces, what the client said
/// goes on.
fn put_trace(
    head: &mut BytesMut,
    request: &PlainRequest<'_>,
    exchange: &Exchange,
) -> Option<usize> {
    let root = exchange.spans.root.inside();
    let Some(ids) = root.ids() else {
        for name in [TRACEPARENT, TRACESTATE] {
            for value in request.origin.get_all(&name) {
                put_field(head, &name, value);
            }
        }
        return None;
    };
    let at = head.len() + TRACEPARENT.as_str().len() + 2;
    put_field(head, &TRACEPARENT, &traceparent(ids));
    if let Some(state) = root.state() {
        put_field(head, &TRACESTATE, state);
    }
    Some(at)
}
