//! HTTP/1.1 as raw bytes, so that attackers can send what no library would.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::scene::Scene;

/// Sends `bytes` on a new connection, and notes the answer.
pub(super) async fn ask(scene: &Scene, bytes: &[u8]) {
    let attempt = scene.attempt();
    let Ok(mut stream) = scene.connect().await else {
        return attempt.told("closed");
    };
    if stream.write_all(bytes).await.is_err() {
        return attempt.told("closed");
    }
    attempt.told(&status(&mut stream).await);
}

/// Sends `begin`, and then `drop` again and again until an answer or the end of the connection comes.
pub(super) async fn dribble(scene: &Scene, begin: &[u8], drop: &[u8], every: Duration) {
    let attempt = scene.attempt();
    let Ok(stream) = scene.connect().await else {
        return attempt.told("closed");
    };
    let (mut reader, mut writer) = stream.into_split();
    let dribble = async {
        _ = writer.write_all(begin).await;
        while writer.write_all(drop).await.is_ok() {
            sleep(every).await;
        }
        std::future::pending::<String>().await
    };
    let heard = tokio::select! {
        heard = status(&mut reader) => heard,
        never = dribble => never,
    };
    attempt.told(&heard);
}

/// The status of the next answer, or that there is none. Reads nothing after the status.
pub(super) async fn status(stream: &mut (impl AsyncRead + Unpin)) -> String {
    // The length of `HTTP/1.1 200`.
    let mut line = [0; 12];
    match stream.read_exact(&mut line).await {
        Ok(_) => String::from_utf8_lossy(&line[9..]).into_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// The status of the answer that follows `100 Continue`.
pub(super) async fn after_continue(stream: &mut TcpStream) -> String {
    let mut rest = [0; REST_OF_CONTINUE.len()];
    match stream.read_exact(&mut rest).await {
        Ok(_) if rest == REST_OF_CONTINUE => status(stream).await,
        _ => "closed".to_owned(),
    }
}

/// The bytes after the status of `HTTP/1.1 100 Continue`, which has no fields.
const REST_OF_CONTINUE: [u8; 13] = *b" Continue\r\n\r\n";
