//! Cases about streams: their numbers, states and frames (RFC 9113, sections 5.1, 6.1 to 6.4, 6.10).

use super::frames::{END_HEADERS, END_STREAM, PADDED, PRIORITY, frame, kind, reset, window_update};
use super::{Case, either, ended, get, hpack, last_data, more_data, post_head, refused, served};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = idle();
    cases.extend(closed());
    cases.extend(data());
    cases.extend(heads());
    cases.extend(floods());
    cases
}

fn idle() -> Vec<Case> {
    let alone = |name, bytes: Vec<u8>| ended(name, [bytes]);
    vec![
        alone("DATA on a stream that never began (5.1)", last_data(b"x")),
        alone("RST_STREAM on a stream that never began (5.1)", reset(1)),
        alone(
            "WINDOW_UPDATE on a stream that never began (5.1)",
            window_update(1, 1),
        ),
        alone(
            "CONTINUATION on a stream that never began (6.10)",
            frame(kind::CONTINUATION, END_HEADERS, 1, &[]),
        ),
        alone("a stream with an even number (5.1.1)", get(2)),
        alone("HEADERS on the connection (6.2)", get(0)),
        alone(
            "DATA on the connection (6.1)",
            frame(kind::DATA, 0, 0, b"x"),
        ),
        alone("RST_STREAM on the connection (6.4)", reset(0)),
        ended("a number below an earlier one (5.1.1)", [get(5), get(3)]),
        served("numbers with gaps (5.1.1)", [get(1), get(7)]).on_stream(7),
    ]
}

fn closed() -> Vec<Case> {
    let trailers = |flags| {
        let block = hpack::block(&hpack::fields(&[("x-sum", "1")]));
        frame(kind::HEADERS, END_HEADERS | flags, 1, &block)
    };
    vec![
        either("DATA after the end (5.1)", [get(1), last_data(b"x")]),
        either("HEADERS after the end (5.1)", [get(1), get(1)]),
        ended(
            "CONTINUATION after the end (6.10)",
            [get(1), frame(kind::CONTINUATION, END_HEADERS, 1, &[])],
        ),
        refused(
            "DATA after a reset (5.1)",
            [post_head(), reset(1), last_data(b"x")],
        ),
        refused(
            "HEADERS after a reset (5.1)",
            [post_head(), reset(1), get(1)],
        ),
        served(
            "a request beside one that was reset (5.4.2)",
            [post_head(), reset(1), get(3)],
        )
        .on_stream(3),
        served(
            "trailers (8.1)",
            [post_head(), more_data(b"hello"), trailers(END_STREAM)],
        ),
        refused(
            "trailers that don't end the stream (8.1)",
            [post_head(), more_data(b"hello"), trailers(0)],
        ),
        ended(
            "RST_STREAM of three bytes (6.4)",
            [post_head(), frame(kind::RST_STREAM, 0, 1, &[0; 3])],
        ),
    ]
}

fn data() -> Vec<Case> {
    vec![
        served(
            "a body in one piece (6.1)",
            [post_head(), last_data(b"hello")],
        ),
        served(
            "an empty last piece (6.1)",
            [post_head(), more_data(b"hello"), last_data(b"")],
        ),
        served(
            "empty pieces between others (6.1)",
            [
                post_head(),
                more_data(b""),
                more_data(b"hel"),
                more_data(b""),
                last_data(b"lo"),
            ],
        ),
        served("an empty body (6.1)", [post_head(), last_data(b"")]),
        served(
            "padding (6.1)",
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x03hello\0\0\0"),
            ],
        ),
        served(
            "padding alone (6.1)",
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0"),
            ],
        ),
        ended(
            "more padding than payload (6.1)",
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x09hello"),
            ],
        ),
        ended(
            "padding without its length (6.1)",
            [post_head(), frame(kind::DATA, PADDED | END_STREAM, 1, b"")],
        ),
    ]
}

fn heads() -> Vec<Case> {
    let block = hpack::block(&hpack::request("GET", &[]));
    let whole = END_HEADERS | END_STREAM;
    let head = |flags, before: &[u8], after: &[u8]| {
        let payload = [before, &block, after].concat();
        frame(kind::HEADERS, whole | flags, 1, &payload)
    };
    let (begin, rest) = block.split_at(block.len() / 2);
    vec![
        served(
            "a head in two frames (6.10)",
            [
                frame(kind::HEADERS, END_STREAM, 1, begin),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
        ended(
            "the rest of a head on another stream (6.10)",
            [
                frame(kind::HEADERS, END_STREAM, 1, begin),
                frame(kind::CONTINUATION, END_HEADERS, 3, rest),
            ],
        ),
        served("padding of a head (6.2)", [head(PADDED, &[2], &[0, 0])]),
        ended(
            "more padding of a head than payload (6.2)",
            [frame(kind::HEADERS, whole | PADDED, 1, b"\x09abc")],
        ),
        served(
            "a priority in a head (6.2)",
            [head(PRIORITY, &[0, 0, 0, 3, 16], &[])],
        ),
        either(
            "a head that depends on itself (5.3.2)",
            [head(PRIORITY, &[0, 0, 0, 1, 16], &[])],
        ),
        either(
            "a priority that depends on itself (5.3.2)",
            [frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 16]), get(1)],
        ),
        ended(
            "a priority that is cut off (6.2)",
            [frame(kind::HEADERS, whole | PRIORITY, 1, &[0, 0])],
        ),
    ]
}

/// Floods: cheap for the client, expensive for a server that doesn't count frames. The server may also continue to
/// serve.
fn floods() -> Vec<Case> {
    let continuations = std::iter::repeat_n(frame(kind::CONTINUATION, 0, 1, &[]), 20_000);
    let block = hpack::block(&hpack::request("GET", &[]));
    let resets = (0..2_000).flat_map(|n| [get(2 * n + 1), reset(2 * n + 1)]);
    let pings = std::iter::repeat_n(frame(kind::PING, 0, 0, &[0; 8]), 5_000);
    let settings = std::iter::repeat_n(super::settings(&[]), 5_000);
    let empty = std::iter::repeat_n(more_data(b""), 20_000);
    let begun = frame(kind::HEADERS, END_STREAM, 1, &block);
    vec![
        ended(
            "a head without end (10.5.1)",
            [begun].into_iter().chain(continuations),
        ),
        either(
            "streams that are reset as they begin (10.5)",
            resets.chain([get(4_001)]),
        )
        .on_stream(4_001),
        either("PING after PING (10.5)", pings.chain([get(1)])),
        either("SETTINGS after SETTINGS (10.5)", settings.chain([get(1)])),
        either(
            "empty DATA after empty DATA (10.5)",
            [post_head()]
                .into_iter()
                .chain(empty)
                .chain([last_data(b"hello")]),
        ),
    ]
}
