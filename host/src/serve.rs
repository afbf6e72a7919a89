//! The accept loop and one request's way through the host.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
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
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::app::App;
use crate::body::{Excess, LimitedBody, discard};
use crate::component::LoadedComponent;
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
    drain_timeout: Duration,
) {
    let connections = GracefulShutdown::new();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    server.http2().timer(TokioTimer::new());

    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, usually: connections that end give some back.
                tracing::warn!("Can't accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Without this a small answer can wait 40 ms for the acknowledgement of the one before.
        _ = stream.set_nodelay(true);
        let app = app.clone();
        let service = service_fn(move |request| {
            let app = app.clone();
            async move { Ok::<_, Infallible>(respond(&app, request).await) }
        });
        let connection = server
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("A connection ended early: {error}");
            }
        });
    }
    drop(listener);
    drain(connections, drain_timeout).await;
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
async fn respond(app: &App, request: Request<Incoming>) -> Response<WasiBody> {
    let request_id = request_id(&request);
    let mut response = match app.router.find(request.uri().path()) {
        Some(route) => {
            let component = &app.components[&route.component];
            let method = method_label(request.method());
            let observed = Observed::new(component, route.pattern.clone(), method);
            match dispatch(component, request, request_id.clone()).await {
                Ok((response, in_flight)) => observed.follow(response, Some(in_flight)),
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
) -> Result<(Response<WasiBody>, OwnedSemaphorePermit), Problem> {
    let limits = &component.context.limits;
    let permit = component
        .in_flight
        .clone()
        .try_acquire_owned()
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
    let handled = tokio::time::timeout(
        limits.request_timeout,
        component.handler.handle(request_id.clone(), request),
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
    } else if let Some(error) = error.downcast_ref::<InstantiationError<Arc<str>>>() {
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
        permit: Option<OwnedSemaphorePermit>,
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
    _permit: Option<OwnedSemaphorePermit>,
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
