//! Heads of answers, and bytes that are none.

use super::*;

fn judge(head: &str) -> Result<(AnswerBody, bool), MalformedAnswer> {
    let head = read(head.as_bytes(), false)?.expect("whole");
    Ok((head.body, head.keeps_connection))
}

#[test]
fn it_is_known_how_the_body_ends() {
    use AnswerBody::{Chunked, Length, None, UntilClose};
    for (head, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            (Length(5), true),
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", (Length(5), true)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\n\r\n",
            (Length(5), true),
        ),
        (
            "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n",
            (Chunked, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            (Chunked, true),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", (UntilClose, false)),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            (None, true),
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            (None, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            (Length(0), false),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            (Length(0), false),
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            (Length(0), true),
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
            (Chunked, false),
        ),
    ] {
        assert_eq!(judge(head), Ok(expected), "{head:?}");
    }
    let head = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
    let head = head.expect("good").expect("whole");
    assert_eq!((head.body, head.keeps_connection), (None, true));
}

#[test]
fn what_could_end_in_two_ways_is_no_answer() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
    ] {
        assert!(judge(head).is_err(), "{head:?}");
    }
    assert!(matches!(
        read(b"HTTP/1.1 200 OK\r\nA: b\r\n", false),
        Ok(None)
    ));
    assert!(
        read(
            &[b"HTTP/1.1 200 OK\r\nA: ", &*vec![b'a'; LONGEST]].concat(),
            false
        )
        .is_err()
    );
}

#[test]
fn what_ends_with_this_hop_stays_here() {
    let head = "HTTP/1.0 200 Well done\r\nConnection: x-private, keep-alive, content-length\r\nKeep-Alive: timeout=5\r\n\
                X-Private: 1\r\nX-Public:2\r\nFolded: a\r\n b\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\
                Content-Length: 2\r\nX-Old: 3\r\n\r\n";
    let head = read(head.as_bytes(), false).expect("good").expect("whole");
    let mut written = BytesMut::new();
    head.write(&mut written, |name| name.eq_ignore_ascii_case(b"x-old"));
    assert_eq!(
        String::from_utf8_lossy(&written),
        "HTTP/1.1 200 Well done\r\nX-Public: 2\r\nFolded: a   b\r\nContent-Length: 2\r\n"
    );
    assert!(head.has(b"x-PUBLIC") && !head.has(b"date"));
}
