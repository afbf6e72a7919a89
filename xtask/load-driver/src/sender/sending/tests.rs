use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::future::{pending, ready};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::Target;

/// A server that counts, and answers with the status of each request's path. It ends with the test.
#[derive(Clone, Default)]
struct Counting {
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
    clients: Arc<Mutex<BTreeSet<IpAddr>>>,
    /// What `/held` waits for.
    release: Arc<Notify>,
    tls: Option<Arc<ServerConfig>>,
}

impl Counting {
    /// Starts it, and returns the start of its URLs.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                server.connections.fetch_add(1, Ordering::SeqCst);
                server.clients.lock().insert(client.ip());
                let server = server.clone();
                tokio::spawn(async move {
                    match server.tls.clone() {
                        None => server.serve(stream).await,
                        Some(tls) => {
                            let stream = TlsAcceptor::from(tls).accept(stream).await;
                            server.serve(stream.expect("a handshake")).await;
                        }
                    }
                });
            }
        });
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request.uri().path()).await) }
        });
        let http = auto::Builder::new(TokioExecutor::new());
        // A client that leaves is no failure.
        _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let status: u16 = match path {
            "/held" => {
                self.release.notified().await;
                200
            }
            status => status.trim_start_matches('/').parse().expect("a status"),
        };
        let answer = Response::builder().status(status);
        answer.body("{}".into()).expect("an answer")
    }

    fn counted(&self) -> (u64, u64) {
        let connections = self.connections.load(Ordering::SeqCst);
        (connections, self.requests.load(Ordering::SeqCst))
    }
}

fn job(target: Target, requests: u64) -> Job {
    Job {
        stream: String::new(),
        target,
        at_once: 2,
        rate: Some(10_000),
        requests: Some(requests),
    }
}

#[tokio::test]
async fn each_request_is_sent_once_over_the_connections_that_there_are() {
    let server = Counting::default();
    let target = Target::get(&server.start().await, "/200");
    let measured = perform(&job(target.clone(), 100), pending()).await;
    let measured = measured.and_then(StreamResult::without_failures);
    assert_eq!(measured.expect("answered").requests, 100);
    assert_eq!(server.counted(), (2, 100));
    let unpaced = Job {
        rate: None,
        ..job(target, 100)
    };
    let measured = perform(&unpaced, pending()).await.expect("answered");
    assert_eq!((measured.requests, server.counted()), (100, (4, 200)));
}

#[tokio::test]
async fn a_target_that_closes_has_a_connection_for_each_request() {
    let server = Counting::default();
    let target = Target::get(&server.start().await, "/200").closing();
    let measured = perform(&job(target, 5), pending()).await;
    assert_eq!(measured.expect("answered").failed.len(), 0);
    assert_eq!(server.counted(), (5, 5));
}

#[tokio::test]
async fn an_answer_that_is_not_2xx_is_a_failure() {
    let server = Counting::default();
    let paths = ["/200", "/201", "/503"].map(str::to_owned);
    let target = Target::gets(&server.start().await, paths.into_iter());
    let measured = perform(&job(target, 9), pending()).await;
    let measured = measured.expect("answered");
    assert_eq!(measured.requests, 9);
    assert_eq!(measured.failed["503"], 3);
    assert!(measured.without_failures().is_err());
}

#[tokio::test]
async fn clients_with_addresses_of_their_own_send_in_turn() {
    let server = Counting::default();
    let clients = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let target = Target::get(&server.start().await, "/200").with_clients(&clients);
    let measured = perform(&job(target, 10), pending()).await;
    assert_eq!(measured.expect("answered").failed.len(), 0);
    assert_eq!(server.counted(), (2, 10));
    assert_eq!(
        *server.clients.lock(),
        BTreeSet::from(clients.map(IpAddr::V4))
    );
}

#[tokio::test]
async fn a_client_that_can_not_connect_is_a_failure() {
    let target =
        Target::get("http://127.0.0.1:1", "/200").with_clients(&[Ipv4Addr::new(127, 0, 0, 2)]);
    let measured = perform(&job(target, 3), pending()).await;
    let reason = "Connection refused (os error 111)".to_owned();
    let failed = measured.expect("measured").failed;
    assert_eq!(failed, BTreeMap::from([(reason, 3)]));
}

