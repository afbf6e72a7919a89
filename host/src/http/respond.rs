//! The way of one request through the host.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Request, Response, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use store_server::trace::{Kind, Span, Trace, http_version, known_method, method_in_name};
use wasmtime_wasi_http::WasiBody;

use super::attempt::Attempt;
use super::body::{GatheredBody, UnstalledBody, gathered, is_small, unstalled};
use super::connection_use::ActiveRequest;
use super::mirror::Draft;
use super::observed::{GuestBody, Holdings, Observation, log_broken};
use super::ready;
use super::received;
use super::received::{Limits, ReceivedBody};
use super::server::Server;
use crate::app::{Choice, Target};
use crate::clients::{Client, Share};
use crate::instance::{Context, RequestOwner, RequestPlace};
use crate::message::{Problem, RequestId, head};

/// The store-proxy sends this header when no client has asked for exactly this: it refreshes its cache before a client
/// asks, or sends GET where a client sent HEAD. Such a request does not count as a client's call.
const CACHE_FILL: HeaderName = HeaderName::from_static("store-cache-fill");

/// The header `CDN-Cache-Control` (RFC 9213), which only the store's own caches obey.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) client: Arc<Client>,
    /// Whether the peer is a trusted proxy, which names the client that it sends for.
    pub(crate) is_trusted: bool,
}

