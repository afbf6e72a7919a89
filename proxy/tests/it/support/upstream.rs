//! An upstream that does what a test wants: answers, hangs, closes, delays, and remembers what reached it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::wire::{self, Kind, Message, ReadResult};

/// What an upstream does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// 200, and as JSON what it got.
    Echo,
    /// This status, with headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// These bytes; the connection is kept.
    Bytes(Bytes),
    /// These bytes, and the end of the connection.
    BytesThenClose(Vec<u8>),
    /// The other reply, once the test has given a permit.
    Held(Arc<Semaphore>, Box<Reply>),
    /// The other reply, later.
    Later(Duration, Box<Reply>),
    /// [`Reply::Echo`], then the connection is closed without a word about it, after a moment.
    EchoThenClose(Duration),
    /// Nothing, and the connection stays.
    Silence,
    /// The end of the connection.
    Close,
    /// The same, by a reset.
    Reset,
}

impl Reply {
    /// This reply once the test has given a permit, and the gate that takes permits.
    pub(crate) fn held(self) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (Self::Held(gate.clone(), Box::new(self)), gate)
    }
}

type Behaviour = dyn Fn(&Message) -> Reply + Send + Sync;

/// One upstream. Its tasks end when it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<UpstreamState>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Its port while it is stopped.
    kept: Mutex<Option<TcpSocket>>,
}

struct UpstreamState {
    behaviour: Mutex<Arc<Behaviour>>,
    /// Written by the connections: whole requests, in the order they arrived.
    requests: Mutex<Vec<Message>>,
    /// Written by the connections: what could not be read as a request.
    wrong: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    address: SocketAddr,
}

impl Upstream {
    /// One that echoes.
    pub(crate) async fn start() -> Self {
        Self::with(|_| Reply::Echo).await
    }

    /// One that closes each connection at its first request.
    pub(crate) async fn closing() -> Self {
        Self::with(|_| Reply::Close).await
    }

    pub(crate) async fn with(
        behaviour: impl Fn(&Message) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, behaviour)
    }

    /// One that echoes, but holds requests for `target` until the gate has a permit for each.
    pub(crate) async fn holding(target: &'static str) -> (Self, Arc<Semaphore>) {
        let (held, gate) = Reply::Echo.held();
        let upstream = Self::with(move |request| {
            if request.target() == target {
                held.clone()
            } else {
                Reply::Echo
            }
        });
        (upstream.await, gate)
    }

    /// One that echoes, at this address if it is free.
    pub(crate) async fn at(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::on(TcpListener::bind(address).await?, |_| Reply::Echo))
    }

    fn on(
        listener: TcpListener,
        behaviour: impl Fn(&Message) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(UpstreamState {
            behaviour: Mutex::new(Arc::new(behaviour)),
            requests: Mutex::default(),
            wrong: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            tasks: Mutex::default(),
            address,
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            accepting: Mutex::new(Some(accepting)),
            kept: Mutex::default(),
        }
    }

    /// From now on, requests are treated so.
    pub(crate) fn behave(&self, behaviour: impl Fn(&Message) -> Reply + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// From now on, requests are echoed, each once the gate has a permit for it.
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let (held, gate) = Reply::Echo.held();
        self.behave(move |_| held.clone());
        gate
    }

    /// Whole requests so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// How many requests so far had this target.
    pub(crate) fn count_of(&self, target: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|r| r.target() == target).count()
    }

    /// What could not be read as a request.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.shared.wrong.lock().unwrap().clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Refuses connections and drops those it has, as a process that died.
    pub(crate) async fn stop(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        let Some(accepting) = accepting else { return };
        accepting.abort();
        _ = accepting.await;
        *self.kept.lock().unwrap() = Some(keep_port(self.address).await);
        let tasks: Vec<_> = self.shared.tasks.lock().unwrap().drain(..).collect();
        for task in tasks {
            task.abort();
            _ = task.await;
        }
    }

    /// Listens again, on the same port.
    pub(crate) async fn start_again(&self) {
        let kept = self.kept.lock().unwrap().take();
        let socket = kept.expect("it was stopped");
        // Of connections that it had before, the kernel still knows the port.
        socket.set_reuseaddr(true).unwrap();
        let listener = socket.listen(1024).unwrap();
        let accepting = tokio::spawn(accept(listener, self.shared.clone()));
        *self.accepting.lock().unwrap() = Some(accepting);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        for task in self.shared.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<UpstreamState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let open = ConnectionGuard(shared.clone());
        let task = tokio::spawn(async move {
            // Whatever ends a connection, the next test step looks at what arrived.
            _ = serve(stream, &open.0).await;
            drop(open);
        });
        let mut tasks = shared.tasks.lock().unwrap();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }
}

