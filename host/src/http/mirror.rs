//! Mirroring: when a client has its answer, a copy of its request is sent to the version on trial. The two answers are
//! compared, and the second is dropped. The client does not wait for this.

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

/// The longest body, in bytes, that is compared. Of a longer answer, only the status and the headers are compared.
const LONGEST_BODY: usize = 256 * 1024;

/// Reads along as an answer passes to its client, and then sends the copy of the request. It holds at most
/// [`LONGEST_BODY`] bytes of an answer.
pub(crate) struct Tap {
    /// `None` once the copy was sent.
    sending: Option<PendingCopy>,
    body: Body,
}

/// How much of an answer's body has passed.
enum Body {
    /// The part that has passed so far.
    Passing(BytesMut),
    /// The complete body.
    Whole(Bytes),
    /// Longer than [`LONGEST_BODY`].
    Long,
    /// The body broke off.
    Broken,
}

struct PendingCopy {
    original: Original,
    head: request::Parts,
    /// The pattern of the route.
    route: Arc<str>,
    status: StatusCode,
    headers: HeaderMap,
}

/// A request that may have to be copied, before it has an answer.
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

    /// Makes the tap when the head of the answer is there.
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
    /// Records the next frame of the answer, or its end if `next` is `None`.
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
    /// Runs when the answer has passed or its client has left.
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
    /// The stable version's answer; `None` if the client did not get all of it.
    fn stable(&self, body: Body) -> Option<Side> {
        let body = match body {
            // Hyper stops reading a body at its announced length, and reads none for HEAD, so the tap may not see the
            // end of the body.
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

    /// Sends the copy to the new version, and returns its answer.
    async fn ask(&self) -> Result<Side, Comparison> {
        let generation = self.original.generation.upgrade();
        let generation = generation.ok_or(Comparison::Dropped)?;
        let permit = spare(&generation).ok_or(Comparison::Dropped)?;
        let _in_flight = generation.life.enter();
        let id = RequestId::made("mirror-");
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let request = Request::from_parts(self.head.clone(), body.boxed_unsync());
        let admitted = Admission {
            id,
            place: Some(Arc::new(RequestPlace {
                _permit: permit,
                owner: RequestOwner::Mirror,
            })),
            is_urgent: false,
        };
        let counted = self.original.tally.begin();
        let instances = &generation.instances;
        let response = match instances.handle(admitted, request, &Trace::off()).await {
            Ok((response, fate)) => {
                counted.answered(response.status());
                (response, fate)
            }
            // The host has no room, and the version is not to blame.
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

/// A permit of the component, if the host has enough instances.
fn spare(generation: &Generation) -> Option<OwnedSemaphorePermit> {
    let context = &generation.context;
    let is_short = generation.instances.are_short();
    (!is_short)
        .then(|| permit(&context.in_flight, context.limits.max_in_flight))
        .flatten()
}

/// Takes one of `most` permits, but only if more than half of them are free and one is left afterwards. So copies never
/// take the permits that clients may want.
fn permit(permits: &Arc<Semaphore>, most: u32) -> Option<OwnedSemaphorePermit> {
    let permit = permits.clone().try_acquire_owned().ok()?;
    // Counting after the permit was taken includes the permits of other copies that are taken at the same moment.
    let left = permits.available_permits();
    (left > 0 && (left + 1) * 2 > most as usize).then_some(permit)
}

/// The body of an answer; `None` if it is too long to be compared.
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
