//! Requests that servers may parse differently, or that give a false sender.

use std::collections::HashMap;

use testbed::http2::{Field, fields, request_for};
use tokio::io::AsyncWriteExt;

use super::scene::Scene;
use super::{http1, http2};

/// S10: HTTP/1.0 with an absolute target. The request is for the target's host, and the store answers for every host.
pub(super) async fn without_host(scene: &Scene) {
    const SENT: &[u8] = b"GET http://b.example/products/0 HTTP/1.0\r\n\r\n";
    http1::ask(scene, SENT).await;
}

/// S13: a host name that would add a second element to `Forwarded`.
pub(super) async fn forged_host(scene: &Scene) {
    let forged = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/products/1"),
        ("host", "a\", for=6.6.6.6;host=\"b"),
    ]);
    one_stream(scene, &forged).await;
}

/// S13: an expectation that no server can meet, over HTTP/2.
pub(super) async fn unknown_expectation(scene: &Scene) {
    let expecting = request_for("GET", "/products/1", &[("expect", "x")]);
    one_stream(scene, &expecting).await;
}

/// S13: `GET *`, over HTTP/2.
pub(super) async fn asterisk(scene: &Scene) {
    one_stream(scene, &request_for("GET", "*", &[])).await;
}

/// S14: a path with two slashes, which route prefixes might not match.
pub(super) async fn double_slash(scene: &Scene) {
    const SENT: &[u8] =
        b"GET //orders/7 HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    http1::ask(scene, SENT).await;
}

/// S15: a target with a quotation mark.
pub(super) async fn quoted(scene: &Scene) {
    const SENT: &[u8] =
        b"GET /products/1?a=\"b\" HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    http1::ask(scene, SENT).await;
}

/// Sends a request with these fields on a new connection.
async fn one_stream(scene: &Scene, fields: &[Field]) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[]).await else {
        return scene.attempt().told("closed");
    };
    _ = writer.write_all(&http2::whole(1, fields)).await;
    http2::hear(reader, HashMap::from([(1, scene.attempt())])).await;
}
