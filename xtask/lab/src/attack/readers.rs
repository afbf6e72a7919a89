//! Clients that request large answers and read little of them.

use std::collections::HashMap;
use std::time::Duration;

use testbed::http2::{frame, kind, request_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::http2;
use super::scene::Scene;

const OVERVIEW: &str = "/stocks/reports/overview-stocks";

/// How many bytes a slow reader reads at a time, and how often.
const GULP: usize = 16 * 1024;
const EVERY: Duration = Duration::from_millis(100);

/// The largest window of a stream (RFC 9113, section 6.9.1).
const MOST: u32 = (1 << 31) - 1;

/// S8: reads the overview slowly.
pub(super) async fn slow(scene: &Scene) {
    let attempt = scene.attempt();
    let Ok(mut stream) = scene.connect().await else {
        return attempt.told("closed");
    };
    let request =
        format!("GET {OVERVIEW} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
    _ = stream.write_all(request.as_bytes()).await;
    let mut gulp = vec![0; GULP];
    let mut status = None;
    loop {
        match stream.read(&mut gulp).await {
            Ok(0) => break,
            Ok(length) => {
                status.get_or_insert_with(|| {
                    String::from_utf8_lossy(gulp[..length].get(9..12).unwrap_or_default())
                        .into_owned()
                });
            }
            Err(_) => return attempt.told("cut off"),
        }
        sleep(EVERY).await;
    }
    attempt.told(status.as_deref().unwrap_or("closed"));
}

/// HTTP/2 with the largest windows, on a connection that is never read.
pub(super) async fn windows(scene: &Scene) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[(4, MOST)]).await else {
        return scene.attempt().told("closed");
    };
    let overview = request_for("GET", OVERVIEW, &[]);
    let streams = || (0..10).map(|number| 2 * number + 1);
    let heads: Vec<u8> = streams()
        .flat_map(|stream| http2::whole(stream, &overview))
        .collect();
    _ = writer.write_all(&heads).await;
    let attempts: HashMap<u32, _> = streams().map(|stream| (stream, scene.attempt())).collect();
    // Writing shows when the server has closed the connection.
    let ping = frame(kind::PING, 0, 0, &[0; 8]);
    while writer.write_all(&ping).await.is_ok() {
        sleep(EVERY).await;
    }
    drop(reader);
    for attempt in attempts.into_values() {
        attempt.told("cut off");
    }
}
