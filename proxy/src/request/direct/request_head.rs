//! A plain request as the upstream gets it.

use bytes::{BufMut, BytesMut};

use crate::message::forwarded::Told;
use crate::message::plain::PlainRequest;
use crate::message::request_id::put_request_id;
use crate::request::exchange::Origin;

/// Room for the lines that are added.
const ADDED: usize = 320;

/// The lines that stay, and what the next server is told of the request's origin. There is room for the body.
pub(super) fn write(request: &PlainRequest<'_>, origin: &Origin, is_trusted: bool) -> BytesMut {
    let mut head = BytesMut::with_capacity(request.bytes() + ADDED + request.body_bytes);
    for line in request.lines_that_stay() {
        head.put_slice(line);
        head.put_slice(b"\r\n");
    }
    let host = Some(request.host);
    let told = Told::new(&request.origin, host, origin.peer, origin.https, is_trusted);
    told.write(&request.origin, request.host, &mut head);
    put_request_id(&mut head, &origin.request_id);
    head.put_slice(b"\r\n");
    head
}
