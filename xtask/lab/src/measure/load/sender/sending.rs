//! Sends the requests of a job over its connections, and times each from when it was due.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::Job;
use super::connection::{Connection, Server, requests};
use super::schedule::{Schedule, after};
use crate::measure::load::stream_result::Tally;
use crate::measure::load::{STREAMS, StreamResult};

/// How long to wait for the last answers: longer than the servers' own limit.
const PATIENCE: Duration = Duration::from_secs(40);

/// Does the job, or ends it early when `stop` comes; then waits for the answers that are missing.
pub(super) async fn perform(job: &Job, stop: impl Future<Output = ()>) -> Result<StreamResult> {
    let server = Server::of(&job.target)?;
    let requests = requests(&job.target)?;
    ensure!(!requests.is_empty(), "there is nothing to send");
    let streams = if job.target.http2 { STREAMS } else { 1 };
    let mut connections = Vec::new();
    for _ in 0..job.at_once.div_ceil(streams) {
        connections.push(Connection::open(&server).await?);
    }
    let began = Instant::now();
    let schedule = Schedule::start(job.rate, job.requests).context("making a timer")?;
    let sending = Sending {
        requests,
        schedule: Mutex::new(schedule),
        stopped: Cell::new(false),
        under_way: Cell::new(0),
        tally: RefCell::new(Tally::default()),
    };
    let workers = connections
        .iter()
        .flat_map(|connection| (0..streams).map(move |_| connection))
        .map(|connection| sending.work(connection));
    let mut all = pin!(try_join_all(workers));
    tokio::select! {
        done = &mut all => drop(done?),
        () = over(job, stop) => {
            sending.stopped.set(true);
            if let Ok(done) = timeout(PATIENCE, &mut all).await {
                done?;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut tally = sending.tally.take();
    tally.fail("no answer", sending.under_way.get());
    if let Some(requests) = job.requests {
        let unsent = requests.saturating_sub(tally.requests());
        tally.fail("not sent in time", unsent);
    }
    Ok(tally.measured("", seconds))
}

/// Waits until the job must end: it is stopped, or should have ended long ago.
async fn over(job: &Job, stop: impl Future<Output = ()>) {
    match job.requests.zip(job.rate) {
        Some((requests, rate)) => tokio::select! {
            () = stop => {}
            () = sleep(after(requests, rate) + PATIENCE) => {}
        },
        None => stop.await,
    }
}

/// A job that is being done.
struct Sending {
    requests: Vec<Request<Full<Bytes>>>,
    /// Who has the lock waits until the next request is due. The others wait for the lock in turn, so that all
    /// connections are used; if none is free, the next one that is sends what is overdue at once.
    schedule: Mutex<Schedule>,
    stopped: Cell<bool>,
    /// The number of requests that were sent and not answered yet.
    under_way: Cell<u64>,
    tally: RefCell<Tally>,
}

impl Sending {
    /// Sends one request at a time over this connection. Fails if the clock does.
    async fn work(&self, connection: &Connection<'_>) -> Result<()> {
        loop {
            let free = Instant::now();
            let turn = self.schedule.lock().await.next().await;
            let Some(turn) = turn.context("waiting for the time")? else {
                return Ok(());
            };
            if self.stopped.get() {
                return Ok(());
            }
            let index = turn.number as usize % self.requests.len();
            let request = self.requests[index].clone();
            let late = Instant::now().saturating_duration_since(free.max(turn.due));
            self.under_way.update(|count| count + 1);
            let outcome = connection.exchange(request).await;
            let took = turn.due.elapsed();
            self.under_way.update(|count| count - 1);
            let mut tally = self.tally.borrow_mut();
            tally.sent_late(late);
            match outcome {
                Ok(()) => tally.answered(took),
                Err(error) => tally.fail(&error.root_cause().to_string(), 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use hyper::Response;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::task::{LocalSet, spawn_local, yield_now};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::measure::load::Target;

    /// A server that counts, and answers with the status of each request's path. It ends with the test.
    #[derive(Clone, Default)]
    struct Counting {
        connections: Arc<AtomicU64>,
        requests: Arc<AtomicU64>,
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
                while let Ok((stream, _)) = listener.accept().await {
                    server.connections.fetch_add(1, Ordering::SeqCst);
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
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["/200", "/201", "/503"].map(str::to_owned);
        let target = Target::gets(&server.start().await, &paths, folder.path(), "mixed");
        let measured = perform(&job(target.expect("written"), 9), pending()).await;
        let measured = measured.expect("answered");
        assert_eq!(measured.requests, 9);
        assert_eq!(measured.failed["503"], 3);
        assert!(measured.without_failures().is_err());
    }

    #[tokio::test]
    async fn requests_wait_for_a_free_connection_and_are_sent_then() {
        let server = Counting::default();
        let target = Target::get(&server.start().await, "/held");
        let sending = LocalSet::new();
        let job = job(target, 6);
        let done = sending.run_until(async {
            let measured = spawn_local(async move { perform(&job, pending()).await });
            for answered in 0..6 {
                // Two requests are under way, if as many are left, and all others wait.
                let sent = (answered + 2).min(6);
                while server.counted().1 < sent {
                    yield_now().await;
                }
                assert_eq!(server.counted(), (2, sent));
                server.release.notify_one();
            }
            measured.await.expect("no panic")
        });
        assert_eq!(done.await.expect("answered").requests, 6);
    }

    #[tokio::test]
    async fn what_is_stopped_waits_for_its_last_answers() {
        let server = Counting::default();
        let endless = Job {
            requests: None,
            ..job(Target::get(&server.start().await, "/held"), 0)
        };
        let stop = async {
            while server.counted().1 < 2 {
                yield_now().await;
            }
            server.release.notify_waiters();
        };
        let measured = perform(&endless, stop).await.expect("answered");
        assert!(measured.failed.is_empty(), "{measured:?}");
        assert_eq!(measured.requests, server.counted().1);
    }

    #[tokio::test]
    async fn requests_over_http2_share_a_connection_with_tls() {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("certificate.pem");
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
}
