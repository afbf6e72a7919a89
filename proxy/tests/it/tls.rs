//! HTTPS, HTTP/2, and certificates that change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{
    PATIENCE, Reply, Rig, Upstream, eventually, eventually_some, folder, get, request, shop,
};

/// A certificate for `shop.example`, by itself.
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        Self {
            der: made.cert.der().clone(),
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    pub(crate) fn write(&self, folder: &Path) {
        fs::write(folder.join("key.pem"), &self.key).unwrap();
        fs::write(folder.join("certificate.pem"), &self.certificate).unwrap();
    }

    /// A connection by a client that believes this certificate only.
    pub(crate) async fn connect(
        &self,
        rig: &Rig,
        alpn: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn
            .split(',')
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(rig.address).await?;
        let name = ServerName::try_from("shop.example").unwrap();
        let connect = TlsConnector::from(Arc::new(config)).connect(name, stream);
        timeout(PATIENCE, connect)
            .await
            .expect("a handshake has an end")
    }

    /// What a client that believes this certificate only gets by HTTP/1.1.
    async fn ask(&self, rig: &Rig, bytes: &str) -> std::io::Result<String> {
        let mut stream = self.connect(rig, "http/1.1").await?;
        ask(&mut stream, bytes).await
    }
}

/// Sends a request that asks for the end of the connection, and reads to it.
async fn ask(stream: &mut TlsStream<TcpStream>, bytes: &str) -> std::io::Result<String> {
    stream.write_all(bytes.as_bytes()).await?;
    let mut said = String::new();
    match timeout(PATIENCE, stream.read_to_string(&mut said))
        .await
        .expect("it ends")
    {
        // Not every server says goodbye within TLS.
        Err(error) if said.is_empty() => Err(error),
        _ => Ok(said),
    }
}

fn last(target: &str) -> String {
    request("GET", target, &[("connection", "close")], "")
}

/// A proxy with HTTPS and this certificate. It finds the files beside its configuration.
async fn rig(certificate: &Certificate, upstream: &Upstream) -> (Rig, std::path::PathBuf) {
    limited("", certificate, upstream).await
}