struct ConnectionGuard(Arc<UpstreamState>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, shared: &UpstreamState) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        match wire::read(&bytes, Kind::Request, false) {
            ReadResult::Message(message, length) => {
                bytes.drain(..length);
                let behaviour = shared.behaviour.lock().unwrap().clone();
                let reply = behaviour(&message);
                shared.requests.lock().unwrap().push(message.clone());
                if !respond(&mut stream, &message, reply, shared).await? {
                    return Ok(());
                }
            }
            ReadResult::Partial => {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
            ReadResult::Wrong(why) => {
                let said = format!("{why} in {:?}", bytes.escape_ascii().to_string());
                shared.wrong.lock().unwrap().push(said);
                return Ok(());
            }
        }
    }
}

/// Whether the connection goes on.
async fn respond(
    stream: &mut TcpStream,
    request: &Message,
    mut reply: Reply,
    shared: &UpstreamState,
) -> std::io::Result<bool> {
    loop {
        reply = match reply {
            Reply::Held(permits, then) => {
                permits.acquire().await.unwrap().forget();
                *then
            }
            Reply::Later(delay, then) => {
                tokio::time::sleep(delay).await;
                *then
            }
            _ => break,
        }
    }
    match reply {
        Reply::Echo => stream.write_all(&echo(request, shared)).await?,
        Reply::EchoThenClose(moment) => {
            stream.write_all(&echo(request, shared)).await?;
            tokio::time::sleep(moment).await;
            return Ok(false);
        }
        Reply::Answer(status, headers, body) => {
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let head = format!(
                "HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
        }
        Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
        Reply::BytesThenClose(bytes) => {
            stream.write_all(&bytes).await?;
            return Ok(false);
        }
        Reply::Close => return Ok(false),
        Reply::Reset => {
            stream.set_zero_linger()?;
            return Ok(false);
        }
        // Until the proxy closes: what it still sends is of no interest.
        Reply::Silence => {
            let mut rest = Vec::new();
            while stream.read_buf(&mut rest).await? > 0 {
                rest.clear();
            }
            return Ok(false);
        }
        Reply::Held(..) | Reply::Later(..) => unreachable!("unwrapped above"),
    }
    Ok(true)
}

fn echo(request: &Message, shared: &UpstreamState) -> Vec<u8> {
    let body = json!({
        "upstream": shared.address.to_string(),
        "method": request.method(),
        "target": request.target(),
        "headers": request.headers,
        "body": String::from_utf8_lossy(&request.body),
    })
    .to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let body = if request.method() == "HEAD" {
        ""
    } else {
        &body
    };
    [head.as_bytes(), body.as_bytes()].concat()
}

/// A socket that has the port, so that no other test gets it, and refuses connections, as it does not listen.
async fn keep_port(address: SocketAddr) -> TcpSocket {
    super::eventually_some("the port is free again", async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).ok()?;
        // It was needed beside connections that the kernel still knows; now nobody is to share the port.
        socket.set_reuseaddr(false).unwrap();
        Some(socket)
    })
    .await
}

/// An address that takes a connection only as far as the kernel's queue, which is full: connecting to it never ends.
pub(crate) struct Unreachable {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<JoinHandle<()>>,
}

impl Unreachable {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = (0..4)
            .map(|_| {
                tokio::spawn(async move {
                    let stream = TcpStream::connect(address).await;
                    std::future::pending::<()>().await;
                    drop(stream);
                })
            })
            .collect();
        // The queue is full when a connection attempt is left waiting.
        super::eventually("the queue is full", async || {
            let attempt = TcpStream::connect(address);
            tokio::time::timeout(Duration::from_millis(200), attempt)
                .await
                .is_err()
        })
        .await;
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

impl Drop for Unreachable {
    fn drop(&mut self) {
        for task in self._queued.drain(..) {
            task.abort();
        }
    }
}