/// Answers one request. Counts and logs a refusal.
pub(crate) async fn respond(
    server: &Server,
    peer: &Peer,
    request: Request<Incoming>,
    in_use: ActiveRequest,
) -> Response<WasiBody> {
    let request_id = RequestId::of(request.headers());
    let mut root = root(server, peer, &request, &in_use);
    let ids = root.ids();
    let behind = peer
        .is_trusted
        .then(|| server.clients.behind(request.headers()))
        .flatten();
    let client = behind.as_ref().unwrap_or(&peer.client);
    let mut response = match route(server, client, request, &request_id, &mut root, in_use).await {
        Ok(response) => response,
        Err((problem, observed)) => {
            let refusals = &server.refusals;
            refusals.request(problem, request_id.as_str(), client.address(), ids);
            let response = problem.response(request_id.as_str());
            match observed {
                Some(observed) => observed.follow(response, None),
                None => {
                    root.answer(response.status().as_u16());
                    response
                }
            }
        }
    };
    let headers = response.headers_mut();
    request_id.put(headers);
    server.tracing.put_answer_line(ids, headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The root span of the request's trace.
fn root(server: &Server, peer: &Peer, request: &Request<Incoming>, in_use: &ActiveRequest) -> Span {
    if !server.tracing.is_on() {
        return Span::default();
    }
    let (method, headers) = (request.method(), request.headers());
    let known = known_method(method);
    let name = method_in_name(known);
    let tracing = &server.tracing;
    let mut root = tracing.request(name, in_use.began, headers, peer.is_trusted);
    root.ask(known, method, "http", http_version(request.version()));
    root
}

/// A refusal, and the observation that counts it if the request's route is known.
type Failure = (Problem, Option<Observation>);

/// Answers `/readyz` and refusals for the host; passes any other request to its component.
async fn route(
    server: &Server,
    client: &Arc<Client>,
    mut request: Request<Incoming>,
    request_id: &RequestId,
    root: &mut Span,
    in_use: ActiveRequest,
) -> Result<Response<WasiBody>, Failure> {
    head::complete(&mut request).map_err(|problem| (problem, None))?;
    if ready::is_asked_by(&request) {
        let answer = ready::answer(&server.readiness).await;
        return answer.map_err(|problem| (problem, None));
    }
    // The `App` is let go at once: holding it would keep generations of other components alive.
    let found = server.live.load().target(request.uri().path());
    let (target, limit_bytes) = found.ok_or((Problem::NoRoute, None))?;
    let metrics = target.metrics.of(request.method());
    if !request.headers().contains_key(CACHE_FILL) {
        metrics.count_call();
    }
    let (id, root) = (request_id.clone(), std::mem::take(root));
    let observed = Observation::new(metrics.clone(), id, root, in_use);
    let trace = observed.trace();
    let receiving = match request.body().is_end_stream() {
        true => Span::default(),
        false => trace.span("receive the body", Kind::Internal),
    };
    let whole = match receive(server, client, request, limit_bytes).await {
        Ok(whole) => whole,
        Err(problem) => return Err((problem, Some(observed))),
    };
    drop(receiving);
    let asked = GuestRequest {
        whole,
        request_id,
        trace,
    };
    match answer(server, client, asked, &target).await {
        Ok((Answer::Small(body), share)) => Ok(observed.follow(body, share)),
        Ok((Answer::Gathered(body), share)) => Ok(observed.follow(body, share)),
        Ok((Answer::Long(body), share)) => Ok(observed.follow(body, share)),
        Err(problem) => Err((problem, Some(observed))),
    }
}

/// A request with its complete body, if it has one.
struct WholeRequest {
    head: request::Parts,
    body: Option<ReceivedBody>,
}

async fn receive(
    server: &Server,
    client: &Arc<Client>,
    request: Request<Incoming>,
    limit_bytes: u64,
) -> Result<WholeRequest, Problem> {
    let (mut head, incoming) = request.into_parts();
    if incoming.is_end_stream() {
        return Ok(WholeRequest { head, body: None });
    }
    let Some(_arriving) = client.arriving() else {
        received::refuse(&head.headers, incoming).await;
        return Err(Problem::ClientBusy);
    };
    let limits = Limits {
        bytes: limit_bytes,
        time: server.receive_timeout,
    };
    let body = received::receive(&mut head.headers, incoming, limits, client).await?;
    let body = Some(body);
    Ok(WholeRequest { head, body })
}

/// A request for a component.
struct GuestRequest<'a> {
    whole: WholeRequest,
    request_id: &'a RequestId,
    trace: &'a Trace,
}

/// A component's answer, in one of the three forms in which it is sent on.
enum Answer {
    Small(Response<GuestBody>),
    Gathered(Response<GatheredBody>),
    Long(Response<UnstalledBody>),
}

/// Takes a place of the client's share and asks the component. A long answer is sent so that a slow reader can't hold
/// the component.
async fn answer(
    server: &Server,
    client: &Arc<Client>,
    asked: GuestRequest<'_>,
    target: &Target,
) -> Result<(Answer, Option<Arc<Share>>), Problem> {
    let version = asked.whole.head.version;
    let (request_id, ids) = (asked.request_id, asked.trace.ids());
    // The version is picked only now, so that a slow body does not keep an old version alive.
    let whole = &asked.whole;
    let picked = server
        .live
        .load()
        .pick(target, &whole.head, whole.body.is_some());
    let mut picked = picked.ok_or(Problem::NoRoute)?;
    let share = client.request().map(Arc::new);
    // Health checks are answered even if the client's share is used up. Otherwise the checker would take this host for
    // sick.
    if share.is_none() && !is_health_check(&picked.generation.context, &asked.whole.head) {
        return Err(Problem::ClientBusy);
    }
    let is_personal = picked.is_personal;
    let draft = picked.original.take().map(|original| {
        let head = &asked.whole.head;
        Draft::new(original, head, target.metrics.of(&head.method).route())
    });
    let (mut response, held) = dispatch(picked, asked, share.clone()).await?;
    let tap = draft.map(|draft| Box::new(draft.answered(&response)));
    if is_personal {
        forbid_caching(&mut response);
    }
    let response = response.map(|body| GuestBody::new(body, held, tap));
    let answer = if !is_small(response.body()) {
        Answer::Long(response.map(|body| unstalled(body, server.send_timeout)))
    } else if version != Version::HTTP_2 {
        Answer::Small(response)
    } else {
        let (head, body) = response.into_parts();
        let body = gathered(body).await.map_err(|error| {
            log_broken(&target.component, request_id, ids, &error);
            Problem::ComponentFailed
        })?;
        Answer::Gathered(Response::from_parts(head, body))
    };
    Ok((answer, share))
}

fn is_health_check(context: &Context, head: &request::Parts) -> bool {
    context.probe.is_asked_by(&head.method, head.uri.path())
}

/// Keeps caches from storing an answer that was given while two generations serve: it is meant for one client only.
fn forbid_caching(response: &mut Response<WasiBody>) {
    let headers = response.headers_mut();
    for name in [CACHE_CONTROL, CDN_CACHE_CONTROL] {
        headers.insert(name, HeaderValue::from_static("no-store"));
    }
}

/// Takes a permit of the component, and asks the picked generation. If a canary fails a request that may be sent twice,
/// the stable generation answers it.
async fn dispatch(
    picked: Choice,
    asked: GuestRequest<'_>,
    share: Option<Arc<Share>>,
) -> Result<(Response<WasiBody>, Holdings), Problem> {
    let Choice {
        generation,
        tally,
        fallback,
        ..
    } = picked;
    let GuestRequest {
        whole: WholeRequest { head, body },
        request_id,
        trace,
    } = asked;
    let context = &generation.context;
    // Once a client has used up its share, it gets none of the ordinary permits, whatever it asks for.
    let usual = share.as_ref().map(|_| context.in_flight.clone());
    let usual = usual.and_then(|permits| permits.try_acquire_owned().ok());
    let is_urgent = usual.is_none() && is_health_check(context, &head);
    let permit = if is_urgent {
        context.health_checks.clone().try_acquire_owned().ok()
    } else {
        usual
    };
    let permit = permit.ok_or(Problem::Overloaded)?;
    let attempt = Attempt {
        place: Arc::new(RequestPlace {
            _permit: permit,
            owner: share.map_or(RequestOwner::Nobody, RequestOwner::Client),
        }),
        generation,
        tally,
        request_id: request_id.clone(),
        trace,
        is_urgent,
    };
    match fallback {
        Some((stable, tally)) => attempt.or_stable(head, body, stable, tally).await,
        None => attempt.make(head, body).await,
    }
}
