//! Requests whose bodies never come, or never end.

use std::collections::HashMap;
use std::time::Duration;

use testbed::http2::{Field, frame, kind, request_for};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::scene::Scene;
use super::{http1, http2};

/// The concurrent streams of one connection.
const STREAMS: u32 = 100;

/// The time between two bytes of an endless body.
const DRIP: Duration = Duration::from_millis(200);

/// S2: heads of orders over HTTP/2, without their bodies.
pub(super) async fn absent(scene: &Scene) {
    orders(scene, false).await;
}

/// As [`absent`], over HTTP/1.1, where each order needs a connection.
pub(super) async fn absent_http1(scene: &Scene) {
    const HEAD: &[u8] =
        b"POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 99\r\n\r\n";
    http1::ask(scene, HEAD).await;
}

/// As [`absent_http1`], with `Expect: 100-continue`. Waits for `100 Continue`, and then sends nothing.
pub(super) async fn expected(scene: &Scene) {
    const HEAD: &[u8] = b"POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 99\r\nexpect: 100-continue\r\n\r\n";
    let attempt = scene.attempt();
    let Ok(mut stream) = scene.connect().await else {
        return attempt.told("closed");
    };
    _ = stream.write_all(HEAD).await;
    let mut said = http1::status(&mut stream).await;
    if said == "100" {
        said = http1::after_continue(&mut stream).await;
    }
    attempt.told(&said);
}

/// Thousands of small bodies that arrive one byte at a time.
pub(super) async fn endless(scene: &Scene) {
    orders(scene, true).await;
}

/// Fills one connection with orders whose bodies arrive one byte at a time, or never.
async fn orders(scene: &Scene, drips: bool) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[]).await else {
        return scene.attempt().told("closed");
    };
    let order: Vec<Field> = request_for("POST", "/orders", &[]);
    let streams = || (0..STREAMS).map(|number| 2 * number + 1);
    let heads: Vec<u8> = streams()
        .flat_map(|stream| http2::head(stream, &order))
        .collect();
    let attempts: HashMap<u32, _> = streams().map(|stream| (stream, scene.attempt())).collect();
    let drip: Vec<u8> = streams()
        .flat_map(|stream| frame(kind::DATA, 0, stream, b" "))
        .collect();
    let send = async {
        _ = writer.write_all(&heads).await;
        while drips && writer.write_all(&drip).await.is_ok() {
            sleep(DRIP).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = http2::hear(reader, attempts) => {}
        () = send => {}
    }
}
