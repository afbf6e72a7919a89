//! A TCP relay between a host and a server, which can hold a command on its way, cut everything, or lead elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::eventually;

/// What the relay does with what clients send.
#[derive(Debug, Clone)]
struct RelayRules {
    /// Where connections lead; nowhere while cut.
    to: Option<String>,
    /// Held by each connection since the last cut.
    uncut: Arc<()>,
    /// Whatever contains this is held, and all that its client sends after it.
    hold: Option<Vec<u8>>,
}

/// A relay on a port of its own. Dropping it ends it.
pub(crate) struct Relay {
    address: String,
    course: watch::Sender<RelayRules>,
    holds: Arc<AtomicBool>,
    /// Bytes that came from the server.
    received: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay_address = listener.local_addr().unwrap().to_string();
        let (course, followed) = watch::channel(RelayRules {
            to: Some(address.to_owned()),
            uncut: Arc::default(),
            hold: None,
        });
        let holds = Arc::new(AtomicBool::new(false));
        let held = holds.clone();
        let received = Arc::new(AtomicU64::new(0));
        let counter = received.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let relay = relay(client, followed.clone(), held.clone(), counter.clone());
                tokio::spawn(relay);
            }
        });
        Self {
            address: relay_address,
            course,
            holds,
            received,
            task,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many bytes clients were sent so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// As [`Relay::lead`], and returns once the connections have ended.
    pub(crate) async fn lead_to(&self, to: &str) {
        self.lead(Some(to));
        self.cut().await;
    }

    /// Ends all connections, and leads new ones there, or refuses them.
    pub(crate) fn lead(&self, to: Option<&str>) {
        let to = to.map(str::to_owned);
        self.course.send_modify(|course| course.to = to);
    }

    /// Ends all connections, and returns once they have ended. New ones lead where these did.
    pub(crate) async fn cut(&self) {
        let mut before = Arc::default();
        self.course
            .send_modify(|course| std::mem::swap(&mut course.uncut, &mut before));
        eventually("all connections have ended", async || {
            Arc::strong_count(&before) == 1
        })
        .await;
    }

    /// Holds whatever contains `text` from now on.
    pub(crate) fn hold(&self, text: &str) {
        self.holds.store(false, Ordering::SeqCst);
        let hold = Some(text.as_bytes().to_vec());
        self.course.send_modify(|course| course.hold = hold);
    }

    /// Whether something is held, or was since [`hold`](Self::hold).
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }

    /// Lets all that is held go on.
    pub(crate) fn release(&self) {
        self.course.send_modify(|course| course.hold = None);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    client: TcpStream,
    mut course: watch::Receiver<RelayRules>,
    held: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
) {
    let RelayRules { to, uncut, .. } = course.borrow_and_update().clone();
    let Some(to) = to else { return };
    let Ok(mut server) = TcpStream::connect(&to).await else {
        return;
    };
    // Dropped before `uncut`, so that the connection has ended once nobody holds that.
    let mut client = client;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut changed = course.clone();
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let sent = &buffer[..length];
            let is_held = |course: &RelayRules| {
                let hold = course.hold.as_deref();
                hold.is_some_and(|hold| sent.windows(hold.len()).any(|part| part == hold))
            };
            if is_held(&course.borrow()) {
                held.store(true, Ordering::SeqCst);
                _ = course.wait_for(|course| !is_held(course)).await;
            }
            if to_server.write_all(sent).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            received.fetch_add(length as u64, Ordering::SeqCst);
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let is_ended = |course: &RelayRules| {
        course.to.as_ref() != Some(&to) || !Arc::ptr_eq(&course.uncut, &uncut)
    };
    let is_led_elsewhere = changed.wait_for(is_ended);
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = is_led_elsewhere => {}
    }
}