/// Does a job whose answers are held, and releases one at a time; meanwhile looks at how many requests are under way.
async fn under_way(target: Target, server: &Counting, at_once: u64, connections: u64) {
    let requests = 3 * at_once;
    let job = Job {
        at_once: u32::try_from(at_once).expect("few"),
        ..job(target, requests)
    };
    let sending = LocalSet::new();
    let done = sending.run_until(async {
        let measured = spawn_local(async move { perform(&job, pending()).await });
        for answered in 0..requests {
            // So many requests are under way, if as many are left, and all others wait.
            let sent = (answered + at_once).min(requests);
            while server.counted().1 < sent {
                yield_now().await;
            }
            assert_eq!(server.counted(), (connections, sent));
            server.release.notify_one();
        }
        measured.await.expect("no panic")
    });
    assert_eq!(done.await.expect("answered").requests, requests);
}

#[tokio::test]
async fn requests_wait_for_a_free_connection_and_are_sent_then() {
    let server = Counting::default();
    let target = Target::get(&server.start().await, "/held");
    under_way(target, &server, 2, 2).await;
}

#[tokio::test]
async fn over_http2_no_more_are_under_way_than_was_asked_for() {
    let server = Counting::default();
    let target = Target::get(&server.start().await, "/held").over_http2();
    under_way(target, &server, 10, 2).await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_is_timed_from_when_it_was_due() {
    let server = Counting::default();
    let job = Job {
        at_once: 1,
        ..job(Target::get(&server.start().await, "/held"), 2)
    };
    let waited = Duration::from_millis(50);
    let sending = LocalSet::new();
    let done = sending.run_until(async {
        let measured = spawn_local(async move { perform(&job, pending()).await });
        while server.counted().1 < 1 {
            yield_now().await;
        }
        // The second request is due this long after the first.
        sleep(after(1, 10_000) + waited).await;
        server.release.notify_one();
        while server.counted().1 < 2 {
            yield_now().await;
        }
        server.release.notify_one();
        measured.await.expect("no panic")
    });
    let measured = done.await.expect("answered");
    let waited_ms = waited.as_secs_f64() * 1000.0;
    assert!(measured.p50_ms >= waited_ms, "{measured:?}");
    // What a request waited for its connection is no delay of the generator's.
    let late_ms = measured.max_ms - waited_ms;
    assert!(measured.late_p99_ms <= late_ms, "{measured:?}");
}

#[tokio::test]
async fn what_was_due_before_the_stop_is_sent_and_timed() {
    let server = Counting::default();
    let endless = Job {
        at_once: 1,
        requests: None,
        ..job(Target::get(&server.start().await, "/held"), 0)
    };
    let release = server.release.clone();
    let stop = async {
        while server.counted().1 < 1 {
            yield_now().await;
        }
        sleep(after(10, 10_000)).await;
        tokio::spawn(async move {
            loop {
                release.notify_one();
                sleep(Duration::from_millis(1)).await;
            }
        });
    };
    let measured = perform(&endless, stop).await.expect("answered");
    assert!(measured.failed.is_empty(), "{measured:?}");
    assert!(measured.requests > 10, "{measured:?}");
    assert_eq!(measured.requests, server.counted().1);
    assert!(measured.requests_per_second < 10_000.0, "{measured:?}");
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_stop() {
    let server = Counting::default();
    let endless = Job {
        at_once: 64,
        rate: Some(1),
        requests: None,
        ..job(Target::get(&server.start().await, "/200"), 0)
    };
    let stop = async {
        while server.counted().1 < 1 {
            yield_now().await;
        }
    };
    let measured = perform(&endless, stop).await.expect("answered");
    assert!(measured.requests_per_second >= 0.5, "{measured:?}");
}

#[tokio::test]
async fn a_server_that_does_not_open_connections_does_not_delay_the_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = certificate(folder.path());
    // The kernel accepts for it, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("https://{}", silent.local_addr().expect("bound"));
    let job = job(Target::get(&base, "/200").with_certificate(file), 1);
    assert!(perform(&job, ready(())).await.is_err());
}

/// Makes a certificate for the server in this folder. Returns its file, and the TLS of a server that has it.
fn certificate(folder: &Path) -> (PathBuf, ServerConfig) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    let file = folder.join("certificate.pem");
    fs::write(&file, made.cert.pem()).expect("written");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    let mut tls = tls.expect("a configuration");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (file, tls)
}

#[tokio::test]
async fn requests_over_http2_share_a_connection_with_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, tls) = certificate(folder.path());
    let server = Counting {
        tls: Some(Arc::new(tls)),
        ..Counting::default()
    };
    let target = Target::get(&server.start().await, "/200").with_certificate(file);
    let measured = perform(&job(target.clone().over_http2(), 50), pending()).await;
    assert_eq!(measured.expect("answered").failed.len(), 0);
    assert_eq!(server.counted(), (1, 50));
    let measured = perform(&job(target, 50), pending()).await;
    assert_eq!(measured.expect("answered").failed.len(), 0);
    assert_eq!(server.counted(), (3, 100));
}
