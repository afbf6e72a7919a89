//! Another program of the fleet, as settings name it.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use serde::{Deserialize, Serialize};

use crate::AdminUrl;

/// Most characters of a name.
const LONGEST_NAME: usize = 64;

/// A program that this program's console shows too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's name on the page, and in the paths by which the page reaches it.
    pub name: String,
    /// URL of the member's admin listener.
    pub url: MemberUrl,
}

/// The URL of a member's admin listener: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberUrl(Authority);

impl Member {
    /// A member with this name.
    ///
    /// # Errors
    /// The name has characters that don't fit into a path, or is too long.
    pub fn new(name: &str, url: MemberUrl) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let is_dots = name.bytes().all(|byte| byte == b'.');
        if is_dots || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
            return Err(format!(
                "`{name}`: a name has letters, digits, `-`, `.`, `_` and `:`, {LONGEST_NAME} at most"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            url,
        })
    }
}

/// Checks that all members have different names, as paths address a member by its name.
///
/// # Errors
/// Two members have the same name; the error tells which.
pub fn check_names(members: &[Member]) -> Result<(), String> {
    let mut names = HashSet::new();
    let mut repeated = members.iter().filter(|one| !names.insert(&one.name));
    repeated.next().map_or(Ok(()), |one| {
        Err(format!("two members are called `{}`", one.name))
    })
}

impl FromStr for Member {
    type Err = String;

    /// Reads `NAME=URL`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=');
        let (name, url) = parts.ok_or("write it as host-1=http://127.0.0.1:5100")?;
        Self::new(name, url.parse()?)
    }
}

impl MemberUrl {
    /// The URL of a listener at this address.
    ///
    /// # Errors
    /// Never happens: every address gives a valid URL.
    pub fn at(address: std::net::SocketAddr) -> Result<Self, String> {
        format!("http://{address}").parse()
    }

    /// The address to connect to.
    pub(super) fn listener(&self) -> AdminUrl {
        let port = self.0.port_u16().unwrap_or(80);
        AdminUrl::Tcp(format!("{}:{port}", self.0.host()))
    }
}

impl FromStr for MemberUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write it as http://127.0.0.1:5100";
        let url: Uri = text.parse().map_err(|error| format!("{error}; {form}"))?;
        match (url.scheme_str(), url.authority()) {
            (Some("http"), Some(authority))
                if matches!(url.path(), "" | "/")
                    && url.query().is_none()
                    && !authority.as_str().contains('@') =>
            {
                Ok(Self(authority.clone()))
            }
            _ => Err(form.into()),
        }
    }
}

written_as_text!(MemberUrl);

impl fmt::Display for MemberUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let member: Member = "host-1=http://[::1]:5100/".parse().expect("a member");
        assert_eq!(member.name, "host-1");
        assert_eq!(member.url.to_string(), "http://[::1]:5100");
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let members = |texts: &[&str]| -> Vec<Member> {
            let members = texts.iter().map(|text| text.parse());
            members.collect::<Result<_, _>>().expect("members")
        };
        let (a, b) = ("a=http://x:1", "b=http://x:1");
        assert_eq!(check_names(&members(&[a, b])), Ok(()));
        let refused = check_names(&members(&[a, b, "a=http://y:1"]));
        assert_eq!(refused, Err("two members are called `a`".into()));
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in [
            "",
            "host-1",
            "=http://a:1",
            "..=http://a:1",
            "a/b=http://a:1",
            "a=https://b:1",
            "a=http://b:1/status",
            "a=http://b:1?c",
            "a=http://user:secret@b:1",
            "a=unix:/run/a.sock",
        ] {
            assert!(wrong.parse::<Member>().is_err(), "{wrong}");
        }
    }
}
