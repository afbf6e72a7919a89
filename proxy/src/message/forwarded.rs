//! Where a request came from: reads what earlier proxies said, if they are trusted, and tells the next server.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use pingora_http::RequestHeader;

use store_server::forwarded::{X_FORWARDED_FOR as FOR, addresses, client, elements};

use super::head;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether the `Forwarded` and `X-Forwarded-…` headers of `peer` are trusted.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&peer))
}

/// The client's address. It is the peer's address, or, behind trusted proxies, the last address in their list that is
/// not a trusted proxy itself. An entry that is no address ends the list.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    client(headers, |address| is_trusted(address, trusted)).unwrap_or(peer)
}

/// Where a request came from, in the form that the next server reads (RFC 7239 and its older relatives). Statements of
/// a peer that is not trusted are replaced; to those of a trusted peer, this hop is added.
pub(crate) struct Provenance {
    addresses: String,
    hops: String,
    /// `None` if the request's own field stays.
    proto: Option<&'static str>,
    keeps_host: bool,
}

impl Provenance {
    /// `said` must have the fields on origin that came with the request, and may have others. `host` is the host that
    /// the client asked for.
    pub(crate) fn new(
        said: &HeaderMap,
        host: Option<&str>,
        peer: IpAddr,
        https: bool,
        trusted: bool,
    ) -> Self {
        let proto = if https { "https" } else { "http" };
        let mut addresses = peer.to_string();
        let mut hops = String::with_capacity(64);
        hops.push_str("for=");
        match peer {
            IpAddr::V4(_) => hops.push_str(&addresses),
            IpAddr::V6(_) => hops.extend(["\"[", &addresses, "]\""]),
        }
        hops.extend([";proto=", proto]);
        if let Some(host) = host {
            hops.extend([";host=\"", host, "\""]);
        }
        if trusted {
            if let Some(before) = addresses_before(said) {
                addresses = format!("{before}, {addresses}");
            }
            // A quote that is left open would swallow what is added.
            if let Some(before) = joined(said, &FORWARDED, |l| elements(l).is_some()) {
                hops = format!("{before}, {hops}");
            }
        }
        Self {
            addresses,
            hops,
            proto: believed(said, &PROTO, is_scheme, trusted)
                .is_none()
                .then_some(proto),
            keeps_host: believed(said, &X_HOST, head::is_authority, trusted).is_some(),
        }
    }

    /// Writes these fields into a head that has none of them. `said` and `host` are those of [`Provenance::new`].
    pub(crate) fn write(&self, said: &HeaderMap, host: &str, to: &mut BytesMut) {
        let kept = |name: &HeaderName| said.get(name).map(HeaderValue::as_bytes);
        let proto = match self.proto {
            Some(proto) => proto.as_bytes(),
            None => kept(&PROTO).unwrap_or_default(),
        };
        let host = match self.keeps_host {
            true => kept(&X_HOST).unwrap_or_default(),
            false => host.as_bytes(),
        };
        for (name, value) in [
            (&FOR, self.addresses.as_bytes()),
            (&FORWARDED, self.hops.as_bytes()),
            (&PROTO, proto),
            (&X_HOST, host),
        ] {
            to.put_slice(name.as_str().as_bytes());
            to.put_slice(b": ");
            to.put_slice(value);
            to.put_slice(b"\r\n");
        }
    }
}

/// Scheme and host that a client sent its request to, as the next server is told: those that a trusted peer names, or
/// else those of the connection and `Host`.
pub(crate) struct RequestAuthority<'a> {
    pub(crate) https: bool,
    pub(crate) host: &'a [u8],
}

impl<'a> RequestAuthority<'a> {
    pub(crate) fn of(request: &'a RequestHeader, https: bool, trusted: bool) -> Self {
        let authority = request.uri.authority();
        let authority = authority.map(|authority| authority.as_str().as_bytes());
        let field = || Some(request.headers.get(HOST)?.as_bytes());
        let host = authority.or_else(field).unwrap_or_default();
        Self::new(&request.headers, host, https, trusted)
    }

