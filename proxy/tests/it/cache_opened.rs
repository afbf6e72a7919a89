//! What the cache's settings open, and that none of it is open without them.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Message, NO_EJECTION, Reply, Rig, Upstream, request, shop};

const ALL: &str = "expires = true, heuristic_percent = 10, other_statuses = true, revalidate = true, ranges = true, \
                   authorized = true";

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).into()));
    Reply::Answer(status, headers.collect(), body.into())
}

async fn cached(settings: &str, reply: Reply) -> (Upstream, Rig) {
    let upstream = Upstream::with(move |_| reply.clone()).await;
    let keys = format!("cache = {{ {settings} }}\n{NO_EJECTION}");
    let rig = Rig::start(&shop(&keys, [&upstream])).await;
    (upstream, rig)
}

/// Whether a second request for the same is answered from memory.
async fn is_kept(settings: &str, reply: Reply, headers: &[(&str, &str)]) -> bool {
    let (upstream, rig) = cached(settings, reply).await;
    let asked = request("GET", "/a", headers, "");
    let first = rig.ask(&asked).await;
    let second = rig.ask(&asked).await;
    assert_eq!(
        (first.status(), first.text()),
        (second.status(), second.text())
    );
    upstream.count() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_opens_its_own() {
    let fresh = ("cache-control", "max-age=60");
    let known: &[_] = &[("authorization", "Bearer x")];
    let changed = [
        ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
        ("last-modified", "Mon, 23 Nov 2020 08:00:00 GMT"),
    ];
    let until = [
        ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
        ("expires", "Mon, 23 Nov 2026 09:00:00 GMT"),
    ];
    for (setting, reply, headers) in [
        ("expires = true", answer(200, &until, "x"), &[][..]),
        ("heuristic_percent = 1", answer(200, &changed, "x"), &[]),
        ("other_statuses = true", answer(404, &[fresh], "x"), &[]),
        ("other_statuses = true", answer(503, &[fresh], "x"), &[]),
        (
            "authorized = true",
            answer(200, &[("cache-control", "public, max-age=60")], "x"),
            known,
        ),
        (
            "authorized = true",
            answer(200, &[("cache-control", "s-maxage=60")], "x"),
            known,
        ),
    ] {
        assert!(is_kept(setting, reply.clone(), headers).await, "{setting}");
        assert!(!is_kept("", reply, headers).await, "without {setting}");
    }
}

/// Whatever is opened, what is for one client is for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn no_setting_opens_what_is_for_one_client() {
    let public = ("cache-control", "public, max-age=60");
    let private = |control| answer(200, &[("cache-control", control)], "x");
    for (reply, headers) in [
        (private("private, max-age=60"), &[][..]),
        (private("private=\"x-name\", max-age=60"), &[]),
        (private("no-store, max-age=60"), &[]),
        (private("max-age=60"), &[("authorization", "Bearer x")]),
        (answer(200, &[public], "x"), &[("cookie", "a=b")]),
        (answer(200, &[public, ("set-cookie", "a=b")], "x"), &[]),
        (answer(200, &[public, ("vary", "*")], "x"), &[]),
        (answer(200, &[public], "x"), &[("range", "bytes=0-0,1-1")]),
        (
            answer(206, &[public, ("content-range", "bytes 0-0/9")], "x"),
            &[],
        ),
    ] {
        assert!(
            !is_kept(ALL, reply.clone(), headers).await,
            "{reply:?} {headers:?}"
        );
    }
}

