//! Mirroring: once a client has its answer, the same request is sent to the version on trial, whose answer is compared
//! and thrown away. The client waits for none of it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty};
use store_server::trace::Trace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::app::{Comparison, Original};
use crate::instance::{Admission, Generation, RequestOwner, RequestPlace};
use crate::message::RequestId;
use crate::rollout::{Difference, Side};

/// Longest body that is compared. Of a longer answer, the status and the headers are.
const LONGEST_BODY: usize = 256 * 1024;

/// Sees the answer to a request as it passes. When it has passed whole, a copy of the request is sent. Of an answer, at most [`LONGEST_BODY`] is held.
pub(crate) struct Tap {
    /// None once it is sent.
    sending: Option<PendingCopy>,
    body: Body,
}

/// What is known of a body.
enum Body {
    /// So much has passed.
    Passing(BytesMut),
    /// Its end has passed.
    Whole(Bytes),
    /// It is longer than what is compared.
    Long,
    /// It broke off.
    Broken,
}

struct PendingCopy {
    original: Original,
    head: request::Parts,
    /// The route's pattern.
    route: Arc<str>,
    status: StatusCode,
    headers: HeaderMap,
}

/// A request that may have to be copied: what was asked, before anyone has answered.
pub(crate) struct Draft {
    original: Original,
    head: request::Parts,
    route: Arc<str>,
}

impl Draft {
    pub(crate) fn new(original: Original, head: &request::Parts, route: &Arc<str>) -> Self {
        Self {
            original,
            head: head.clone(),
            route: route.clone(),
        }
    }

    /// The tap, now that the head of the answer is there.
    pub(crate) fn answered(self, response: &Response<WasiBody>) -> Tap {
        Tap {
            sending: Some(PendingCopy {
                original: self.original,
                head: self.head,
                route: self.route,
                status: response.status(),
                headers: response.headers().clone(),
            }),
            body: Body::Passing(BytesMut::new()),
        }
    }
}

impl Tap {
    /// Takes note of the next frame of the answer, or of its end.
    pub(crate) fn see(&mut self, next: Option<&Result<Frame<Bytes>, Error>>) {
        let Body::Passing(passed) = &mut self.body else {
            if matches!(next, Some(Err(_))) {
                self.body = Body::Broken;
            }
            return;
        };
        match next {
            None => self.body = Body::Whole(std::mem::take(passed).freeze()),
            Some(Err(_)) => self.body = Body::Broken,
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
                if passed.len() + data.len() > LONGEST_BODY {
                    self.body = Body::Long;
                } else {
                    passed.extend_from_slice(data);
                }
            }
        }
    }
}

impl Drop for Tap {
    /// The answer has passed, or its client has left.
    fn drop(&mut self) {
        let Some(sending) = self.sending.take() else {
            return;
        };
        let body = std::mem::replace(&mut self.body, Body::Broken);
        let stable = sending.stable(body);
        if let Some(stable) = stable {
            let mirror = sending.original.mirror.clone();
            mirror.send(sending.send(stable));
        }
    }
}

impl PendingCopy {
    /// The original's answer; none if the client did not get the whole of it.
    fn stable(&self, body: Body) -> Option<Side> {
        let body = match body {
            // Whoever sends an answer of a known length looks no further than that; nobody looks for a body after HEAD.
            Body::Passing(_) if self.head.method == Method::HEAD => None,
            Body::Passing(passed) if self.length() == Some(passed.len()) => Some(passed.freeze()),
            Body::Passing(passed) if passed.is_empty() && self.has_no_body() => Some(Bytes::new()),
            Body::Whole(whole) => Some(whole),
            Body::Long => None,
            Body::Passing(_) | Body::Broken => return None,
        };
        Some(Side {
            status: self.status,
            headers: self.headers.clone(),
            body,
        })
    }

    fn length(&self) -> Option<usize> {
        let length = self.headers.get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    fn has_no_body(&self) -> bool {
        matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
    }

    async fn send(self, stable: Side) {
        let mirror = self.original.mirror.clone();
        let Ok(_turn) = mirror.senders.acquire().await else {
            return;
        };
        let method = self.head.method.clone();
        match self.ask().await {
            Ok(new) => match Difference::between(&stable, &new) {
                Some(difference) => mirror.keep(method.as_str(), &self.route, difference),
                None => mirror.count(Comparison::Same),
            },
            Err(comparison) => mirror.count(comparison),
        }
    }

    /// Asks the new version.
    async fn ask(&self) -> Result<Side, Comparison> {
        let generation = self.original.generation.upgrade();
        let generation = generation.ok_or(Comparison::Dropped)?;
        let permit = spare(&generation).ok_or(Comparison::Dropped)?;
        let _in_flight = generation.life.enter();
        let id = RequestId::made("mirror-");
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let mut request = Request::from_parts(self.head.clone(), body.boxed_unsync());
        id.put(request.headers_mut());
        let admitted = Admission {
            id,
            place: Some(Arc::new(RequestPlace {
                _permit: permit,
                owner: RequestOwner::Mirror,
            })),
            is_urgent: false,
            trace: Trace::off(),
        };
        let counted = self.original.tally.begin();
        let response = match generation.instances.handle(admitted, request).await {
            Ok((response, fate)) => {
                counted.answered(response.status());
                (response, fate)
            }
            // The host has no room, which is not the version's fault.
            Err(cause) if cause.is_shortage() => {
                counted.forget();
                return Err(Comparison::Dropped);
            }
            Err(cause) => {
                counted.answered(StatusCode::INTERNAL_SERVER_ERROR);
                let component = &generation.context.id;
                tracing::debug!(component, "A copy of a request got no answer: {cause}");
                return Err(Comparison::Failed);
            }
        };
        let (response, fate) = response;
        let (head, body) = response.into_parts();
        let body = match whole(body).await {
            Ok(body) if !fate.has_failed() => body,
            _ => {
                if !head.status.is_server_error() {
                    self.original.tally.broke();
                }
                return Err(Comparison::Failed);
            }
        };
        let is_head = self.head.method == Method::HEAD;
        Ok(Side {
            status: head.status,
            headers: head.headers,
            body: body.filter(|_| !is_head),
        })
    }
}

/// A permit of the component, if the host has instances enough.
fn spare(generation: &Generation) -> Option<OwnedSemaphorePermit> {
    let context = &generation.context;
    let is_short = generation.instances.are_short();
    (!is_short)
        .then(|| permit(&context.in_flight, context.limits.max_in_flight))
        .flatten()
}

/// One of `most` permits, if more than half of them are free, and one is left then: copies never take what clients may want.
fn permit(permits: &Arc<Semaphore>, most: u32) -> Option<OwnedSemaphorePermit> {
    let permit = permits.clone().try_acquire_owned().ok()?;
    // Looked at afterwards, when it counts for other copies.
    let left = permits.available_permits();
    (left > 0 && (left + 1) * 2 > most as usize).then_some(permit)
}

/// The body of an answer; none if it is too long to be compared.
async fn whole(mut body: WasiBody) -> Result<Option<Bytes>, Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        if read.len() + data.len() > LONGEST_BODY {
            return Ok(None);
        }
        read.extend_from_slice(data);
    }
    Ok(Some(read.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_a_permit_and_never_takes_of_the_second_half() {
        for (most, copies) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3)] {
            let permits = Arc::new(Semaphore::new(most));
            let taken: Vec<_> = (0..most)
                .filter_map(|_| permit(&permits, most as u32))
                .collect();
            assert_eq!(taken.len(), copies, "of {most}");
        }
    }
}
