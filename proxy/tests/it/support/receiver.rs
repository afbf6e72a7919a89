//! A receiver of traces, over HTTP and over gRPC: what it is sent is read with the protocol's own crate.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A span, and the program that sent it.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedSpan {
    pub(crate) service: String,
    pub(crate) span: Span,
}

/// A receiver that keeps what it gets, or refuses it, or makes its senders wait.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Inner {
    spans: Mutex<Vec<ReceivedSpan>>,
    headers: Mutex<Vec<HeaderMap>>,
    refuses: AtomicBool,
    is_held: watch::Sender<bool>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner::default());
        let mut task = JoinSet::new();
        task.spawn(serve(listener, inner.clone()));
        Self {
            address,
            inner,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes nothing from here on.
    pub(crate) fn refuse(&self) {
        self.inner.refuses.store(true, Ordering::Relaxed);
    }

    /// Answers nobody from here on, until it is [let go](Self::let_go).
    pub(crate) fn hold(&self) {
        self.inner.is_held.send_replace(true);
    }

    /// Takes what it was sent while it was held, and all that comes.
    pub(crate) fn let_go(&self) {
        self.inner.is_held.send_replace(false);
    }

    /// The spans of this trace, which is given in hexadecimal.
    pub(crate) fn spans_of(&self, trace: &str) -> Vec<ReceivedSpan> {
        let spans = self.inner.spans.lock();
        let of_trace = |received: &&ReceivedSpan| hex(&received.span.trace_id) == trace;
        spans.iter().filter(of_trace).cloned().collect()
    }

    /// All spans.
    pub(crate) fn spans(&self) -> Vec<ReceivedSpan> {
        self.inner.spans.lock().clone()
    }

    /// The headers of each request.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.inner.headers.lock().clone()
    }
}

impl ReceivedSpan {
    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// Whether it says that its trace is in the sample.
    pub(crate) fn is_sampled(&self) -> bool {
        self.span.flags & 1 == 1
    }

    /// The attribute of this name as text.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        text(&self.span.attributes, name)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let inner = inner.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let inner = inner.clone();
                async move { Ok::<_, Infallible>(inner.take(request).await) }
            });
            let http = auto::Builder::new(TokioExecutor::new());
            _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Inner {
    async fn take(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let kind = head.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let is_gzip = head
            .headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding == "gzip");
        self.headers.lock().push(head.headers);
        let mut held = self.is_held.subscribe();
        _ = held.wait_for(|is_held| !is_held).await;
        let is_grpc = kind.starts_with("application/grpc");
        let refuses = self.refuses.load(Ordering::Relaxed);
        if !refuses {
            let message = match is_grpc {
                // One message, after a byte that says whether it is compressed, and four of its length.
                true if body[0] == 1 => unzipped(&body[5..]),
                true => body.slice(5..),
                false => {
                    assert_eq!(kind, "application/x-protobuf");
                    assert_eq!(head.uri.path(), "/v1/traces");
                    if is_gzip { unzipped(&body) } else { body }
                }
            };
            self.keep(ExportTraceServiceRequest::decode(message).unwrap());
        }
        match (is_grpc, refuses) {
            (true, refuses) => over_grpc(if refuses { "7" } else { "0" }),
            (false, false) => Response::new(Empty::new().boxed()),
            (false, true) => {
                let mut answer = Response::new(Empty::new().boxed());
                *answer.status_mut() = StatusCode::FORBIDDEN;
                answer
            }
        }
    }

    fn keep(&self, request: ExportTraceServiceRequest) {
        let mut spans = self.spans.lock();
        for of_resource in request.resource_spans {
            let attributes = of_resource.resource.unwrap().attributes;
            let service = text(&attributes, "service.name").unwrap();
            let found = of_resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            spans.extend(found.map(|span| ReceivedSpan {
                service: service.clone(),
                span,
            }));
        }
    }
}

fn unzipped(bytes: &[u8]) -> Bytes {
    let mut read = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut read).unwrap();
    read.into()
}

/// An empty message, and how it went.
fn over_grpc(status: &'static str) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let frames = [
        Ok(Frame::data(Bytes::from_static(&[0; 5]))),
        Ok(Frame::trailers(trailers)),
    ];
    let mut answer = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed());
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let Some(AnyValue { value: Some(value) }) = &found.value else {
        return None;
    };
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(is_so) => is_so.to_string(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}
