//! Settings of TLS to MySQL and Redis, and of the certificates.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is checked of a server. Each checks what those before it do, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TlsMode {
    /// Nothing: no TLS, unless an address asks for it.
    Off,
    /// That it speaks TLS. A man in the middle could still answer.
    Require,
    /// That a trusted authority signed its certificate.
    VerifyCa,
    /// That its certificate is for the host in its address, too.
    VerifyFull,
}

/// The TLS settings for all servers of one kind.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The prefix of the flags: `mysql` or `redis`.
    pub kind: &'static str,
    /// The least that is checked of each server, whatever its address says.
    pub least: TlsMode,
    /// The file with the only trusted authorities; without it, those that browsers trust.
    pub ca: Option<PathBuf>,
    /// The files of the client certificate and of its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// TLS to MySQL.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS to MySQL")]
pub struct MysqlTls {
    /// What is checked of each server at least; an address may ask for more [default: verify-full with --mysql-ca or
    /// --mysql-client-cert, otherwise off]
    #[arg(id = "mysql-tls", long, value_enum, value_name = "MODE")]
    pub mode: Option<TlsMode>,

    /// PEM file with the authorities that may sign a server's certificate, in the place of those that browsers trust
    #[arg(id = "mysql-ca", long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// PEM file with the certificate to show to servers that ask for one
    #[arg(
        id = "mysql-client-cert",
        long,
        value_name = "FILE",
        requires = "mysql-client-key"
    )]
    pub client_cert: Option<PathBuf>,

    /// PEM file with its private key
    #[arg(
        id = "mysql-client-key",
        long,
        value_name = "FILE",
        requires = "mysql-client-cert"
    )]
    pub client_key: Option<PathBuf>,
}

/// TLS to Redis and Redis Sentinel.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS to Redis and Redis Sentinel")]
pub struct RedisTls {
    /// What is checked of each server at least; a rediss:// address asks for verify-full [default: verify-full with
    /// --redis-ca or --redis-client-cert, otherwise off]
    #[arg(id = "redis-tls", long, value_enum, value_name = "MODE")]
    pub mode: Option<TlsMode>,

    /// PEM file with the authorities that may sign a server's certificate, in the place of those that browsers trust
    #[arg(id = "redis-ca", long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// PEM file with the certificate to show to servers that ask for one
    #[arg(
        id = "redis-client-cert",
        long,
        value_name = "FILE",
        requires = "redis-client-key"
    )]
    pub client_cert: Option<PathBuf>,

    /// PEM file with its private key
    #[arg(
        id = "redis-client-key",
        long,
        value_name = "FILE",
        requires = "redis-client-cert"
    )]
    pub client_key: Option<PathBuf>,
}

impl MysqlTls {
    /// These settings in the form that does not depend on the kind of server.
    pub fn settings(&self) -> TlsSettings {
        let client = self.client_cert.clone().zip(self.client_key.clone());
        TlsSettings::new("mysql", self.mode, self.ca.clone(), client)
    }
}

impl RedisTls {
    /// These settings in the form that does not depend on the kind of server.
    pub fn settings(&self) -> TlsSettings {
        let client = self.client_cert.clone().zip(self.client_key.clone());
        TlsSettings::new("redis", self.mode, self.ca.clone(), client)
    }
}

impl TlsSettings {
    /// If an authority or a certificate is given, TLS is on by default.
    fn new(
        kind: &'static str,
        mode: Option<TlsMode>,
        ca: Option<PathBuf>,
        client: Option<(PathBuf, PathBuf)>,
    ) -> Self {
        let usual = match ca.is_some() || client.is_some() {
            true => TlsMode::VerifyFull,
            false => TlsMode::Off,
        };
        Self {
            kind,
            least: mode.unwrap_or(usual),
            ca,
            client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_asks_for_tls_unless_a_mode_is_named() {
        assert_eq!(MysqlTls::default().settings().least, TlsMode::Off);
        let mut named = RedisTls {
            ca: Some("ca.pem".into()),
            ..RedisTls::default()
        };
        assert_eq!(named.settings().least, TlsMode::VerifyFull);
        named.mode = Some(TlsMode::VerifyCa);
        assert_eq!(named.settings().least, TlsMode::VerifyCa);
    }

    #[test]
    fn each_mode_checks_more_than_the_one_before() {
        let modes = TlsMode::value_variants();
        assert!(modes.is_sorted() && modes.len() == 4);
    }
}