/// An answer to a known user stays with them even if the next to ask is known too.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_one_user_is_never_anothers() {
    let upstream = Upstream::with(|request| {
        let user = request.header("authorization").unwrap_or("nobody");
        answer(200, &[("cache-control", "max-age=60")], user)
    })
    .await;
    let keys = format!("cache = {{ {ALL} }}\n{NO_EJECTION}");
    let rig = Rig::start(&shop(&keys, [&upstream])).await;
    for _ in 0..2 {
        for user in ["ann", "bob"] {
            let asked = request("GET", "/a", &[("authorization", user)], "");
            assert_eq!(rig.ask(asked).await.text(), user);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_used_unasked_is_confirmed_each_time() {
    let upstream = Upstream::with(|request| match request.header("if-none-match") {
        Some("\"one\"") => {
            Reply::Bytes("HTTP/1.1 304 Not Modified\r\netag: \"one\"\r\n\r\n".into())
        }
        _ => answer(
            200,
            &[("cache-control", "no-cache"), ("etag", "\"one\"")],
            "x",
        ),
    })
    .await;
    let keys = format!("cache = {{ revalidate = true }}\n{NO_EJECTION}");
    let rig = Rig::start(&shop(&keys, [&upstream])).await;
    for asked in 1..5 {
        let answer = rig.get("/a").await;
        assert_eq!((answer.status(), answer.text()), (200, "x".into()));
        assert_eq!(upstream.count(), asked);
    }
    let confirmed = "store_proxy_upstream_requests_total";
    assert_eq!(rig.metric(confirmed, &["3xx"]).await, 3.0);
}

/// Body, status and `Content-Range`.
fn cut(answer: &Message) -> (u16, String, Option<&str>) {
    (
        answer.status(),
        answer.text(),
        answer.header("content-range"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_range_is_cut_from_the_whole_answer() {
    let headers = [("cache-control", "max-age=60"), ("etag", "\"one\"")];
    let (upstream, rig) = cached("ranges = true", answer(200, &headers, "0123456789")).await;
    let ask = async |range: &str, condition: &[(&str, &str)]| {
        let headers = [&[("range", range)], condition].concat();
        rig.ask(request("GET", "/a", &headers, "")).await
    };
    // The first is cut from the upstream's answer, the others from what is kept of it.
    for (range, body, place) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=5-999999999", "56789", "bytes 5-9/10"),
    ] {
        let answer = ask(range, &[]).await;
        assert_eq!(cut(&answer), (206, body.into(), Some(place)), "{range}");
        assert_eq!(
            answer.header("content-length"),
            Some(&*body.len().to_string())
        );
    }
    let answer = ask("bytes=10-", &[]).await;
    assert_eq!(cut(&answer), (416, String::new(), Some("bytes */10")));
    for (tag, status) in [("\"one\"", 206), ("\"other\"", 200)] {
        let answer = ask("bytes=0-0", &[("if-range", tag)]).await;
        assert_eq!(answer.status(), status, "{tag}");
    }
    let whole = rig.get("/a").await;
    assert_eq!((whole.status(), whole.text()), (200, "0123456789".into()));
    assert_eq!(upstream.count(), 1);
    assert_eq!(upstream.requests()[0].header("range"), None);
}

/// A part of a body is no body to compress.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_not_compressed() {
    let body = "0123456789".repeat(50);
    let headers = [
        ("cache-control", "max-age=60"),
        ("content-type", "text/plain"),
    ];
    let reply = answer(200, &headers, &body);
    let upstream = Upstream::with(move |_| reply.clone()).await;
    let keys = format!("cache = {{ ranges = true }}\n{NO_EJECTION}");
    let config = format!("[compression]\ngzip = 5\n{}", shop(&keys, [&upstream]));
    let rig = Rig::start(&config).await;
    for _ in 0..2 {
        let headers = [("range", "bytes=100-299"), ("accept-encoding", "gzip")];
        let answer = rig.ask(request("GET", "/a", &headers, "")).await;
        let expected = (206, body[100..300].to_owned(), Some("bytes 100-299/500"));
        assert_eq!(cut(&answer), expected);
        assert_eq!(answer.header("content-encoding"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_select_mean_the_same_in_any_form() {
    let vary = [
        ("cache-control", "max-age=60"),
        ("vary", "accept-language, x-list"),
    ];
    let (upstream, rig) = cached("", answer(200, &vary, "x")).await;
    let ask = async |language: &str, lists: &[&str]| {
        let mut headers = vec![("accept-language", language)];
        headers.extend(lists.iter().map(|list| ("x-list", *list)));
        rig.ask(request("GET", "/a", &headers, "")).await;
        upstream.count()
    };
    for (language, lists) in [
        ("fr, en;q=0.5", &["1, 2"][..]),
        ("EN; q=0.5,fr", &["1,2"]),
        ("fr,en;q=0.5", &["1", "2"]),
    ] {
        assert_eq!(ask(language, lists).await, 1, "{language} {lists:?}");
    }
    assert_eq!(ask("fr, en;q=0.5", &["2, 1"]).await, 2);
    assert_eq!(ask("fr, en;q=0.6", &["1, 2"]).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_ends() {
    let dates = [
        ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
        ("last-modified", "Mon, 23 Nov 2026 07:58:20 GMT"),
    ];
    // A hundredth of a hundred seconds.
    let (upstream, rig) = cached("heuristic_percent = 1", answer(200, &dates, "x")).await;
    rig.get("/a").await;
    sleep(Duration::from_millis(1_100)).await;
    rig.get("/a").await;
    assert_eq!(upstream.count(), 2);
}
