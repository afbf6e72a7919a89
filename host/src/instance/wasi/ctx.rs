//! The WASI state of an instance.

use http::{HeaderName, Request};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks,
};

use crate::instance::context::Context;
use crate::instance::guest_log::GuestLog;

/// How many bytes of an answer are copied out of an instance at a time. However slowly a client reads, only a few such
/// pieces are on their way to it. The rest stays in the instance's memory, where it counts.
const ANSWER_CHUNK_BYTES: usize = 64 * 1024;

/// The largest head that a component can make, as wasmtime counts it: names and values, and some 70 bytes for each
/// field. A component may make many, which are in the host's memory. Heads that clients send may be larger.
const HEAD_BYTES: usize = 16 * 1024;

/// The WASI state of an instance: clocks, random numbers, environment variables of the manifest, and log lines. There
/// are no files, no sockets and no outgoing HTTP.
pub(crate) struct Wasi {
    pub(super) ctx: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) hooks: NoOutgoingHttp,
    pub(super) stdout: GuestLog,
    pub(super) stderr: GuestLog,
}

impl Wasi {
    pub(crate) fn new(component: &Context) -> Self {
        let stdout = GuestLog::new(component, "stdout");
        let stderr = GuestLog::new(component, "stderr");
        let mut ctx = WasiCtx::builder();
        ctx.stdout(stdout.clone()).stderr(stderr.clone());
        for (name, value) in &component.environment {
            ctx.env(name, value);
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEAD_BYTES);
        Self {
            ctx: ctx.build(),
            http,
            hooks: NoOutgoingHttp,
            stdout,
            stderr,
        }
    }
}

/// Refuses all requests of a guest to other servers.
pub(super) struct NoOutgoingHttp;

type Exchange = (http::Response<WasiBody>, Transfer);
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The headers that neither clients nor guests may give to the other side.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

impl WasiHttpHooks for NoOutgoingHttp {
    /// The same as by default, which allocates for each header of each request and answer.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transfer: Transfer,
    ) -> Box<dyn Future<Output = Result<Exchange, Error>> + Send> {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        ANSWER_CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_a_connection_is_forbidden() {
        for (name, expected) in [
            ("connection", true),
            ("transfer-encoding", true),
            ("host", true),
            ("http2-settings", true),
            ("traceparent", false),
            ("content-length", false),
        ] {
            let header = HeaderName::from_static(name);
            assert_eq!(
                NoOutgoingHttp.is_forbidden_header(&header),
                expected,
                "{name}"
            );
        }
    }
}
