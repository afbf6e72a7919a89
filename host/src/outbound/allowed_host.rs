//! `allowed_outbound_hosts`: the addresses that a component may connect to, in Spin's syntax.

use super::backend::Backend;

/// One entry, `scheme://host:port`. Each part may be `*`, and the host may start with `*.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedHost {
    scheme: Pattern,
    host: Pattern,
    port: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact(String),
    /// The suffix with its dot: `.example.com`.
    Subdomains(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    Any,
    /// From the first port to the second, both included.
    Range(u16, u16),
}

impl AllowedHost {
    /// Reads one entry.
    ///
    /// # Errors
    /// Says in one line what is wrong with the entry.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "insecure:allow-all" {
            return Ok(Self {
                scheme: Pattern::Any,
                host: Pattern::Any,
                port: Ports::Any,
            });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` must be written as scheme://host:port"));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '@', '?', '#']) {
            return Err(format!(
                "an entry for `{scheme}` holds more than scheme://host:port"
            ));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if host.is_empty() || scheme.is_empty() {
            return Err(format!("`{text}` lacks a scheme or a host"));
        }
        let port = match (port, default_port(scheme)) {
            (Some(port), _) => {
                Ports::parse(port).ok_or_else(|| format!("`{port}` in `{text}` is not a port"))?
            }
            (None, Some(port)) => Ports::Range(port, port),
            (None, None) => {
                return Err(format!(
                    "`{text}` needs a port: `{scheme}` has no usual one"
                ));
            }
        };
        Ok(Self {
            scheme: Pattern::parse(scheme),
            host: Pattern::parse(host),
            port,
        })
    }

    /// Whether this entry lets a component connect to `backend`.
    pub(crate) fn allows(&self, backend: &Backend) -> bool {
        self.scheme.matches(backend.scheme())
            && self.host.matches(&backend.host)
            && self.port.contains(backend.port)
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_prefix('*') {
            Some("") => Self::Any,
            Some(suffix) if suffix.starts_with('.') => {
                Self::Subdomains(suffix.to_ascii_lowercase())
            }
            _ => Self::Exact(text.to_ascii_lowercase()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::Exact(exact) => *exact == text,
            Self::Subdomains(suffix) => text.ends_with(suffix.as_str()),
        }
    }
}

impl Ports {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let (low, high) = (low.parse().ok()?, high.parse().ok()?);
        (low <= high).then_some(Self::Range(low, high))
    }

    fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Range(low, high) => (*low..=*high).contains(&port),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "mysql" => Some(3306),
        "redis" | "rediss" => Some(6379),
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Kind;

    fn allows(entry: &str, url: &str) -> bool {
        let kind = Kind::of(url).expect("MySQL or Redis");
        AllowedHost::parse(entry)
            .expect("valid entry")
            .allows(&Backend::parse(url, kind).expect("valid URL"))
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        let entry = "mysql://db.example.com:3307";
        assert!(allows(
            entry,
            "mysql://user:secret@db.example.com:3307/store"
        ));
        assert!(!allows(entry, "mysql://db.example.com/store"));
        assert!(!allows(entry, "redis://db.example.com:3307"));
        assert!(!allows(entry, "mysql://evil.example.com:3307"));
        assert!(allows("mysql://db", "mysql://db:3306/store"));
    }

    #[test]
    fn wildcards_and_port_ranges_match() {
        assert!(allows("*://*:*", "redis://anywhere:1"));
        assert!(allows("insecure:allow-all", "mysql://anywhere/x"));
        assert!(allows(
            "redis://*.example.com:6000..7000",
            "redis://a.example.com:6379"
        ));
        assert!(!allows(
            "redis://*.example.com:6000..7000",
            "redis://example.com:6379"
        ));
        assert!(!allows(
            "redis://*.example.com:6000..6100",
            "redis://a.example.com:6379"
        ));
        assert!(allows("redis://[::1]:6379", "redis://[::1]"));
        assert!(allows("rediss://cache", "rediss://cache:6379"));
        assert!(!allows("redis://cache", "rediss://cache"));
    }

    #[test]
    fn malformed_entries_are_refused_without_showing_credentials() {
        for entry in [
            "db:3306",
            "mysql://",
            "mysql://db:port",
            "ftp://db",
            "mysql://db/x",
        ] {
            assert!(AllowedHost::parse(entry).is_err(), "{entry} was accepted");
        }
        let message = AllowedHost::parse("mysql://user:secret@db:1").expect_err("credentials");
        assert!(!message.contains("secret"), "{message}");
    }
}
