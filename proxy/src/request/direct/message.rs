//! A plain request in the form that the upstream gets.

use bytes::{BufMut, BytesMut};
use store_server::trace::{TRACEPARENT, TRACESTATE, traceparent_text};

use crate::message::forwarded::Provenance;
use crate::message::head::{put_field, put_line};
use crate::message::plain::PlainRequest;
use crate::message::request_id::REQUEST_ID;
use crate::request::exchange::Exchange;
use crate::request::spans::RequestSpans;

/// Room in bytes for the added lines.
const ADDED: usize = 400;

/// The kept lines of the head, the added lines on the request's origin and trace, and the body.
pub(super) struct Message {
    bytes: BytesMut,
    /// Offset of the value of `traceparent`, which differs for each try.
    parent_at: Option<usize>,
}

impl Message {
    /// The message's head, with room for the body.
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

    /// Writes the span of the current try into `traceparent`.
    pub(super) fn name_try(&mut self, spans: &RequestSpans) {
        if let (Some(at), Some(ids)) = (self.parent_at, spans.attempt.ids()) {
            let parent = traceparent_text(ids);
            self.bytes[at..at + parent.len()].copy_from_slice(&parent);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer that the body is appended to.
    pub(super) fn body(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

/// Writes the lines on the trace. Until a try begins, they name the request's root span. Without traces, the client's
/// lines go on unchanged. Returns the offset of the value of `traceparent` that [`Message::name_try`] replaces.
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
    const NAME: &[u8] = b"traceparent: ";
    let at = head.len() + NAME.len();
    put_line(head, &[NAME, &traceparent_text(ids)]);
    if let Some(state) = root.state() {
        put_field(head, &TRACESTATE, state);
    }
    Some(at)
}
