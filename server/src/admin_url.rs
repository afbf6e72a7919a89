//! The URL of an admin listener, as clients are given it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::listener::LONGEST_SOCKET_PATH;

/// The URL of an admin listener: `http://127.0.0.1:5100` or `unix:/run/store-host.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminUrl {
    /// Host and port.
    Tcp(String),
    /// The socket's path.
    Unix(PathBuf),
}

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket(path);
        }
        let url: http::Uri = text
            .parse()
            .map_err(|error| format!("{error}; write it as http://127.0.0.1:5100"))?;
        match (url.scheme_str(), url.authority()) {
            (Some("http"), Some(authority)) if matches!(url.path(), "" | "/") => {
                let port = authority.port_u16().unwrap_or(80);
                Ok(Self::Tcp(format!("{}:{port}", authority.host())))
            }
            _ => Err("write it as http://127.0.0.1:5100 or unix:/run/store-host.sock".into()),
        }
    }
}

fn socket(path: &str) -> Result<AdminUrl, String> {
    // `unix:///run/x`, a URL with an empty host, is common too.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err("names no socket: write it as unix:/run/store-host.sock".into());
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "a socket's path has {LONGEST_SOCKET_PATH} bytes at most"
        ));
    }
    Ok(AdminUrl::Unix(path.into()))
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_written() {
        for (text, shown) in [
            ("http://127.0.0.1:5100", "http://127.0.0.1:5100"),
            ("http://127.0.0.1:5100/", "http://127.0.0.1:5100"),
            ("http://[::1]:5100", "http://[::1]:5100"),
            ("http://store.example", "http://store.example:80"),
            ("unix:/run/host.sock", "unix:/run/host.sock"),
            ("unix:///run/host.sock", "unix:/run/host.sock"),
            ("unix:host.sock", "unix:host.sock"),
        ] {
            let url: AdminUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("unix:/{}", "x".repeat(LONGEST_SOCKET_PATH));
        let form = "write it as http://127.0.0.1:5100";
        for (text, expected) in [
            ("", form),
            ("127.0.0.1:5100", form),
            ("https://127.0.0.1:5100", form),
            ("http://127.0.0.1:5100/status", form),
            ("unix:", "names no socket"),
            (&long, "has 107 bytes at most"),
        ] {
            let reason = text.parse::<AdminUrl>().expect_err(text);
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }
}
