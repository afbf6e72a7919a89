//! The accept loop and one request's way through the host.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::app::App;
use crate::body::{self, Excess, LimitedBody, discard};
use crate::component::LoadedComponent;
use crate::instance::Admitted;
use crate::metrics::{InUse, Metrics};
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id taken over from a client or a proxy.
const REQUEST_ID_LENGTH: usize = 128;

/// Longest wait for a request's headers: a client that sends them byte by byte holds a connection no longer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` resolves, then lets requests in flight finish for at most `drain_timeout`.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    limits: Connections,
) {
    let open = Arc::new(Semaphore::new(limits.most));
    let connections = GracefulShutdown::new();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT);

    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &open) => accepted,
        };
        // Without this a small answer can wait 40 ms for the acknowledgement of the one before.
        _ = stream.set_nodelay(true);
        let app = app.clone();
        let began = Arc::new(AtomicBool::new(false));
        let seen = began.clone();
        let service = service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            let app = app.clone();
            async move { Ok::<_, Infallible>(respond(&app, request, limits.send_timeout).await) }
        });
        let connection = server
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // A client may also send nothing at all, which no timer of the server's notices.
            let ended = match tokio::time::timeout(HEADER_TIMEOUT, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) if began.load(Ordering::Relaxed) => connection.await,
                Err(_) => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!("A connection ended early: {error}");
            }
            drop(permit);
        });
    }
    drop(listener);
    drain(connections, limits.drain_timeout).await;
}

/// Limits of the listener and its connections.
#[derive(Clone, Copy)]
pub(crate) struct Connections {
    /// Open at once.
    pub(crate) most: usize,
    /// How long a client may leave an answer unread.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take at the end.
    pub(crate) drain_timeout: Duration,
}

async fn accept(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Never closed, so there always is one in the end.
    let permit = open.clone().acquire_owned().await.ok();
    loop {
        if let Some(stream) = accepted_or_pause(listener.accept().await).await {
            return (stream, permit);
        }
    }
}

/// The connection, or a pause before the next try: out of file descriptors, usually, and connections that end give
/// some back.
pub(crate) async fn accepted_or_pause(
    accepted: std::io::Result<(TcpStream, SocketAddr)>,
) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            tracing::warn!("Can't accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn drain(connections: GracefulShutdown, limit: Duration) {
    let open = connections.count();
    tracing::info!(connections = open, "Draining");
    if tokio::time::timeout(limit, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("Requests still in flight after {limit:?} were cut off");
    }
}

/// Answers one request: finds its component, keeps to the limits, counts.
async fn respond(
    app: &App,
    request: Request<Incoming>,
    send_timeout: Duration,
) -> Response<WasiBody> {
    let request_id = request_id(&request);
    let mut response = match app.router.find(request.uri().path()) {
        Some(route) => {
            let component = &app.components[&route.component];
            let method = method_label(request.method());
            let observed = Observed::new(component, route.pattern.clone(), method);
            match dispatch(component, request, request_id.clone()).await {
                Ok((response, permit)) => {
                    let response = response.map(|body| body::unstalled(body, send_timeout));
                    observed.follow(response, Some(permit))
                }
                Err(problem) => observed.follow(problem.response(&request_id), None),
            }
        }
        None => Problem::NoRoute.response(&request_id),
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Takes over the id that a proxy gave, if it can stand in a log line, or makes one.
fn request_id(request: &Request<Incoming>) -> Arc<str> {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match given {
        Some(id)
            if !id.is_empty()
                && id.len() <= REQUEST_ID_LENGTH
                && id.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            id.into()
        }
        _ => Uuid::new_v4().hyphenated().to_string().into(),
    }
}

/// Anyone can invent methods, so only the usual ones become labels.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Hands the request to an instance.
async fn dispatch(
    component: &LoadedComponent,
    request: Request<Incoming>,
    request_id: Arc<str>,
) -> Result<(Response<WasiBody>, Arc<OwnedSemaphorePermit>), Problem> {
    let limits = &component.context.limits;
    let permit = component
        .in_flight
        .clone()
        .try_acquire_owned()
        .map(Arc::new)
        .map_err(|_| Problem::Overloaded)?;
    let too_large = Problem::BodyTooLarge {
        limit_bytes: limits.body_limit_bytes,
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_limit_bytes) {
        discard(request.into_body()).await;
        return Err(too_large);
    }
    let excess = Excess::default();
    let request = guest_request(
        request,
        &request_id,
        limits.body_limit_bytes,
        excess.clone(),
    );
    let admitted = Admitted {
        id: request_id.clone(),
        permit: permit.clone(),
    };
    let handled = tokio::time::timeout(
        limits.request_timeout,
        component.handler.handle(admitted, request),
    )
    .await;
    if let Some(body) = excess.take() {
        discard(body).await;
        return Err(too_large);
    }
    match handled {
        Ok(Ok(response)) => Ok((response, permit)),
        Ok(Err(error)) => Err(blame(component, &request_id, &error)),
        Err(_) => Err(Problem::TimedOut),
    }
}

fn guest_request(
    request: Request<Incoming>,
    request_id: &str,
    limit_bytes: u64,
    excess: Excess,
) -> Request<WasiBody> {
    let (mut head, body) = request.into_parts();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        head.headers.insert(REQUEST_ID, value);
    }
    let body = LimitedBody::new(body, limit_bytes, excess);
    Request::from_parts(head, body.boxed_unsync())
}

/// What a failed call means to the client. The cause is logged here, once.
fn blame(component: &LoadedComponent, request_id: &str, error: &wasmtime::Error) -> Problem {
    let id = &component.context.id;
    let (problem, cause) = if error.is::<ExpirationError>() {
        (Problem::TimedOut, None)
    } else if let Some(error) = error.downcast_ref::<InstantiationError<Admitted>>() {
        (
            Problem::Overloaded,
            Some(error.error.root_cause().to_string()),
        )
    } else {
        (
            Problem::ComponentFailed,
            Some(error.root_cause().to_string()),
        )
    };
    let cause = cause.unwrap_or_else(|| "the time limit of the request was reached".into());
    tracing::error!(
        component = id,
        request = request_id,
        "`{id}` gave no answer: {cause}"
    );
    problem
}

/// One request as the metrics see it: from its headers to the end of its answer, however that comes.
struct Observed {
    metrics: Arc<Metrics>,
    component: String,
    route: String,
    method: &'static str,
    started: Instant,
    /// The client left first, until an answer says otherwise. 499 is what nginx logs then.
    status: u16,
    _in_flight: InUse,
}

impl Observed {
    fn new(component: &LoadedComponent, route: String, method: &'static str) -> Self {
        let context = &component.context;
        context.metrics.enter_request(method, &route);
        Self {
            metrics: context.metrics.clone(),
            component: context.id.clone(),
            route,
            method,
            started: Instant::now(),
            status: 499,
            _in_flight: context.metrics.request_in_flight(&context.id),
        }
    }

    /// Ties itself and the in-flight permit to the answer's body.
    fn follow(
        mut self,
        response: Response<WasiBody>,
        permit: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Response<WasiBody> {
        self.status = response.status().as_u16();
        response.map(|body| {
            ObservedBody {
                body,
                _observed: self,
                _permit: permit,
            }
            .boxed_unsync()
        })
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.leave_request(
            &self.component,
            &self.route,
            self.method,
            self.status,
            seconds,
        );
    }
}

struct ObservedBody {
    body: WasiBody,
    _observed: Observed,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
