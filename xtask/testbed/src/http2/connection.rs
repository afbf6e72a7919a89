//! Cases about the whole connection: preface, settings, frames (RFC 9113, sections 3.4, 4, 6.5 to 6.9).

use super::frames::{ACK, END_HEADERS, MOST_BYTES, PREFACE, frame, kind, settings, window_update};
use super::{
    Case, Expect, case, either, ended, get, hpack, last_data, post_head, raw, refused, served,
};

use Expect::{Either, Ended, Served};

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
        served("a plain GET", [get(1)]),
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
        ended(
            "SETTINGS of five bytes (6.5)",
            [frame(kind::SETTINGS, 0, 0, &[0; 5])],
        ),
        ended(
            "SETTINGS on a stream (6.5)",
            [frame(kind::SETTINGS, 0, 1, &[])],
        ),
        ended(
            "an acknowledgement with a payload (6.5)",
            [frame(kind::SETTINGS, ACK, 0, &[0; 6])],
        ),
    ]
}

fn sizes_and_types() -> Vec<Case> {
    let unknown = |stream| frame(0xee, 0xff, stream, b"anything");
    let block = hpack::block(&hpack::request("GET", &[]));
    let (begin, rest) = block.split_at(10);
    vec![
        served(
            "a frame of an unknown type (4.1, 5.5)",
            [unknown(0), get(1)],
        ),
        served(
            "a frame of an unknown type on a stream that is open (5.5)",
            [post_head(), unknown(1), last_data(b"hello")],
        ),
        served(
            "flags that mean nothing (4.1)",
            [frame(kind::PING, 0x16, 0, &[0; 8]), get(1)],
        ),
        served(
            "the reserved bit of a stream's number (4.1)",
            [get(1 << 31 | 1)],
        ),
        ended(
            "DATA larger than allowed (4.2)",
            [post_head(), last_data(&vec![b'x'; MOST_BYTES + 1])],
        ),
        ended(
            "HEADERS larger than allowed (4.2)",
            [frame(
                kind::HEADERS,
                END_HEADERS,
                1,
                &vec![0; MOST_BYTES + 1],
            )],
        ),
        served(
            "DATA as large as allowed (4.2)",
            [post_head(), last_data(&vec![b'x'; MOST_BYTES])],
        ),
        ended(
            "another frame within a head (6.10)",
            [
                frame(kind::HEADERS, 0, 1, begin),
                frame(kind::PING, 0, 0, &[0; 8]),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
        ended(
            "an unknown frame within a head (5.5)",
            [
                frame(kind::HEADERS, 0, 1, begin),
                unknown(1),
                frame(kind::CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
    ]
}

fn control_frames() -> Vec<Case> {
    let alone = |name, bytes: Vec<u8>| ended(name, [bytes]);
    let goaway = |stream| frame(kind::GOAWAY, 0, stream, &[0; 8]);
    vec![
        served(
            "a PING before a request (6.7)",
            [frame(kind::PING, 0, 0, &[1; 8]), get(1)],
        ),
        either(
            "an answer to a PING that nobody sent (6.7)",
            [frame(kind::PING, ACK, 0, &[1; 8]), get(1)],
        ),
        alone(
            "a PING of seven bytes (6.7)",
            frame(kind::PING, 0, 0, &[0; 7]),
        ),
        alone("a PING on a stream (6.7)", frame(kind::PING, 0, 1, &[0; 8])),
        alone("GOAWAY on a stream (6.8)", goaway(1)),
        alone(
            "GOAWAY of four bytes (6.8)",
            frame(kind::GOAWAY, 0, 0, &[0; 4]),
        ),
        alone(
            "PUSH_PROMISE by a client (8.4)",
            frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        ),
        alone(
            "PRIORITY on the connection (6.3)",
            frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 3, 16]),
        ),
        served(
            "PRIORITY on a stream to come (6.3)",
            [frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 16]), get(1)],
        ),
        refused(
            "PRIORITY of four bytes (6.3)",
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
        ended("no room on the connection (6.9)", [window_update(0, 0)]),
        refused(
            "no room on a stream (6.9)",
            [post_head(), window_update(1, 0)],
        ),
        ended(
            "too much room on the connection (6.9.1)",
            [window_update(0, 0x7fff_ffff), window_update(0, 0x7fff_ffff)],
        ),
        refused(
            "too much room on a stream (6.9.1)",
            [
                post_head(),
                window_update(1, 0x7fff_ffff),
                window_update(1, 0x7fff_ffff),
            ],
        ),
        ended(
            "WINDOW_UPDATE of three bytes (6.9)",
            [frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])],
        ),
        served(
            "room for an answer piece by piece (6.9)",
            [
                settings(&[(4, 1)]),
                get(1),
                window_update(1, 1),
                window_update(1, 1 << 20),
            ],
        ),
    ]
}
