//! Certificates and keys in PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or can't be read.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file is not in PEM form.
    #[error("{}: no {what} in PEM form: {error}", file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What the file should hold.
        what: &'static str,
        /// The parser's error.
        error: rustls::pki_types::pem::Error,
    },
    /// A file has the right form, but its content can't be used.
    #[error("{}: can't be used: {reason}", file.display())]
    Strange {
        /// The file.
        file: PathBuf,
        /// Why the content can't be used.
        reason: String,
    },
    /// The certificate and the key don't belong together, or are of a kind that is not supported.
    #[error("{} and {}: {error}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why they can't be used.
        error: rustls::Error,
    },
}

/// A chain of certificates and the private key of its first certificate.
pub(crate) struct Pair {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// Chain and key, ready for handshakes.
    pub(crate) certified: CertifiedKey,
}

/// Reads a certificate and its key.
///
/// # Errors
/// The files hold no certificate and key that belong together.
pub(crate) fn pair(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let chain = certificates(certificate)?;
    let text = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::NotPem {
        file: key.to_owned(),
        what: "private key",
        error,
    })?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider);
    Ok(Pair {
        certified: certified.map_err(|error| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            error,
        })?,
        chain,
        key: private,
    })
}

/// Reads certificates, at least one.
///
/// # Errors
/// The file holds no certificates in PEM form.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let not_pem = |error| TlsError::NotPem {
        file: file.to_owned(),
        what: "certificate",
        error,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(not_pem)?;
    if chain.is_empty() {
        return Err(not_pem(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError::Unreadable {
        file: file.to_owned(),
        error,
    })
}