/// The same, with these limits.
pub(crate) async fn limited(
    limits: &str,
    certificate: &Certificate,
    upstream: &Upstream,
) -> (Rig, std::path::PathBuf) {
    let files = folder();
    certificate.write(&files);
    let at = files.display();
    let listen =
        format!("tls = {{ certificate = \"{at}/certificate.pem\", key = \"{at}/key.pem\" }}");
    let config = format!("[limits]\n{limits}\n{}", shop("", [upstream]));
    let rig = Rig::with("", &listen, &config).await;
    (rig, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_and_told_to_upstreams() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let (rig, _) = rig(&certificate, &upstream).await;
    assert!(rig.proxy.url("/").starts_with("https://"));
    let said = certificate.ask(&rig, &last("/in")).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let got = upstream.requests().pop().unwrap();
    assert_eq!(got.header("x-forwarded-proto"), Some("https"));
    assert!(got.header("forwarded").unwrap().contains("proto=https"));
    // The rules for heads are the same within TLS.
    let bad = "GET /in HTTP/1.1\r\nHost: shop.example\r\nX A: b\r\n\r\n";
    let said = certificate.ask(&rig, bad).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    // Plain HTTP is not understood here.
    let mut plain = rig.client().await;
    plain.send(get("/plain")).await;
    assert!(plain.rest().await.is_some(), "it is closed");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_offered_and_carries_many_requests_at_once() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let (rig, _) = rig(&certificate, &upstream).await;
    let stream = certificate.connect(&rig, "h2,http/1.1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let requests = (0..100).map(|number| {
        let mut sender = sender.clone();
        async move {
            let uri = format!("https://shop.example/{number}");
            let request = Request::post(uri).body(()).unwrap();
            sender = sender.ready().await.unwrap();
            let (answer, mut body) = sender.send_request(request, false).unwrap();
            body.send_data(Bytes::from(format!("body {number}")), true)
                .unwrap();
            let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(answer.headers().contains_key("x-request-id"));
            let mut stream = answer.into_body();
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.data().await {
                bytes.extend_from_slice(&chunk.unwrap());
            }
            let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(body["target"], format!("/{number}"));
            assert_eq!(body["body"], format!("body {number}"));
        }
    });
    futures::future::join_all(requests).await;
    assert_eq!(upstream.count(), 100);
    let got = upstream.requests().pop().unwrap();
    assert_eq!(got.header("host"), Some("shop.example"));
    assert_eq!(got.header("x-forwarded-proto"), Some("https"));
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_used_without_a_restart() {
    let upstream = Upstream::start().await;
    let (old, new) = (Certificate::new(), Certificate::new());
    let (rig, files) = rig(&old, &upstream).await;
    let mut kept = old.connect(&rig, "http/1.1").await.unwrap();
    assert!(new.ask(&rig, &last("/")).await.is_err(), "not yet believed");
    new.write(&files);
    eventually("the new one is shown", async || {
        new.ask(&rig, &last("/")).await.is_ok()
    })
    .await;
    assert!(
        old.ask(&rig, &last("/")).await.is_err(),
        "the old one is gone"
    );
    let said = ask(&mut kept, &last("/kept")).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_leaves_the_one_in_use() {
    let upstream = Upstream::start().await;
    let (old, new) = (Certificate::new(), Certificate::new());
    let (rig, files) = rig(&old, &upstream).await;
    // A key that belongs to another certificate, as between the two writes of a renewal.
    fs::write(files.join("key.pem"), &new.key).unwrap();
    let before = rig.proxy.log().len();
    eventually("it is noticed", async || rig.proxy.log().len() > before).await;
    old.ask(&rig, &last("/")).await.unwrap();
    fs::write(files.join("certificate.pem"), "not PEM").unwrap();
    old.ask(&rig, &last("/")).await.unwrap();
    new.write(&files);
    eventually("the new one is shown", async || {
        new.ask(&rig, &last("/")).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_http2_is_served_where_it_is_turned_on() {
    let upstream = Upstream::start().await;
    let rig = Rig::with("", "h2c = true", &shop("", [&upstream])).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://shop.example/in").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        upstream.requests()[0].header("x-forwarded-proto"),
        Some("http")
    );
    assert_eq!(rig.get("/one").await.status(), 200, "HTTP/1.1 as well");
    connection.abort();
}

/// A client that connects and never begins its handshake holds nothing for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_never_comes_is_cut_off() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let (rig, _) = rig(&certificate, &upstream).await;
    rig.reload(&format!(
        "[limits]\nheader_timeout = \"500ms\"\n{}",
        shop("", [&upstream])
    ))
    .await;
    let reason = &["reason=\"timeout\""];
    let counted = async || rig.metric("store_proxy_refused_total", reason).await;
    for begin in [&b"\x16\x03\x01"[..], b""] {
        let mut silent = rig.client().await;
        silent.send(begin).await;
        assert!(silent.rest().await.is_some(), "the connection stayed open");
        // The client may see the end a moment before it is counted.
        eventually("one is counted", async || counted().await == 1.0).await;
    }
    // Under this limit, a good handshake might be late as well.
    rig.reload(&shop("", [&upstream])).await;
    certificate.ask(&rig, &last("/")).await.unwrap();
    assert_eq!(counted().await, 1.0, "who says nothing is not counted");
}

/// As when plain HTTP is spoken, or the client does not accept the certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_counted() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let (rig, _) = rig(&certificate, &upstream).await;
    let reason = &["reason=\"tls_handshake\""];
    let counted = async || rig.metric("store_proxy_refused_total", reason).await;
    // Who says nothing asks for nothing.
    drop(rig.client().await);
    let mut plain = rig.client().await;
    plain.send(get("/plain")).await;
    assert!(plain.rest().await.is_some(), "the connection stayed open");
    // The client may see the end a moment before it is counted.
    eventually("one is counted", async || counted().await == 1.0).await;
    let other = Certificate::new();
    assert!(other.ask(&rig, &last("/")).await.is_err(), "believed");
    eventually("the other too", async || counted().await == 2.0).await;
    certificate.ask(&rig, &last("/")).await.unwrap();
    assert_eq!(counted().await, 2.0, "one that succeeds is not counted");
}

/// It chose HTTP/2 and then doesn't begin it.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_says_nothing_is_cut_off() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let limits = "header_timeout = \"500ms\"";
    let (rig, _) = limited(limits, &certificate, &upstream).await;
    for begin in ["", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n"] {
        // The handshake has the same limit.
        let mut stream = eventually_some("a handshake is in time", async || {
            certificate.connect(&rig, "h2").await.ok()
        })
        .await;
        // If we are held up, it may be cut off by now.
        _ = stream.write_all(begin.as_bytes()).await;
        let mut said = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "the connection stayed open after {begin:?}");
    }
    rig.wait_for_metric("store_proxy_connections", &[], 0.0)
        .await;
}

/// It answers pings, and never makes room for more of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_does_not_read_is_cut_off() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let large = "x".repeat(8 * 1024 * 1024);
    upstream.behave(move |_| Reply::Answer(200, vec![], large.clone()));
    let limits = "send_timeout = \"500ms\"\nidle_timeout = \"1s\"";
    let (rig, _) = limited(limits, &certificate, &upstream).await;
    let stream = certificate.connect(&rig, "h2").await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://shop.example/in").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    eventually("it is given up", async || {
        rig.metric("store_proxy_upstream_in_flight", &[]).await == 0.0
            && rig.metric("store_proxy_connections", &[]).await == 0.0
    })
    .await;
    drop(answer);
    connection.abort();
}
