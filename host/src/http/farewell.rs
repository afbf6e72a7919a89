//! Refusals for connections over a client's share: the client gets an answer that says so, and its connection is
//! closed. The number of connections that wait for this is limited.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::WasiBody;

use super::downstream::{Downstream, Times};
use super::refusals::Refusals;
use super::{hyper_settings, received};
use crate::message::{Problem, RequestId};

/// The number of connections that are refused with an answer at once; each may take some seconds. More are closed
/// without an answer.
const MOST: usize = 256;

/// How long one refusal may take in all: the client sends a request and reads the answer.
const LIMIT: Duration = Duration::from_secs(5);

const PROBLEM: Problem = Problem::ClientConnections;

/// The refused connections that are not closed yet.
pub(crate) struct Farewells {
    places: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    stopped: CancellationToken,
}

impl Farewells {
    /// Once `stopped` is cancelled, refused connections no longer wait for a request.
    pub(crate) fn new(refusals: Arc<Refusals>, stopped: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            refusals,
            stopped,
        }
    }

    /// Answers the first requests on a connection with [`PROBLEM`], then closes it. Holds `watcher` until then.
    pub(crate) fn begin(&self, stream: TcpStream, client: IpAddr, watcher: Watcher) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return self.refusals.connection(PROBLEM.reason(), client);
        };
        let (refusals, stopped) = (self.refusals.clone(), self.stopped.clone());
        tokio::spawn(async move {
            turn_away(stream, client, refusals, stopped).await;
            drop((place, watcher));
        });
    }
}

async fn turn_away(
    stream: TcpStream,
    client: IpAddr,
    refusals: Arc<Refusals>,
    stopped: CancellationToken,
) {
    let asked = CancellationToken::new();
    let service = service_fn({
        let (refusals, asked) = (refusals.clone(), asked.clone());
        move |request: Request<Incoming>| {
            let refusals = refusals.clone();
            asked.cancel();
            async move { Ok::<_, Infallible>(refuse(&refusals, client, request).await) }
        }
    });
    let times = Times {
        receive: LIMIT,
        send: LIMIT,
    };
    let stream = Downstream::new(stream, client, refusals.clone(), times, Arc::default());
    let connection = hyper_settings::http()
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let mut connection = pin!(connection);
    let answered = async {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = asked.cancelled() => {}
            () = stopped.cancelled() => {}
        }
        // Over HTTP/2, this sends the GOAWAY that tells the client to send no more requests on this connection.
        connection.as_mut().graceful_shutdown();
        _ = connection.as_mut().await;
    };
    // After the answer or after the limit, the connection is closed.
    _ = timeout(LIMIT, answered).await;
    if !asked.is_cancelled() {
        // The client sent no request that could be answered. The refusal counts nevertheless.
        refusals.connection(PROBLEM.reason(), client);
    }
}

/// Answers a request with [`PROBLEM`].
async fn refuse(
    refusals: &Refusals,
    client: IpAddr,
    request: Request<Incoming>,
) -> Response<WasiBody> {
    let request_id = RequestId::of(request.headers());
    refusals.request(PROBLEM, request_id.as_str(), client, None);
    let is_http_2 = request.version() == Version::HTTP_2;
    let (head, body) = request.into_parts();
    received::refuse(&head.headers, body).await;
    let mut response = PROBLEM.response(request_id.as_str());
    let headers = response.headers_mut();
    request_id.put(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // HTTP/2 has no `Connection` header.
    if !is_http_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
