//! Heads that pass, and heads that do not.

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    lines: 10,
};

fn judge(head: &str) -> Result<HeadForm, Problem> {
    check(head.as_bytes(), LIMITS)
}

fn status(head: &str) -> u16 {
    judge(head).map_or_else(|problem| problem.status().as_u16(), |_| 200)
}

#[test]
fn ordinary_heads_pass() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x?y=1&z=%20 HTTP/1.1\r\nhost: a.example:8080\r\nAccept: */*\r\n\r\n",
        "POST /orders HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 12\r\n\r\n",
        "POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, te\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nX: a\tb \u{e9}\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        assert!(judge(head).is_ok(), "{head}");
    }
}

#[test]
fn what_can_be_said_in_two_ways_passes_in_the_simpler_one() {
    for (given, expected) in [
        (
            "GET http://B.example:81/x?y HTTP/1.0\r\nA: b\r\n\r\n",
            "GET /x?y HTTP/1.0\r\nHost: B.example:81\r\nA: b\r\n\r\n",
        ),
        (
            "GET HTTP://a?y HTTP/1.1\r\nHOST: A\r\nA: b\r\n\r\n",
            "GET /?y HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n",
        ),
        (
            "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  010\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let checked = judge(given).expect("may pass");
        assert!(!checked.is_simple, "{given}");
        assert_eq!(&simplified(given.as_bytes())[..], expected.as_bytes());
        assert_eq!(
            judge(expected).map(|c| (c.body, c.is_simple)),
            Ok((checked.body, true))
        );
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.0\r\n\r\n",
        "GET http://u@a/ HTTP/1.0\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n",
    ] {
        assert_eq!(status(head), 400, "{head:?}");
    }
}

#[test]
fn what_is_not_served_says_so() {
    assert_eq!(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
    assert_eq!(status("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
        417
    );
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "x".repeat(target::LONGEST)
    );
    assert_eq!(status(&long), 414);
    let many = "X: y\r\n".repeat(11);
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        431
    );
}

#[test]
fn a_head_is_found_when_it_is_whole() {
    assert_eq!(find(b"GET / HTTP/1.1\r\nHost", LIMITS), Ok(None));
    assert_eq!(find(b"GET / H\r\n\r\nrest", LIMITS), Ok(Some(11)));
    assert!(find(&[b'a'; 1025], LIMITS).is_err());
    assert!(find(b"GET / HTTP/1.1\nHost: a\n\n", LIMITS).is_err());
}
