//! The head of a plain request as the upstream gets it.

use bytes::{BufMut, BytesMut};

use crate::message::forwarded::Provenance;
use crate::message::plain::PlainRequest;
use crate::message::request_id::REQUEST_ID;
use crate::request::exchange::Origin;

/// Room for the lines that are added.
const ADDED: usize = 320;

/// The lines that stay, and what the next server is told of the request's origin.
pub(super) fn write(request: &PlainRequest<'_>, origin: &Origin, is_trusted: bool) -> BytesMut {
    let mut head = BytesMut::with_capacity(request.bytes() + ADDED);
    for line in request.lines_that_stay() {
        head.put_slice(line);
        head.put_slice(b"\r\n");
    }
    let host = Some(request.host);
    let told = Provenance::new(&request.origin, host, origin.peer, origin.https, is_trusted);
    told.write(&request.origin, request.host, &mut head);
    put_request_id(&mut head, origin);
    head.put_slice(b"\r\n");
    head
}

/// The line that carries the id, in requests and answers.
pub(super) fn put_request_id(head: &mut BytesMut, origin: &Origin) {
    head.put_slice(REQUEST_ID.as_str().as_bytes());
    head.put_slice(b": ");
    head.put_slice(origin.request_id.as_bytes());
    head.put_slice(b"\r\n");
}
