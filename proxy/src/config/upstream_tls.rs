//! TLS to the servers of a group.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

use super::pem::{self, TlsError};

/// Whose certificates are believed, and what the proxy shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificates of the authorities that are believed; none: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// What servers' certificates must be for; none: the host that the server was found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The proxy's own certificate, for servers that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// That certificate's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What is in the files.
    #[serde(skip)]
    pub read: TlsFiles,
}

/// What the files of [`UpstreamTls`] hold, in DER form.
#[derive(Clone, Default, PartialEq)]
pub struct TlsFiles {
    /// The authorities; none: those of the system.
    pub authorities: Vec<Vec<u8>>,
    /// The proxy's certificate with those that follow it, and its key.
    pub identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles")
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

impl UpstreamTls {
    /// What is wrong without a look at the files: the key, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(name) = &self.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            let reason = format!("`{name}` is no host name or IP address; write it without a port");
            return Err(("server_name", reason));
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err(("certificate", "needs its `key` beside it".into())),
            (None, Some(_)) => Err(("key", "needs its `certificate` beside it".into())),
            _ => Ok(()),
        }
    }

    /// Takes relative paths from `folder`.
    pub(super) fn take_paths_from(&mut self, folder: &Path) {
        let files = [&mut self.ca, &mut self.certificate, &mut self.key];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The key, and why its file can't be used.
    pub(super) fn read_files(&mut self) -> Result<(), (&'static str, Box<TlsError>)> {
        let at = |key| move |error| (key, Box::new(error));
        let mut read = TlsFiles::default();
        if let Some(file) = &self.ca {
            read.authorities = authorities(file).map_err(at("ca"))?;
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let pair = pem::pair(certificate, key).map_err(at("certificate"))?;
            let chain = der(certificate, pair.chain).map_err(at("certificate"))?;
            let secret = pair.key.secret_der();
            // As pingora does, which ends where it can't.
            PrivateKeyDer::try_from(secret).map_err(|error| at("key")(strange(key, error)))?;
            read.identity = Some((chain, secret.to_vec()));
        }
        self.read = read;
        Ok(())
    }
}

fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let found = pem::certificates(file)?;
    let mut roots = RootCertStore::empty();
    for authority in &found {
        roots
            .add(authority.clone())
            .map_err(|error| strange(file, error))?;
    }
    der(file, found)
}

/// Pingora takes certificates apart once more, and ends where it can't.
fn der(file: &Path, certificates: Vec<CertificateDer<'_>>) -> Result<Vec<Vec<u8>>, TlsError> {
    let each = certificates.into_iter().map(|certificate| {
        parse_x509_certificate(&certificate).map_err(|error| strange(file, error))?;
        Ok(certificate.to_vec())
    });
    each.collect()
}

fn strange(file: &Path, reason: impl fmt::Display) -> TlsError {
    TlsError::Strange {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}