    /// `said` has the request's fields on its origin, `host` is its own host, `https` tells whether the connection has
    /// TLS.
    pub(crate) fn new(said: &'a HeaderMap, host: &'a [u8], https: bool, trusted: bool) -> Self {
        let proto = believed(said, &PROTO, is_scheme, trusted);
        let told = believed(said, &X_HOST, head::is_authority, trusted);
        Self {
            https: proto.map_or(https, |proto| {
                proto.as_bytes().eq_ignore_ascii_case(b"https")
            }),
            host: told.map_or(host, HeaderValue::as_bytes),
        }
    }
}

/// The value of a field, if the peer is trusted, the field is present once, and its value `is_good`.
fn believed<'a>(
    said: &'a HeaderMap,
    name: &HeaderName,
    is_good: fn(&[u8]) -> bool,
    trusted: bool,
) -> Option<&'a HeaderValue> {
    let mut lines = said.get_all(name).iter();
    let first = lines.next().filter(|first| is_good(first.as_bytes()))?;
    (trusted && lines.next().is_none()).then_some(first)
}

/// Writes the fields of [`Provenance`] into a request.
pub(crate) fn tell(
    request: &mut RequestHeader,
    peer: IpAddr,
    https: bool,
    trusted: bool,
) -> pingora_error::Result<()> {
    let host = request.headers.get(HOST).cloned();
    let text = host.as_ref().and_then(|host| host.to_str().ok());
    let told = Provenance::new(&request.headers, text, peer, https, trusted);
    request.insert_header(FOR, told.addresses)?;
    request.insert_header(FORWARDED, told.hops)?;
    if let Some(proto) = told.proto {
        request.insert_header(PROTO, proto)?;
    }
    if !told.keeps_host {
        match host {
            Some(host) => request.insert_header(X_HOST, host)?,
            None => _ = request.remove_header(&X_HOST),
        }
    }
    Ok(())
}

/// The addresses in `X-Forwarded-For`, as one list. If a line of it is not plain, or it has no address, they are those
/// that [`client`] reads, perhaps in `Forwarded`: the next server reads `X-Forwarded-For`, where this proxy's address
/// will be, and must find the same client there.
fn addresses_before(said: &HeaderMap) -> Option<String> {
    let mut lines = said.get_all(&FOR).iter();
    let list = if lines.all(|line| is_plain(line.as_bytes())) {
        joined(said, &FOR, |line| !is_blank(line))
    } else {
        None
    };
    list.or_else(|| {
        let mut read: Vec<_> = addresses(said).map(|before| before.to_string()).collect();
        read.reverse();
        (!read.is_empty()).then(|| read.join(", "))
    })
}

/// The values for which `is_good` holds, as one list.
fn joined(headers: &HeaderMap, name: &HeaderName, is_good: fn(&[u8]) -> bool) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .filter(|value| is_good(value.as_bytes()))
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether a line has nothing but what addresses and lists consist of, so no quotes.
fn is_plain(line: &[u8]) -> bool {
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b" ,.:[]_-%".contains(&byte);
    line.iter().all(plain)
}

/// Whether a line has no address.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" ,".contains(byte))
}

