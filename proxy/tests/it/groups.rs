//! Which group answers what.

use crate::support::{Rig, Upstream, answered_by, group, problem, request, server};

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_chosen_by_path_prefix_and_host() {
    let (orders, stocks, admin) =
        tokio::join!(Upstream::start(), Upstream::start(), Upstream::start());
    let config = [
        "[[route]]\npath_prefix = \"/orders\"\nupstreams = \"orders\"\n".to_owned(),
        "[[route]]\npath_prefix = \"/orders/deep\"\nupstreams = \"stocks\"\n".to_owned(),
        "[[route]]\npath_prefix = \"/stocks\"\nupstreams = \"stocks\"\n".to_owned(),
        "[[route]]\nhost = \"admin.example\"\nupstreams = \"admin\"\n".to_owned(),
        group("orders", "", [server(&orders)]),
        group("stocks", "", [server(&stocks)]),
        group("admin", "", [server(&admin)]),
    ]
    .join("\n");
    let rig = Rig::start(&config).await;
    let at = async |host: &str, target: &str| {
        let request = request("GET", target, &[], "");
        rig.ask(request.replace("shop.example", host)).await
    };
    for (host, target, upstream) in [
        ("shop.example", "/orders", &orders),
        ("shop.example", "/orders/7?a=b", &orders),
        ("shop.example", "/orders?a=b", &orders),
        ("shop.example", "/orders/deep", &stocks),
        ("shop.example", "/orders/deep/er", &stocks),
        ("shop.example", "/orders/deeper", &orders),
        ("shop.example", "/stocks/1", &stocks),
        ("admin.example", "/orders", &admin),
        ("ADMIN.example:8080", "/", &admin),
        ("admin.example.", "/", &admin),
        ("admin.EXAMPLE.:8080", "/orders", &admin),
        ("shop.example", "/%6Frders/7", &orders),
        ("shop.example", "/orders/%64eep?a=%62", &stocks),
    ] {
        let answer = at(host, target).await;
        assert_eq!(answered_by(&answer), upstream.address, "{host}{target}");
        assert_eq!(answer.json()["target"], target);
    }
    // Empty segments and dots are not taken away, by the store's hosts neither.
    for target in [
        "/",
        "/ordersx",
        "/users",
        "//orders/7",
        "/x/../orders",
        "/./orders",
    ] {
        problem(&at("shop.example", target).await, 404);
    }
}

/// A target may name its host, and HTTP/1.0 has no other way.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_a_host_is_for_that_host() {
    let (one, other) = tokio::join!(Upstream::start(), Upstream::start());
    let config = [
        "[[route]]\nhost = \"b.example\"\nupstreams = \"other\"\n".to_owned(),
        "[[route]]\nupstreams = \"one\"\n".to_owned(),
        group("one", "", [server(&one)]),
        group("other", "", [server(&other)]),
    ]
    .join("\n");
    let rig = Rig::start(&config).await;
    // Nobody named one: then it is who is asked, as HTTP/1.1 has to say.
    let asked = one.address.to_string();
    for (bytes, upstream, host) in [
        (
            "GET http://b.example/x?y HTTP/1.0\r\n\r\n",
            &other,
            Some("b.example"),
        ),
        (
            "GET http://b.example/x?y HTTP/1.1\r\nhost: B.example\r\n\r\n",
            &other,
            Some("b.example"),
        ),
        (
            "GET HTTP://a.example:81/x?y HTTP/1.1\r\nhost: a.example:81\r\n\r\n",
            &one,
            Some("a.example:81"),
        ),
        ("GET /x?y HTTP/1.0\r\n\r\n", &one, Some(asked.as_str())),
    ] {
        let answer = rig.ask(bytes).await;
        assert_eq!(answered_by(&answer), upstream.address, "{bytes}");
        let got = upstream.requests().pop().unwrap();
        assert_eq!(
            (got.target(), got.header("host")),
            ("/x?y", host),
            "{bytes}"
        );
    }
    let disagrees = "GET http://b.example/x HTTP/1.1\r\nhost: a.example\r\n\r\n";
    problem(&rig.ask(disagrees).await, 400);
}
