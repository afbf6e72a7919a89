//! A server that answers as a test wants: what a real store seldom does.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The answer to a method and a path: a status and a JSON body.
pub(crate) type Answer = dyn Fn(&str) -> (u16, &'static str) + Send + Sync;

/// It ends with the test.
pub(crate) struct FakeStore {
    pub(crate) url: String,
    _server: JoinSet<()>,
}

impl FakeStore {
    pub(crate) async fn start(answer: Box<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Answer> = answer.into();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let answer = answer.clone();
                clients.spawn(async move {
                    // A client that leaves is no failure.
                    serve(client, answer).await;
                });
            }
        });
        Self {
            url,
            _server: server,
        }
    }
}

/// A store that answers every known route well.
pub(crate) fn healthy(request: &str) -> (u16, &'static str) {
    match request {
        "GET /health-check" => (200, r#"{"status":"ok"}"#),
        "POST /orders" => (201, r#"{"order_id":1}"#),
        "GET /orders/reports/highest-spenders" | "GET /orders/reports/best-sellers" => (200, "[]"),
        _ => (200, "{}"),
    }
}

async fn serve(client: TcpStream, answer: Arc<Answer>) -> Option<()> {
    let mut client = BufReader::new(client);
    loop {
        let mut line = String::new();
        let mut length = 0;
        let mut request = None;
        while client.read_line(&mut line).await.ok()? > 2 {
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            request.get_or_insert_with(|| line.trim_end().trim_end_matches(" HTTP/1.1").to_owned());
            line.clear();
        }
        client.read_exact(&mut vec![0; length]).await.ok()?;
        let (status, body) = answer(&request?);
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all((head + body).as_bytes()).await.ok()?;
    }
}
