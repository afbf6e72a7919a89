//! The address of a database or cache, parsed once. So the address that is checked against `allowed_outbound_hosts` is
//! the one that is connected to. No driver gets the text, because a driver might parse it differently.

use std::fmt;
use std::sync::Arc;

use mysql_async::{OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use redis::RedisConnectionInfo;
use rustls::ClientConfig;
use url::{Host, Url};

use super::address_tls::AddressTls;
use super::tls::Tls;
use crate::config::{HostPort, TlsMode};

/// The two kinds of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mysql,
    Redis,
}

impl Kind {
    /// The kind of backend that the value of a variable is an address of; `None` if the value is not meant as an
    /// address.
    pub(crate) fn of(value: &str) -> Option<Self> {
        let (scheme, _) = value.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "mysql" => Some(Self::Mysql),
            "redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" => Some(Self::Redis),
            _ => None,
        }
    }

    /// The schemes of this kind of address, beginning with the one without TLS.
    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Mysql => &["mysql"],
            Self::Redis => &["redis", "rediss"],
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Redis => 6379,
        }
    }
}

/// One address. Its `Display` form is only the host and port.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    /// The scheme of the URL.
    scheme: &'static str,
    /// The host as in the URL: an IPv6 address has brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: AddressTls,
    /// The host that the server's certificate must be for, if it is not the one that is connected to.
    certified: Option<String>,
}

impl Backend {
    /// Parses an address.
    ///
    /// # Errors
    /// Says what is wrong with the address, without its user and password.
    pub(crate) fn parse(address: &str, kind: Kind) -> Result<Self, String> {
        let usual = kind.schemes()[0];
        let url = Url::parse(address).ok();
        let known = url.and_then(|url| {
            let mut schemes = kind.schemes().iter();
            let scheme = *schemes.find(|scheme| **scheme == url.scheme())?;
            Some((url, scheme))
        });
        let (url, scheme) = known.ok_or_else(|| format!("the address is not a {usual}:// URL"))?;
        let host = match url.host() {
            Some(Host::Domain(name)) if !is_plain_name(name) => None,
            Some(host) => Some(host.to_string()),
            None => None,
        };
        let host = host.ok_or_else(|| format!("the {scheme}:// address names no host"))?;
        let tls = match kind {
            Kind::Mysql => AddressTls::of_mysql(&url)?,
            Kind::Redis => AddressTls::of_redis(&url)?,
        };
        Ok(Self {
            scheme,
            host,
            port: url.port().unwrap_or(kind.usual_port()),
            user: decoded(url.username(), "user")?,
            password: decoded(url.password().unwrap_or_default(), "password")?,
            database: database(&url, kind)?,
            tls,
            certified: None,
        })
    }

