//! Cases about the whole connection: preface, settings, frames (RFC 9113, sections 3.4, 4, 6.5 to 6.9).

use super::frames::{ACK, END_HEADERS, MOST_BYTES, PREFACE, frame, kind, settings, window_update};
use super::{Case, Expect, case, get, hpack, last_data, post_head, raw};

use Expect::{Either, Ended, Refused, Served};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = prefaces();
    cases.extend(settings_frames());
    cases.extend(sizes_and_types());
    cases.extend(control_frames());
    cases.extend(windows());
    cases
}

fn prefaces() -> Vec<Case> {
    vec![
        case("a plain GET", Served, [get(1)]),
        raw(
            "a preface that ends wrong (3.4)",
            Ended,
            [
                &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
                &settings(&[]),
                &get(1),
            ]
            .concat(),
        ),
        // The RFC calls this an error. The h2 crate continues with the default settings, which harms nobody.
        raw(
            "no SETTINGS after the preface (3.4)",
            Either,
            [PREFACE, &get(1)].concat(),
        ),
        raw(
            "a PING before the SETTINGS (3.4)",
            Either,
            [
                PREFACE,
                &frame(kind::PING, 0, 0, &[0; 8]),
                &settings(&[]),
                &get(1),
            ]
            .concat(),
        ),
    ]
}

fn settings_frames() -> Vec<Case> {
    let with = |name, expect, values: &[(u16, u32)]| case(name, expect, [settings(values), get(1)]);
    vec![
        with("an unknown setting (6.5.2)", Served, &[(0xfe, 1)]),
        with(
            "all settings at their defaults (6.5.2)",
            Served,
            &[(1, 4096), (2, 1), (4, 65_535), (5, 16_384)],
        ),
        with("ENABLE_PUSH 2 (6.5.2)", Ended, &[(2, 2)]),
        with("INITIAL_WINDOW_SIZE 2^31 (6.5.2)", Ended, &[(4, 1 << 31)]),
        with("MAX_FRAME_SIZE 16,383 (6.5.2)", Ended, &[(5, 16_383)]),
        with("MAX_FRAME_SIZE 2^24 (6.5.2)", Ended, &[(5, 1 << 24)]),
        case(
            "SETTINGS of five bytes (6.5)",
            Ended,
            [frame(kind::SETTINGS, 0, 0, &[0; 5])],
        ),
        case(
            "SETTINGS on a stream (6.5)",
            Ended,
            [frame(kind::SETTINGS, 0, 1, &[])],
        ),
        case(
            "an acknowledgement with a payload (6.5)",
            Ended,
            [frame(kind::SETTINGS, ACK, 0, &[0; 6])],
        ),
    ]
}

fn sizes_and_types() -> Vec<Case> {
    let unknown = |stream| frame(0xee, 0xff, stream, b"anything");
    let block = hpack::block(&hpack::request("GET", &[]));
    let (begin, rest) = block.split_at(10);
    vec![
        case(
            "a frame of an unknown type (4.1, 5.5)",
            Served,
            [unknown(0), get(1)],
        ),
        case(
            "a frame of an unknown type on a stream that is open (5.5)",
            Served,
            [post_head(), unknown(1), last_data(b"hello")],
        ),
        case(
            "flags that mean nothing (4.1)",
            Served,
            [frame(kind::PING, 0x16, 0, &[0; 8]), get(1)],
        ),
        case(
            "the reserved bit of a stream's number (4.1)",
            Served,
            [get(1 << 31 | 1)],
        ),
        case(
            "DATA larger than allowed (4.2)",
            Ended,
            [post_head(), last_data(&vec![b'x'; MOST_BYTES + 1])],
        ),
        case(
            "HEADERS larger than allowed (4.2)",
            Ended,
            [frame(
                kind::HEADERS,
                END_HEADERS,
                1,
                &vec![0; MOST_BYTES + 1],
            )],
        ),
        case(
            "DATA as large as allowed (4.2)",
            Served,
            [post_head(), last_data(&vec![b'x'; MOST_BYTES])],
        ),
        case(
            "another frame within a head (6.10)",
            Ended,
            [
                frame(kind::HEADERS, 0, 1, begin),
                frame(kind::PING, 0, 0, &[0; 8]),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
        case(
            "an unknown frame within a head (5.5)",
            Ended,
            [
                frame(kind::HEADERS, 0, 1, begin),
                unknown(1),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
    ]
}

fn control_frames() -> Vec<Case> {
    let alone = |name, expect, bytes: Vec<u8>| case(name, expect, [bytes]);
    let goaway = |stream| frame(kind::GOAWAY, 0, stream, &[0; 8]);
    vec![
        case(
            "a PING before a request (6.7)",
            Served,
            [frame(kind::PING, 0, 0, &[1; 8]), get(1)],
        ),
        case(
            "an answer to a PING that nobody sent (6.7)",
            Either,
            [frame(kind::PING, ACK, 0, &[1; 8]), get(1)],
        ),
        alone(
            "a PING of seven bytes (6.7)",
            Ended,
            frame(kind::PING, 0, 0, &[0; 7]),
        ),
        alone(
            "a PING on a stream (6.7)",
            Ended,
            frame(kind::PING, 0, 1, &[0; 8]),
        ),
        alone("GOAWAY on a stream (6.8)", Ended, goaway(1)),
        alone(
            "GOAWAY of four bytes (6.8)",
            Ended,
            frame(kind::GOAWAY, 0, 0, &[0; 4]),
        ),
        alone(
            "PUSH_PROMISE by a client (8.4)",
            Ended,
            frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        ),
        alone(
            "PRIORITY on the connection (6.3)",
            Ended,
            frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 3, 16]),
        ),
        case(
            "PRIORITY on a stream to come (6.3)",
            Served,
            [frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 16]), get(1)],
        ),
        case(
            "PRIORITY of four bytes (6.3)",
            Refused,
            [
                post_head(),
                frame(kind::PRIORITY, 0, 1, &[0; 4]),
                last_data(b"hello"),
            ],
        ),
    ]
}

fn windows() -> Vec<Case> {
    vec![
        case(
            "no room on the connection (6.9)",
            Ended,
            [window_update(0, 0)],
        ),
        case(
            "no room on a stream (6.9)",
            Refused,
            [post_head(), window_update(1, 0)],
        ),
        case(
            "too much room on the connection (6.9.1)",
            Ended,
            [window_update(0, 0x7fff_ffff), window_update(0, 0x7fff_ffff)],
        ),
        case(
            "too much room on a stream (6.9.1)",
            Refused,
            [
                post_head(),
                window_update(1, 0x7fff_ffff),
                window_update(1, 0x7fff_ffff),
            ],
        ),
        case(
            "WINDOW_UPDATE of three bytes (6.9)",
            Ended,
            [frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])],
        ),
        case(
            "room for an answer piece by piece (6.9)",
            Served,
            [
                settings(&[(4, 1)]),
                get(1),
                window_update(1, 1),
                window_update(1, 1 << 20),
            ],
        ),
    ]
}
