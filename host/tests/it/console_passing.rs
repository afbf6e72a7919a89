//! What a console passes on to other members of its fleet, and what its audit log says of it.

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::console::{member, read};
use crate::operator::{TOKEN, guest, guest_shop, operated, refusal};
use crate::support::{Answer, Shop, empty_store, eventually, send};

/// A host whose fleet has one other member, `other`.
async fn front(url: &str) -> Shop {
    Shop::on(empty_store().await, member("other", url)).await
}

async fn post(shop: &Shop, path: &str, token: Option<&str>, body: Vec<u8>) -> Answer {
    let request = shop.client.post(shop.host.admin_url(path)).body(body);
    send(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

/// The lines of the audit log, the newest first.
async fn audit(shop: &Shop) -> Vec<Value> {
    let events = read(shop, "/events").await;
    events["audit"].as_array().unwrap().clone()
}

const SWAP: &str = "/fleet/other/components/guest/swap";

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_received_only_if_its_member_would_take_it() {
    let (shop, _app) = guest_shop(&[]).await;
    let front = front(&shop.host.admin_url("")).await;
    // The body that is announced never comes: whoever waits for it gives no answer.
    let admin = front.host.admin_url("");
    let address = admin.strip_prefix("http://").unwrap().to_owned();
    let announced = async |path: &str, token: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{token}content-length: 9999\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let wrong = "authorization: Bearer a-token-that-is-quite-wrong\r\n";
    let _held = [
        announced("/fleet/nobody/components/guest/swap", wrong).await,
        announced("/fleet/nobody/components/guest/swap", "").await,
        announced(SWAP, "").await,
        announced(SWAP, wrong).await,
    ];
    // Nobody of those has the right to be the one whose component is received.
    let swapped = post(&front, SWAP, Some(TOKEN), guest("second").into_bytes()).await;
    assert_eq!(swapped.expect(200)["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_was_passed_on_and_what_was_not() {
    let (shop, _app) = guest_shop(&[]).await;
    let front = front(&shop.host.admin_url("")).await;
    let unknown = post(&front, "/fleet/nobody/reload", Some(TOKEN), vec![]).await;
    assert_eq!(
        refusal(&unknown, 404, None),
        "no member of the fleet is `nobody`"
    );
    assert_eq!(audit(&front).await, Vec::<Value>::new());
    let version = guest("second").into_bytes();
    let wrong = Some("a-token-that-is-quite-wrong");
    for (path, token, body, status, result) in [
        ("/fleet/other/reload", None, vec![], 401, "refused"),
        ("/fleet/other/reload", wrong, vec![], 401, "passed on"),
        (SWAP, None, version.clone(), 401, "refused"),
        (SWAP, wrong, version.clone(), 401, "refused"),
        (SWAP, Some(TOKEN), version, 200, "passed on"),
    ] {
        post(&front, path, token, body).await.expect(status);
        let lines = audit(&front).await;
        let fields = &lines[0]["fields"];
        assert_eq!(fields["result"], result, "{lines:?}");
        assert_eq!(fields["member"], "other", "{lines:?}");
        let action = path.strip_prefix("/fleet/other").unwrap();
        assert_eq!(fields["action"], action, "{lines:?}");
    }
    shop.host.kill();
    let gone = post(&front, "/fleet/other/reload", Some(TOKEN), vec![]).await;
    let reason = refusal(&gone, 502, None);
    assert!(reason.starts_with("other at http://"), "{reason}");
    let lines = audit(&front).await;
    assert_eq!(lines[0]["fields"]["result"], "no answer", "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_passed_on_is_logged_although_its_sender_has_left() {
    let (shop, _app) = guest_shop(&[]).await;
    let front = front(&shop.host.admin_url("")).await;
    let admin = front.host.admin_url("");
    let body = guest("second").into_bytes();
    let head = format!(
        "POST {SWAP} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let address = admin.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    drop(stream);
    eventually("it is logged", async || {
        let lines = audit(&front).await;
        lines
            .first()
            .is_some_and(|line| line["fields"]["result"] == "passed on")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_push_no_change_out_of_the_log() {
    let (shop, _app) = guest_shop(&[]).await;
    let swapped = post(
        &shop,
        "/components/guest/swap",
        Some(TOKEN),
        guest("second").into_bytes(),
    );
    swapped.await.expect(200);
    // One after the other, and of two kinds, so that they are not counted as one.
    for _ in 0..150 {
        for path in ["/token", "/reload"] {
            let refused = post(&shop, path, None, vec![]).await;
            assert_eq!(
                refusal(&refused, 401, None),
                "send the admin token as `Authorization: Bearer TOKEN`"
            );
        }
    }
    let lines = audit(&shop).await;
    assert_eq!(lines.len(), 201, "{:?}", lines.last());
    assert_eq!(lines[200]["fields"]["action"], "swap", "{:?}", lines[200]);
    assert_eq!(lines[0]["fields"]["result"], "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_of_one_name_end_the_start_with_code_2() {
    let store = empty_store().await;
    let options = operated(&store)
        .arg("--console-peer=a=http://127.0.0.1:1")
        .arg("--console-peer=a=http://127.0.0.1:2");
    let said = ["--console-peer", "two members are called `a`"];
    crate::support::refuses(&store, options, 2, &said).await;
}