fn is_scheme(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"https") || text.eq_ignore_ascii_case(b"http")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts
            .iter()
            .map(|t| t.parse().expect("a network"))
            .collect()
    }

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        for (name, value) in fields {
            request.append_header(*name, *value).expect("a header");
        }
        request
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        let said = request(&[("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2")]);
        let peer = address("10.0.0.1");
        let client = |trusted: &[&str]| client_address(peer, &said.headers, &networks(trusted));
        assert_eq!(client(&[]), peer);
        assert_eq!(client(&["192.0.2.0/24"]), peer);
        assert_eq!(client(&["10.0.0.0/8"]), address("198.51.100.7"));
        assert_eq!(client(&["0.0.0.0/0"]), address("203.0.113.9"));
    }

    #[test]
    fn nonsense_in_the_list_ends_it() {
        let said = request(&[("x-forwarded-for", "198.51.100.7, unknown")]);
        let trusted = networks(&["10.0.0.0/8"]);
        let client = client_address(address("10.0.0.1"), &said.headers, &trusted);
        assert_eq!(client, address("10.0.0.1"));
    }

    #[test]
    fn what_a_trusted_peer_says_badly_is_replaced() {
        let mut request = request(&[
            ("host", "shop"),
            ("x-forwarded-for", "203.0.113.9\""),
            ("x-forwarded-proto", "https, \""),
            ("x-forwarded-host", "evil\";for=1.2.3.4"),
            ("forwarded", "for=\"1.2.3.4"),
        ]);
        tell(&mut request, address("10.0.0.1"), false, true).expect("told");
        let value = |name: &str| request.headers[name].to_str().expect("text").to_owned();
        assert_eq!(value("x-forwarded-for"), "10.0.0.1");
        assert_eq!(value("x-forwarded-proto"), "http");
        assert_eq!(value("x-forwarded-host"), "shop");
        assert_eq!(value("forwarded"), "for=10.0.0.1;proto=http;host=\"shop\"");
    }

    #[test]
    fn only_trusted_peers_say_what_was_asked_for() {
        let request = request(&[
            ("host", "inner"),
            ("x-forwarded-proto", "HTTPS"),
            ("x-forwarded-host", "shop"),
        ]);
        let asked = |https, trusted| {
            let asked = RequestAuthority::of(&request, https, trusted);
            (asked.https, asked.host.to_vec())
        };
        assert_eq!(asked(false, true), (true, b"shop".to_vec()));
        assert_eq!(asked(false, false), (false, b"inner".to_vec()));
        assert_eq!(asked(true, false), (true, b"inner".to_vec()));
    }

    #[test]
    fn what_an_untrusted_peer_said_is_replaced() {
        let mut request = request(&[
            ("host", "shop"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.2.3.4"),
        ]);
        tell(&mut request, address("2001:db8::1"), false, false).expect("told");
        let value = |name: &str| request.headers[name].to_str().expect("text").to_owned();
        assert_eq!(value("x-forwarded-for"), "2001:db8::1");
        assert_eq!(value("x-forwarded-proto"), "http");
        assert_eq!(value("x-forwarded-host"), "shop");
        assert_eq!(
            value("forwarded"),
            "for=\"[2001:db8::1]\";proto=http;host=\"shop\""
        );
    }

    #[test]
    fn to_what_a_trusted_peer_said_this_hop_is_added() {
        let mut request = request(&[
            ("host", "inner"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop"),
        ]);
        tell(&mut request, address("10.0.0.1"), false, true).expect("told");
        let value = |name: &str| request.headers[name].to_str().expect("text").to_owned();
        assert_eq!(value("x-forwarded-for"), "203.0.113.9, 10.0.0.1");
        assert_eq!(value("x-forwarded-proto"), "https");
        assert_eq!(value("x-forwarded-host"), "shop");
    }

    #[test]
    fn the_next_server_finds_the_same_client() {
        let (peer, trusted) = (address("10.0.0.1"), networks(&["10.0.0.0/8"]));
        let forwarded = ("forwarded", "for=203.0.113.1, for=\"10.0.0.2:80\"");
        let all = "203.0.113.1, 10.0.0.2, 10.0.0.1";
        for (lines, told) in [
            (vec![], all),
            (vec![""], all),
            (vec![" , "], all),
            (vec!["203.0.113.9"], "203.0.113.9, 10.0.0.1"),
            (vec!["203.0.113.9", ""], "203.0.113.9, 10.0.0.1"),
            // What can't be read may have named another client.
            (vec!["\""], "10.0.0.1"),
            (vec!["203.0.113.9", "\"x\""], "10.0.0.1"),
            (vec!["\"x\"", "203.0.113.9"], "203.0.113.9, 10.0.0.1"),
        ] {
            let list = lines.iter().map(|line| ("x-forwarded-for", *line));
            let fields: Vec<_> = list.chain([forwarded]).collect();
            let mut request = request(&fields);
            let client = client_address(peer, &request.headers, &trusted);
            tell(&mut request, peer, false, true).expect("told");
            assert_eq!(request.headers[FOR], told, "{lines:?}");
            let next = client_address(peer, &request.headers, &trusted);
            assert_eq!(next, client, "{lines:?}");
        }
    }
}
