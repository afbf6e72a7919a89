//! The request that a new generation must answer before it serves anyone else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::WasiBody;

use crate::generation::Generation;
use crate::instance::Admitted;
use crate::manifest::Route;
use crate::request_id::RequestId;

/// Longest time for a probe. A component that is slower than this to begin with is not one to switch to.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Most of a probe's answer that is read; the probe is meant to be cheap.
const LONGEST_ANSWER_BYTES: usize = 1024 * 1024;

/// A request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Without one, any status below 500.
    pub(crate) status: Option<StatusCode>,
    /// Text that the body must contain.
    pub(crate) contains: Option<String>,
}

/// What a generation answered.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
}

impl Probe {
    /// For a component whose entry names none: `GET` of its first route that takes no parameter, or else of its first
    /// route with `0` for each.
    pub(crate) fn usual(component: &str, routes: &[Route]) -> Self {
        let own = || routes.iter().filter(|route| route.component == component);
        let pattern = own()
            .find(|route| !route.pattern.contains("/:") && !route.pattern.ends_with("/..."))
            .or_else(|| own().next())
            .map_or("/", |route| &route.pattern);
        let path: Vec<&str> = pattern
            .split('/')
            .map(|segment| match segment {
                "..." => "",
                _ if segment.starts_with(':') => "0",
                _ => segment,
            })
            .collect();
        Self {
            method: Method::GET,
            path: path.join("/"),
            status: None,
            contains: None,
        }
    }

    /// Asks a fresh instance of `generation`, without counting it as a request.
    ///
    /// # Errors
    /// No answer, or another than expected: one line that says which.
    pub(crate) async fn ask(&self, generation: &Generation) -> Result<Probed, String> {
        let started = Instant::now();
        let answer = async {
            let admitted = Admitted {
                id: RequestId::made("probe-"),
                place: None,
                is_urgent: false,
            };
            let request = self.request(&admitted.id)?;
            let answer = generation.instances.handle(admitted, request).await;
            let (response, fate) = answer.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = read(response.into_body()).await?;
            if fate.has_failed() {
                return Err("its answer broke off".to_owned());
            }
            Ok((status, body))
        };
        let status = tokio::time::timeout(TIME_LIMIT, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {TIME_LIMIT:?}")))
            .and_then(|(status, body)| self.check(status, &body).map(|()| status))
            .map_err(|reason| format!("{} {}: {reason}", self.method, self.path))?;
        Ok(Probed {
            path: self.path.clone(),
            status,
            took: started.elapsed(),
        })
    }

    /// Whether a client's request with `method` for `path` asks what this does.
    pub(crate) fn is_asked_by(&self, method: &Method, path: &str) -> bool {
        path == self.path && (*method == self.method || *method == Method::HEAD)
    }

    fn request(&self, id: &RequestId) -> Result<Request<WasiBody>, String> {
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = format!("http://localhost{}", self.path)
            .parse()
            .map_err(|_| "the probe's path is not one".to_owned())?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        id.put(headers);
        Ok(request)
    }

    fn check(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        match self.status {
            Some(expected) if status != expected => {
                return Err(format!(
                    "answered {} instead of {}",
                    status.as_u16(),
                    expected.as_u16()
                ));
            }
            None if status.is_server_error() => {
                return Err(format!("answered {}", status.as_u16()));
            }
            _ => {}
        }
        match &self.contains {
            Some(text) if !String::from_utf8_lossy(body).contains(text) => {
                Err(format!("its answer does not contain `{text}`"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads to the end, because a component can fail as long as it sends.
async fn read(mut body: WasiBody) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("its answer broke off: {error}"))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > LONGEST_ANSWER_BYTES {
            return Err(format!(
                "its answer is longer than {LONGEST_ANSWER_BYTES} bytes"
            ));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(patterns: &[(&str, &str)]) -> String {
        let routes: Vec<Route> = patterns
            .iter()
            .map(|(pattern, component)| Route {
                pattern: (*pattern).into(),
                component: (*component).into(),
            })
            .collect();
        Probe::usual("c", &routes).path
    }

    #[test]
    fn the_usual_probe_is_a_route_of_the_component() {
        assert_eq!(usual(&[("/a", "x"), ("/b/:id", "c"), ("/c", "c")]), "/c");
        assert_eq!(usual(&[("/b/:id/d", "c")]), "/b/0/d");
        assert_eq!(usual(&[("/s/...", "c")]), "/s/");
        assert_eq!(usual(&[("/...", "c")]), "/");
    }
}
