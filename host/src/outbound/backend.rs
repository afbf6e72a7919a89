//! The address of a database or cache, taken apart once: what `allowed_outbound_hosts` is checked for is what is
//! connected to, and nothing of the text goes on to a driver, whose own reading of it may differ.

use std::fmt;

use mysql_async::{OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use url::{Host, Url};

/// What the address of a Redis with TLS begins with. Spin knows it, this host has no TLS for Redis.
const REDIS_WITH_TLS: &str = "rediss://";

/// What a URL's parameters may be: whether and how MySQL is spoken to with TLS. The address itself, files, buffers and
/// time limits are no component's business; `socket` would pass by `allowed_outbound_hosts`.
const MYSQL_PARAMETERS: [&str; 4] = [
    "require_ssl",
    "verify_ca",
    "verify_identity",
    "built_in_roots",
];

/// The two kinds of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mysql,
    Redis,
}

impl Kind {
    /// The kind that a variable's value is meant to be the address of, if it is meant so.
    pub(crate) fn of(value: &str) -> Option<Self> {
        let (scheme, _) = value.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "mysql" => Some(Self::Mysql),
            "redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" => Some(Self::Redis),
            _ => None,
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Redis => 6379,
        }
    }
}

/// One address. Its text form is host and port alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    /// As it stands in the URL, with brackets if it is an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: Option<Tls>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tls {
    verify_ca: bool,
    verify_identity: bool,
    built_in_roots: bool,
}

impl Backend {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// The text says what is wrong with the address, without its user and password.
    pub(crate) fn parse(address: &str, kind: Kind) -> Result<Self, String> {
        if kind == Kind::Redis && address.to_ascii_lowercase().starts_with(REDIS_WITH_TLS) {
            return Err(
                "`rediss://`, which is Redis with TLS, is not supported; use redis:// over a network that others can't \
                 listen to, or through a TLS tunnel on this machine"
                    .into(),
            );
        }
        let scheme = kind.scheme();
        let url = Url::parse(address)
            .ok()
            .filter(|url| url.scheme() == scheme)
            .ok_or_else(|| format!("the address is not a {scheme}:// URL"))?;
        let host = match url.host() {
            Some(Host::Domain(name)) if !is_plain_name(name) => None,
            Some(host) => Some(host.to_string()),
            None => None,
        };
        let host = host.ok_or_else(|| format!("the {scheme}:// address names no host"))?;
        if url.fragment().is_some() {
            return Err(format!(
                "the {scheme}:// address has a `#`; write it as %23"
            ));
        }
        Ok(Self {
            kind,
            host,
            port: url.port().unwrap_or(kind.usual_port()),
            user: decoded(url.username(), "user")?,
            password: decoded(url.password().unwrap_or_default(), "password")?,
            database: database(&url, kind)?,
            tls: tls(&url, kind)?,
        })
    }

    /// What the MySQL driver needs.
    pub(crate) fn mysql_opts(&self) -> OptsBuilder {
        let tls = self.tls.map(|tls| {
            SslOpts::default()
                .with_danger_accept_invalid_certs(!tls.verify_ca)
                .with_danger_skip_domain_validation(!tls.verify_identity)
                .with_disable_built_in_roots(!tls.built_in_roots)
        });
        OptsBuilder::default()
            .ip_or_hostname(self.reachable_host())
            .tcp_port(self.port)
            .user(self.user.clone())
            .pass(self.password.clone())
            .db_name(self.database.clone())
            .ssl_opts(tls)
            .prefer_socket(false)
    }

    /// What the Redis driver needs.
    ///
    /// # Errors
    /// The driver can't use an address that was accepted here, which no address is known to cause.
    pub(crate) fn redis_info(&self) -> redis::RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        // Checked when the address was taken apart.
        let database = self.database.as_deref().unwrap_or("0");
        settings = settings.set_db(database.parse().unwrap_or(0));
        let address = ConnectionAddr::Tcp(self.reachable_host().to_owned(), self.port);
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }

    /// The host as the system's resolver takes it: an IPv6 address without brackets.
    pub(crate) fn reachable_host(&self) -> &str {
        let bare = self.host.strip_prefix('[');
        bare.and_then(|bare| bare.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    /// The database that its URL names.
    pub(super) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        self.kind.scheme()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{self}", self.scheme())
    }
}

/// Letters, digits and what else stands in names of hosts. A percent sign, a slash or a zero byte has no meaning there
/// and would have one in a path.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    !name.is_empty() && name.chars().all(is_plain)
}

/// A part of a URL as it is meant; an empty one counts as none.
fn decoded(part: &str, what: &str) -> Result<Option<String>, String> {
    let text = percent_decode_str(part).decode_utf8();
    let text = text.map_err(|_| format!("the {what} in the address is not UTF-8"))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn database(url: &Url, kind: Kind) -> Result<Option<String>, String> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if path.contains('/') {
        return Err("the address has more than one `/` after the host".into());
    }
    let database = decoded(path, "database")?;
    match &database {
        Some(number) if kind == Kind::Redis && number.parse::<u16>().is_err() => {
            Err("what follows the host of a redis:// address is the number of a database".into())
        }
        _ => Ok(database),
    }
}

