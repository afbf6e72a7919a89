//! The requests for the balancers; each kind of request is a row.

use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use super::servers::CERTIFICATE;
use crate::measure::Target;

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Row {
    /// GET of 74 bytes over HTTP/1.1
    Plain,
    /// The same over HTTPS
    Https,
    /// The same over HTTPS and HTTP/2, eight streams on each connection
    Http2,
    /// GET of 64 KiB over HTTP/1.1
    Large,
    /// The same over HTTPS
    HttpsLarge,
    /// The same over HTTPS and HTTP/2
    Http2Large,
    /// POST of an order, 59 bytes, that may be sent twice
    Post,
    /// GET of 74 bytes, each on a connection of its own
    Close,
    /// GET of a report that both keep in memory
    Cached,
    /// Memory for each of 10,000 connections that are open and ask for nothing more
    Idle,
}

/// The body of a POST.
const ORDER: &str = r#"{"user_id":1,"items":[{"product_id":5,"quantity":1000000}]}"#;

impl Row {
    /// The rows that compare forwarded requests.
    pub(super) const DEFAULTS: [Self; 9] = [
        Self::Plain,
        Self::Https,
        Self::Http2,
        Self::Large,
        Self::HttpsLarge,
        Self::Http2Large,
        Self::Post,
        Self::Close,
        Self::Idle,
    ];

    /// The rows with and without traces: each way of a request through the proxy.
    pub(super) const TRACED: [Self; 4] = [Self::Plain, Self::Http2, Self::Post, Self::Cached];

    /// The row's name on the command line.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether the row uses the listener with TLS.
    pub(super) fn is_https(self) -> bool {
        matches!(
            self,
            Self::Https | Self::Http2 | Self::HttpsLarge | Self::Http2Large
        )
    }

    /// The rate of the latency measurement, in requests per second: well below what nginx serves here.
    pub(super) fn rate(self) -> u32 {
        match self {
            Self::Large | Self::HttpsLarge | Self::Http2Large | Self::Close => 1000,
            _ => 5000,
        }
    }

    /// The least requests/s of store-proxy, as a share of nginx's.
    pub(super) fn goal(self) -> f64 {
        if self.is_https() { 0.95 } else { 0.90 }
    }

    /// The requests for a server at `base`. `folder` has the server's certificate.
    pub(super) fn target(self, base: &str, folder: &Path) -> Target {
        let path = self.path();
        let target = match self {
            Self::Post => Target::post(base, path, ORDER, "order"),
            Self::Close => Target::get(base, path).closing(),
            Self::Http2 | Self::Http2Large => Target::get(base, path).over_http2(),
            _ => Target::get(base, path),
        };
        target.with_certificate(folder.join(CERTIFICATE))
    }

    /// The path of the requests.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Large | Self::HttpsLarge | Self::Http2Large => "/large",
            Self::Post => "/orders",
            Self::Cached => "/orders/reports/best-sellers",
            _ => "/stocks/5",
        }
    }
}
