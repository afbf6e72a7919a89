//! TLS to the servers of a group.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

use super::pem::{self, TlsError};

/// Whose certificates the proxy trusts, and the certificate that it presents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificates of the trusted authorities; `None` means those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that the servers' certificates must be for; `None` means the host by which the server was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The proxy's own certificate, for servers that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The content of these files.
    #[serde(skip)]
    pub read: TlsFiles,
}

/// The content of the files that [`UpstreamTls`] names, in DER form.
#[derive(Clone, Default, PartialEq)]
pub struct TlsFiles {
    /// The trusted authorities; empty means those of the system.
    pub authorities: Vec<Vec<u8>>,
    /// The proxy's certificate with the rest of its chain, and its private key.
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
    /// Checks the settings without reading the files. An error names the key and the reason.
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

    /// Makes paths absolute; relative ones count from `folder`.
    pub(super) fn take_paths_from(&mut self, folder: &Path) {
        let files = [&mut self.ca, &mut self.certificate, &mut self.key];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// The wrong key, and why its file can't be used.
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
            // Pingora parses the key once more, and panics if it can't.
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

/// Converts certificates to DER. Pingora parses them once more, and panics if it can't, so parse them here first.
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
