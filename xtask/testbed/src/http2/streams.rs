//! Cases about streams: their numbers, states and frames (RFC 9113, sections 5.1, 6.1 to 6.4, 6.10).

use super::frames::{END_HEADERS, END_STREAM, PADDED, PRIORITY, frame, kind, reset, window_update};
use super::{Case, Expect, case, get, hpack, last_data, on_stream, post_head};

use Expect::{Either, Ended, Refused, Served};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = idle();
    cases.extend(closed());
    cases.extend(data());
    cases.extend(heads());
    cases.extend(floods());
    cases
}

fn idle() -> Vec<Case> {
    let alone = |name, bytes: Vec<u8>| case(name, Ended, [bytes]);
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
        case(
            "a number below an earlier one (5.1.1)",
            Ended,
            [get(5), get(3)],
        ),
        on_stream(
            7,
            case("numbers with gaps (5.1.1)", Served, [get(1), get(7)]),
        ),
    ]
}

fn closed() -> Vec<Case> {
    let trailers = |flags| {
        let block = hpack::block(&hpack::fields(&[("x-sum", "1")]));
        frame(kind::HEADERS, END_HEADERS | flags, 1, &block)
    };
    vec![
        case("DATA after the end (5.1)", Ended, [get(1), last_data(b"x")]).or_refused(),
        case("HEADERS after the end (5.1)", Ended, [get(1), get(1)]).or_refused(),
        case(
            "CONTINUATION after the end (6.10)",
            Ended,
            [get(1), frame(kind::CONTINUATION, END_HEADERS, 1, &[])],
        ),
        case(
            "DATA after a reset (5.1)",
            Refused,
            [post_head(), reset(1), last_data(b"x")],
        ),
        case(
            "HEADERS after a reset (5.1)",
            Refused,
            [post_head(), reset(1), get(1)],
        ),
        on_stream(
            3,
            case(
                "a request beside one that was reset (5.4.2)",
                Served,
                [post_head(), reset(1), get(3)],
            ),
        ),
        case(
            "trailers (8.1)",
            Served,
            [
                post_head(),
                frame(kind::DATA, 0, 1, b"hello"),
                trailers(END_STREAM),
            ],
        ),
        case(
            "trailers that don't end the stream (8.1)",
            Refused,
            [post_head(), frame(kind::DATA, 0, 1, b"hello"), trailers(0)],
        ),
        case(
            "RST_STREAM of three bytes (6.4)",
            Ended,
            [post_head(), frame(kind::RST_STREAM, 0, 1, &[0; 3])],
        ),
    ]
}

fn data() -> Vec<Case> {
    vec![
        case(
            "a body in one piece (6.1)",
            Served,
            [post_head(), last_data(b"hello")],
        ),
        case(
            "an empty last piece (6.1)",
            Served,
            [
                post_head(),
                frame(kind::DATA, 0, 1, b"hello"),
                last_data(b""),
            ],
        ),
        case(
            "empty pieces between others (6.1)",
            Served,
            [
                post_head(),
                frame(kind::DATA, 0, 1, b""),
                frame(kind::DATA, 0, 1, b"hel"),
                frame(kind::DATA, 0, 1, b""),
                last_data(b"lo"),
            ],
        ),
        case("an empty body (6.1)", Served, [post_head(), last_data(b"")]),
        case(
            "padding (6.1)",
            Served,
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x03hello\0\0\0"),
            ],
        ),
        case(
            "padding alone (6.1)",
            Served,
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0"),
            ],
        ),
        case(
            "more padding than payload (6.1)",
            Ended,
            [
                post_head(),
                frame(kind::DATA, PADDED | END_STREAM, 1, b"\x09hello"),
            ],
        ),
        case(
            "padding without its length (6.1)",
            Ended,
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
        case(
            "a head in two frames (6.10)",
            Served,
            [
                frame(kind::HEADERS, END_STREAM, 1, begin),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
        case(
            "the rest of a head on another stream (6.10)",
            Ended,
            [
                frame(kind::HEADERS, END_STREAM, 1, begin),
                frame(kind::CONTINUATION, END_HEADERS, 3, rest),
            ],
        ),
        case(
            "padding of a head (6.2)",
            Served,
            [head(PADDED, &[2], &[0, 0])],
        ),
        case(
            "more padding of a head than payload (6.2)",
            Ended,
            [frame(kind::HEADERS, whole | PADDED, 1, b"\x09abc")],
        ),
        case(
            "a priority in a head (6.2)",
            Served,
            [head(PRIORITY, &[0, 0, 0, 3, 16], &[])],
        ),
        case(
            "a head that depends on itself (5.3.2)",
            Either,
            [head(PRIORITY, &[0, 0, 0, 1, 16], &[])],
        ),
        case(
            "a priority that depends on itself (5.3.2)",
            Either,
            [frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 16]), get(1)],
        ),
        case(
            "a priority that is cut off (6.2)",
            Ended,
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
    let empty = std::iter::repeat_n(frame(kind::DATA, 0, 1, b""), 20_000);
    let begun = frame(kind::HEADERS, END_STREAM, 1, &block);
    vec![
        case(
            "a head without end (10.5.1)",
            Ended,
            [begun].into_iter().chain(continuations),
        ),
        on_stream(
            4_001,
            case(
                "streams that are reset as they begin (10.5)",
                Either,
                resets.chain([get(4_001)]),
            ),
        ),
        case("PING after PING (10.5)", Either, pings.chain([get(1)])),
        case(
            "SETTINGS after SETTINGS (10.5)",
            Either,
            settings.chain([get(1)]),
        ),
        case(
            "empty DATA after empty DATA (10.5)",
            Either,
            [post_head()]
                .into_iter()
                .chain(empty)
                .chain([last_data(b"hello")]),
        ),
    ]
}

impl Case {
    /// Allows the server to reset only the stream.
    fn or_refused(mut self) -> Self {
        if self.expect == Ended {
            self.expect = Expect::Either;
        }
        self
    }
}
