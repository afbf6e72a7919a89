//! An entry of `--mysql-members`: one server, or the servers at all addresses of a host name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::HostPort;

/// The prefix of an entry that means all addresses of a host name. Without it, a name is one server.
const ALL_OF: &str = "dns:";

/// One server, or one at each address of a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MysqlMember {
    /// `host:port`: one server. Its name is resolved by the system.
    Server(HostPort),
    /// `dns:host:port`: a server at each address of the host name.
    AllOf(HostPort),
}

impl FromStr for MysqlMember {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A host may itself be called `dns`. Then a port follows, and no second host.
        let named = text.strip_prefix(ALL_OF);
        let named: Option<HostPort> = named.and_then(|rest| rest.parse().ok());
        match named {
            Some(HostPort { host, .. }) if host.parse::<IpAddr>().is_ok() => Err(format!(
                "`{text}`: an IP address is one server; leave `{ALL_OF}` out"
            )),
            Some(named) => Ok(Self::AllOf(named)),
            None => text.parse().map(Self::Server),
        }
    }
}

impl fmt::Display for MysqlMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::AllOf(name) => write!(f, "{ALL_OF}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MysqlMember, String> {
        text.parse()
    }

    #[test]
    fn a_server_and_a_name_for_several_are_told_apart() {
        let db = HostPort::new("db", 3306);
        assert_eq!(read("db:3306"), Ok(MysqlMember::Server(db.clone())));
        assert_eq!(read("dns:db:3306"), Ok(MysqlMember::AllOf(db)));
        let called_dns = HostPort::new("dns", 3306);
        assert_eq!(read("dns:3306"), Ok(MysqlMember::Server(called_dns)));
        for text in ["10.0.0.1:3306", "[::1]:3306", "dns:db.example:3306"] {
            assert_eq!(read(text).map(|entry| entry.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["dns:db", "dns:", "dns:db:0", "srv:db:3306", ""] {
            let refusal = read(text).expect_err(text);
            assert!(refusal.contains("host:port"), "{refusal}");
        }
        for text in ["dns:10.0.0.1:3306", "dns:[::1]:3306"] {
            let refusal = read(text).expect_err(text);
            assert!(refusal.contains("leave `dns:` out"), "{refusal}");
        }
    }
}