    /// Refuses an address that needs something that the settings don't have.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn check_tls(&self, tls: &Tls) -> Result<(), String> {
        match self.tls.built_in_roots || tls.has_own_roots() {
            true => Ok(()),
            false => {
                Err("`built_in_roots=false` leaves no trusted authority: name the file of others with --mysql-ca".into())
            }
        }
    }

    /// How much of the server's certificate is checked.
    pub(crate) fn tls_mode(&self, tls: &Tls) -> TlsMode {
        tls.mode(self.tls.mode)
    }

    /// The options for the MySQL driver.
    pub(crate) fn mysql_opts(&self, tls: &Tls) -> OptsBuilder {
        let ssl_opts = tls.ssl_opts(self.tls_mode(tls));
        let ssl_opts = ssl_opts
            .map(|opts: SslOpts| opts.with_danger_tls_hostname_override(self.certified.clone()));
        OptsBuilder::default()
            .ip_or_hostname(self.reachable_host())
            .tcp_port(self.port)
            .user(self.user.clone())
            .pass(self.password.clone())
            .db_name(self.database.clone())
            .ssl_opts(ssl_opts)
            .prefer_socket(false)
    }

    /// The user, password and database number for the Redis driver.
    pub(crate) fn redis_info(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        // The number was checked when the address was parsed.
        let database = self.database.as_deref().unwrap_or("0");
        settings.set_db(database.parse().unwrap_or(0))
    }

    /// The TLS configuration for Redis; `None` if the connection has no TLS.
    ///
    /// # Errors
    /// As [`Tls::client_config`].
    pub(crate) fn redis_tls(&self, tls: &Tls) -> Result<Option<Arc<ClientConfig>>, String> {
        match self.tls_mode(tls) {
            TlsMode::Off => Ok(None),
            mode => tls.client_config(mode).map(Some),
        }
    }

    /// The host and port.
    pub(crate) fn address(&self) -> HostPort {
        HostPort::new(self.reachable_host(), self.port)
    }

    /// The host in the form that the system's resolver takes: an IPv6 address without brackets.
    pub(super) fn reachable_host(&self) -> &str {
        let bare = self.host.strip_prefix('[');
        bare.and_then(|bare| bare.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The same user and database on another server.
    pub(crate) fn at(&self, address: &HostPort) -> Self {
        let host = match address.host.contains(':') {
            true => format!("[{}]", address.host),
            false => address.host.clone(),
        };
        Self {
            host,
            port: address.port,
            ..self.clone()
        }
    }

    /// The same address, whose servers must show certificates for its host name even if they are reached by IP address.
    pub(crate) fn known_by_its_name(&self) -> Self {
        Self {
            certified: Some(self.reachable_host().to_owned()),
            ..self.clone()
        }
    }

    /// The same server, without a database.
    pub(crate) fn without_database(&self) -> Self {
        Self {
            database: None,
            ..self.clone()
        }
    }

    /// The name of the database, if the URL has one.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
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

/// Whether a host name has only letters, digits, dots, hyphens and underscores. A percent sign, a slash or a zero byte
/// has no meaning in a host name, but would have one in a path.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    !name.is_empty() && name.chars().all(is_plain)
}

/// A part of a URL, percent-decoded; `None` if it is empty.
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
            Err("after its host, a redis:// address may have only the number of a database".into())
        }
        _ => Ok(database),
    }
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    fn no_tls() -> Tls {
        let settings = crate::config::MysqlTls::default().settings();
        Tls::load(&settings).expect("no files")
    }

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
            .mysql_opts(&no_tls())
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
        assert_eq!(cache.address(), HostPort::new("::1", 6379));
        let info = cache.redis_info();
        assert_eq!(info.username(), Some("me"));
        assert_eq!(info.password(), Some("p@ss"));
        assert_eq!(info.db(), 3);
    }

    #[test]
    fn a_server_at_one_of_its_hosts_addresses_is_certified_by_name() {
        let named = mysql("mysql://db.example/store?require_ssl=true").expect("a good address");
        let at = HostPort::new("10.0.0.7", 3307);
        let opts = |backend: Backend| mysql_async::Opts::from(backend.mysql_opts(&no_tls()));
        let own = opts(named.at(&at));
        let known = opts(named.known_by_its_name().at(&at));
        for (opts, name) in [(&own, None), (&known, Some("db.example"))] {
            assert_eq!(opts.ip_or_hostname(), "10.0.0.7");
            assert_eq!(opts.tcp_port(), 3307);
            let tls = opts.ssl_opts().expect("TLS is asked for");
            assert_eq!(tls.tls_hostname_override(), name);
        }
    }

    #[test]
    fn an_empty_user_or_password_is_none() {
        for address in ["redis://:@db", "redis://db"] {
            let info = redis(address).expect("a good address").redis_info();
            assert_eq!(info.username(), None);
            assert_eq!(info.password(), None);
            // Compares with Spin, which lets the driver parse the address.
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
            "redis://db/0#insecure",
            "rediss://db/0#x",
            "redis://",
        ] {
            redis(address).expect_err(address);
        }
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
    fn redis_may_be_asked_for_tls() {
        for (address, mode) in [
            ("redis://db", TlsMode::Off),
            ("rediss://me:p%40ss@db/2", TlsMode::VerifyFull),
            ("rediss://db:6380/#insecure", TlsMode::Require),
        ] {
            let cache = redis(address).expect("a good address");
            assert_eq!(cache.tls_mode(&no_tls()), mode, "{address}");
            assert_eq!(cache.scheme(), address.split_once(':').expect("a scheme").0);
        }
    }

    #[test]
    fn mysql_may_be_asked_for_tls() {
        let opts = |address: &str| {
            let backend = mysql(address).expect("a good address");
            mysql_async::Opts::from(backend.mysql_opts(&no_tls()))
        };
        let tls = opts("mysql://db/store?require_ssl=true&verify_ca=false");
        let tls = tls.ssl_opts().expect("TLS was asked for").clone();
        assert!(tls.accept_invalid_certs() && !tls.disable_built_in_roots());
        let tls = opts("mysql://db/store?ssl-mode=REQUIRED");
        let tls = tls.ssl_opts().expect("TLS was asked for").clone();
        assert!(!tls.accept_invalid_certs() && !tls.skip_domain_validation());
    }

    #[test]
    fn an_address_without_authorities_is_refused() {
        let backend = mysql("mysql://db/store?require_ssl=true&built_in_roots=false");
        let refusal = backend.expect("a good address").check_tls(&no_tls());
        assert!(
            refusal
                .expect_err("nobody is trusted")
                .contains("--mysql-ca")
        );
    }
}