fn tls(url: &Url, kind: Kind) -> Result<Option<Tls>, String> {
    let mut is_required = false;
    let mut tls = Tls {
        verify_ca: true,
        verify_identity: true,
        built_in_roots: true,
    };
    for (name, value) in url.query_pairs() {
        if kind == Kind::Redis || !MYSQL_PARAMETERS.contains(&name.as_ref()) {
            let allowed = match kind {
                Kind::Mysql => MYSQL_PARAMETERS.join(", "),
                Kind::Redis => "none".into(),
            };
            return Err(format!(
                "the parameter `{name}` of the {}:// address is not allowed; allowed: {allowed}",
                kind.scheme()
            ));
        }
        let value = match value.as_ref() {
            "true" => true,
            "false" => false,
            _ => return Err(format!("the parameter `{name}` must be true or false")),
        };
        match name.as_ref() {
            "require_ssl" => is_required = value,
            "verify_ca" => tls.verify_ca = value,
            "verify_identity" => tls.verify_identity = value,
            _ => tls.built_in_roots = value,
        }
    }
    Ok(is_required.then_some(tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mysql(address: &str) -> Result<Backend, String> {
        Backend::parse(address, Kind::Mysql)
    }

    fn redis(address: &str) -> Result<Backend, String> {
        Backend::parse(address, Kind::Redis)
    }

    #[test]
    fn what_is_in_the_url_reaches_the_driver() {
        let opts: mysql_async::Opts = mysql("mysql://st%40re:p%2Fw@DB.example:3307/st%6Fre")
            .expect("a good address")
            .mysql_opts()
            .into();
        assert_eq!(opts.ip_or_hostname(), "DB.example");
        assert_eq!(opts.tcp_port(), 3307);
        assert_eq!(opts.user(), Some("st@re"));
        assert_eq!(opts.pass(), Some("p/w"));
        assert_eq!(opts.db_name(), Some("store"));
        assert_eq!(opts.socket(), None);
        assert!(opts.ssl_opts().is_none());

        let cache = redis("redis://me:p%40ss@[::1]/3").expect("a good address");
        assert_eq!(cache.to_string(), "[::1]:6379");
        let info = cache.redis_info().expect("a good address");
        assert_eq!(info.addr(), &ConnectionAddr::Tcp("::1".into(), 6379));
        assert_eq!(info.redis_settings().username(), Some("me"));
        assert_eq!(info.redis_settings().password(), Some("p@ss"));
        assert_eq!(info.redis_settings().db(), 3);
    }

    #[test]
    fn an_empty_user_or_password_is_none() {
        for address in ["redis://:@db", "redis://db"] {
            let info =
                redis(address).and_then(|cache| cache.redis_info().map_err(|e| e.to_string()));
            let info = info.expect("a good address");
            assert_eq!(info.redis_settings().username(), None);
            assert_eq!(info.redis_settings().password(), None);
            // The same under Spin, which leaves it to the driver.
            let spins = address.into_connection_info().expect("a good address");
            assert_eq!(spins.redis_settings().username(), None);
            assert_eq!(spins.redis_settings().password(), None);
        }
    }

    #[test]
    fn no_way_leads_past_host_and_port() {
        for address in [
            "mysql://u:p@db/store?socket=%2Frun%2Fmysqld.sock",
            "mysql://u:p@db/store?%73ocket=%2Frun%2Fmysqld.sock",
            "mysql://u:p@db/store?prefer_socket=true",
            "mysql://u:p@db/store?compression=fast",
            "mysql://u:p@%2Frun%2Fmysqld.sock/store",
            "mysql://u:p@d%62/store",
            "mysql:///store",
            "mysql://u:p@db/a/b",
            "mysql://u:p@db/store#x",
            "mysql://u:p@db/store?require_ssl=perhaps",
            "redis://db",
            "mysql:db",
            "",
        ] {
            let refusal = mysql(address).expect_err(address);
            assert!(!refusal.contains("u:p"), "{refusal}");
        }
        for address in [
            "redis+unix:///run/redis.sock",
            "unix:///run/redis.sock",
            "redis://%2Frun%2Fredis.sock",
            "redis://db?protocol=resp3",
            "redis://db/1/2",
            "redis://db/one",
            "redis://db/-1",
            "redis://",
        ] {
            redis(address).expect_err(address);
        }
        let refusal = redis("rediss://db").expect_err("no TLS");
        assert!(refusal.contains("TLS tunnel"), "{refusal}");
    }

    #[test]
    fn what_is_meant_as_an_address_is_known_by_its_scheme() {
        assert_eq!(Kind::of("mysql://db"), Some(Kind::Mysql));
        for value in ["redis://db", "REDISS://db", "redis+unix:///x"] {
            assert_eq!(Kind::of(value), Some(Kind::Redis), "{value}");
        }
        for value in ["batched", "http://db", "mysql", ""] {
            assert_eq!(Kind::of(value), None, "{value}");
        }
    }

    #[test]
    fn mysql_may_be_asked_for_tls() {
        let opts: mysql_async::Opts = mysql("mysql://db/store?require_ssl=true&verify_ca=false")
            .expect("a good address")
            .mysql_opts()
            .into();
        let tls = opts.ssl_opts().expect("TLS was asked for");
        assert!(tls.accept_invalid_certs() && !tls.skip_domain_validation());
    }
}
