//! An attacker's view: the addresses that it knows, and the answers that it gets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::AttackTarget;
use super::rig::Rig;

/// The attackers' address.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// The wait after an attempt that ends at once: shorter waits would only test how fast the attacker is.
const PAUSE: Duration = Duration::from_millis(20);

/// The answer noted for an attempt that has not ended.
pub(super) const NOTHING: &str = "nothing yet";

/// How often each answer came.
pub(super) type AnswerCounts = BTreeMap<String, u64>;

/// Makes one attempt.
pub(super) type MakeAttempt = fn(&Scene) -> BoxFuture<'_, ()>;

/// The target of one attack, and the answers so far.
pub(super) struct Scene {
    pub(super) way: AttackTarget,
    /// The server under attack.
    pub(super) victim: SocketAddr,
    /// The server's admin listener.
    pub(super) admin: SocketAddr,
    pub(super) mysql_url: String,
    pub(super) redis_url: String,
    client: Client,
    told: Mutex<AnswerCounts>,
}

/// One attempt. If it is dropped before it has ended, it counts as [`NOTHING`].
pub(super) struct Attempt<'a> {
    scene: &'a Scene,
    is_over: bool,
}

impl Scene {
    pub(super) fn new(rig: &Rig, way: AttackTarget) -> Result<Arc<Self>> {
        let address = |url: String| {
            let address = url.replace("http://", "").parse();
            address.with_context(|| format!("the address in {url}"))
        };
        let client = Client::builder().local_address(IpAddr::V4(ATTACKER));
        let addresses = rig.store.addresses();
        Ok(Arc::new(Self {
            way,
            victim: address(rig.url(way))?,
            admin: address(rig.admin_url(way))?,
            mysql_url: addresses.mysql_url().to_owned(),
            redis_url: addresses.redis_url().to_owned(),
            client: client.no_proxy().build().context("making a client")?,
            told: Mutex::default(),
        }))
    }

    /// Opens a new connection to the server.
    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        self.connect_to(self.victim).await
    }

    pub(super) async fn connect_to(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((ATTACKER, 0).into())?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// An ordinary request, by an HTTP library.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.victim);
        self.client.request(method, url)
    }

    /// Sends an ordinary request and notes the answer: its status, and for a 200 also whether its body contains a
    /// refusal.
    pub(super) async fn ask(&self, request: RequestBuilder) {
        let attempt = self.attempt();
        let answer = async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.text().await?))
        };
        match answer.await {
            Ok((status, text)) if status == 200 => attempt.told(meaning(&text)),
            Ok((status, _)) => attempt.told(status.as_str()),
            Err(_) => attempt.told("closed"),
        }
    }

    pub(super) fn attempt(&self) -> Attempt<'_> {
        Attempt {
            scene: self,
            is_over: false,
        }
    }

    /// Runs `count` attackers, each of which makes one attempt after the other, without end.
    pub(super) async fn crowd(self: Arc<Self>, count: usize, attempt: MakeAttempt) {
        let mut crowd = JoinSet::new();
        for _ in 0..count {
            let scene = self.clone();
            crowd.spawn(async move {
                loop {
                    attempt(&scene).await;
                    sleep(PAUSE).await;
                }
            });
        }
        // No attacker ends by itself.
        while crowd.join_next().await.is_some() {}
    }

    /// The answers so far.
    pub(super) fn told(&self) -> AnswerCounts {
        self.told.lock().clone()
    }
}

impl Attempt<'_> {
    /// Ends the attempt with this answer.
    pub(super) fn told(mut self, what: &str) {
        self.count(what);
        self.is_over = true;
    }

    fn count(&self, what: &str) {
        let mut told = self.scene.told.lock();
        *told.entry(what.to_owned()).or_default() += 1;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.count(NOTHING);
        }
    }
}

/// The meaning of an answer of 200: its body may contain GraphQL errors, or the errors of a component that was refused
/// something.
fn meaning(text: &str) -> &'static str {
    let has_errors = serde_json::from_str(text).is_ok_and(|body: Value| body["errors"].is_array());
    if has_errors {
        "200 with errors"
    } else if text.lines().any(|line| line.starts_with("error: ")) {
        "200, refused within"
    } else {
        "200"
    }
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn an_answer_of_200_may_refuse() {
        for (text, expected) in [
            (
                r#"{"data":null,"errors":[{"message":"m"}]}"#,
                "200 with errors",
            ),
            (r#"{"data":{},"errors":null}"#, "200"),
            ("ok\nerror: BLPOP is not allowed\n", "200, refused within"),
            ("ok\n7\n", "200"),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
    }
}
