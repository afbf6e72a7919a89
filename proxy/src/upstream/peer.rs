//! How pingora connects to an upstream.

use std::sync::Arc;

use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::Endpoint;
use crate::config::{self, UpstreamTls};

/// Most requests that share a connection of HTTP/2, if the upstream allows as many.
const STREAMS: usize = 100;

/// The address of an upstream, and the settings of connections to it.
pub(super) fn peer(settings: &config::Group, endpoint: &Endpoint) -> HttpPeer {
    let mut peer = match &settings.tls {
        Some(tls) => with_tls(tls, endpoint),
        None => HttpPeer::new(endpoint.socket, false, String::new()),
    };
    let options = &mut peer.options;
    options.connection_timeout = Some(settings.connect_timeout);
    options.total_connection_timeout = Some(settings.connect_timeout);
    options.read_timeout = Some(settings.read_timeout);
    options.write_timeout = Some(settings.write_timeout);
    options.idle_timeout = Some(settings.idle_timeout);
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    if settings.http2 {
        options.max_h2_streams = STREAMS;
        // Without TLS there is no ALPN to agree on a version by.
        options.alpn = match settings.tls {
            Some(_) => ALPN::H2H1,
            None => ALPN::H2,
        };
    }
    peer
}

fn with_tls(tls: &UpstreamTls, endpoint: &Endpoint) -> HttpPeer {
    // Pingora checks no name if none is set, so always set one.
    let name = tls.server_name.as_ref().unwrap_or(&endpoint.host);
    let mut peer = HttpPeer::new(endpoint.socket, true, name.clone());
    let read = &tls.read;
    if !read.authorities.is_empty() {
        let authorities = read.authorities.iter().cloned();
        let authorities = authorities.map(|der| WrappedX509::new(der, parse_x509));
        peer.options.ca = Some(authorities.collect());
    }
    if let Some((chain, key)) = &read.identity {
        peer.client_cert_key = Some(Arc::new(CertKey::new(chain.clone(), key.clone())));
    }
    peer
}
