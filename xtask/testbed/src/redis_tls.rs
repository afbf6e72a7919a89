//! TLS of a Redis server or a Sentinel, on a port beside the usual one.

use std::path::PathBuf;

use anyhow::Result;

use crate::ports::free_port;

/// The PEM files of a server that speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The authority that signed the certificates of the server and of all that connect to it.
    pub ca: PathBuf,
    /// The server's certificate, which it shows as a client too.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// How a running server speaks TLS. Whoever connects must have a certificate of the same authority.
#[derive(Debug)]
pub(crate) struct RedisTls {
    pub(crate) port: u16,
    files: TlsFiles,
}

impl RedisTls {
    /// TLS with these files on a port that was free just now.
    ///
    /// # Errors
    /// When there is no free port.
    pub(crate) fn on_free_port(files: TlsFiles) -> Result<Self> {
        let port = free_port()?;
        Ok(Self { port, files })
    }

    /// The server's flags. It speaks TLS to its primary, too.
    pub(crate) fn flags(&self) -> Vec<String> {
        let TlsFiles {
            ca,
            certificate,
            key,
        } = &self.files;
        [
            ("--tls-port", self.port.to_string()),
            ("--tls-ca-cert-file", ca.display().to_string()),
            ("--tls-cert-file", certificate.display().to_string()),
            ("--tls-key-file", key.display().to_string()),
            ("--tls-replication", "yes".to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
}
