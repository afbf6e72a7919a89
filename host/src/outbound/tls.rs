//! TLS to one kind of server: the files that the settings name, read and checked, in the forms that the drivers take.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mysql_async::{ClientIdentity, SslOpts};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::verifier::Verifier;
use crate::config::{TlsMode, TlsSettings};

/// The TLS settings for servers of one kind. Made at start and at each reload, which reads the files again.
pub(crate) struct Tls {
    kind: &'static str,
    least: TlsMode,
    ca: Option<PemFile>,
    client: Option<(PemFile, PemFile)>,
    roots: Arc<RootCertStore>,
}

/// A file and its content.
#[derive(Clone)]
struct PemFile {
    path: PathBuf,
    text: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the flag and the file, and says what is wrong, in one line.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, String> {
        let kind = settings.kind;
        let read = |flag: &str, path: &Path| {
            PemFile::read(path).map_err(|error| format!("--{kind}-{flag} {error}"))
        };
        let ca = settings
            .ca
            .as_deref()
            .map(|ca| read("ca", ca))
            .transpose()?;
        let client = match &settings.client {
            None => None,
            Some((cert, key)) => Some((read("client-cert", cert)?, read("client-key", key)?)),
        };
        let roots = match &ca {
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Some(ca) => ca.roots().map_err(|error| format!("--{kind}-ca {error}"))?,
        };
        // The MySQL driver uses the crypto provider of the process.
        _ = CryptoProvider::install_default(ring::default_provider());
        let tls = Self {
            kind,
            least: settings.least,
            ca,
            client,
            roots: Arc::new(roots),
        };
        // This finds a private key that does not belong to the certificate.
        tls.client_config(TlsMode::VerifyFull)?;
        Ok(tls)
    }

    /// How much of a server's certificate is checked if its address asks for `asked`: the stricter of address and
    /// settings.
    pub(super) fn mode(&self, asked: TlsMode) -> TlsMode {
        self.least.max(asked)
    }

    /// How much of a server's certificate is checked if no address names the server.
    pub(crate) fn least(&self) -> TlsMode {
        self.least
    }

    /// Whether the settings name authorities, so that those that browsers trust don't count.
    pub(super) fn has_own_roots(&self) -> bool {
        self.ca.is_some()
    }

    /// The TLS options for the MySQL driver. The driver has no mode between "any certificate" and "a certificate for
    /// this name"; `mysql::Server` implements the mode between them.
    pub(super) fn ssl_opts(&self, mode: TlsMode) -> Option<SslOpts> {
        let text = |file: &PemFile| file.text.clone();
        let client = self.client.as_ref();
        let opts = SslOpts::default()
            .with_root_certs(self.ca.iter().map(|ca| text(ca).into()).collect())
            .with_disable_built_in_roots(self.ca.is_some())
            .with_client_identity(
                client.map(|(cert, key)| ClientIdentity::new(text(cert).into(), text(key).into())),
            )
            .with_danger_accept_invalid_certs(mode == TlsMode::Require);
        (mode != TlsMode::Off).then_some(opts)
    }

    /// The configuration for rustls, for any mode but [`TlsMode::Off`].
    ///
    /// # Errors
    /// The key and the certificate of the settings don't belong together; the error names their files in one line.
    pub(crate) fn client_config(&self, mode: TlsMode) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let internal = |error: &dyn std::fmt::Display| format!("--{}-tls: {error}", self.kind);
        let inner =
            WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider.clone());
        let inner = inner.build().map_err(|error| internal(&error))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| internal(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(inner, mode)));
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let flags = |error: &dyn std::fmt::Display| {
                    format!(
                        "--{kind}-client-cert {cert}, --{kind}-client-key {key}: {error}",
                        kind = self.kind,
                        cert = cert.path.display(),
                        key = key.path.display()
                    )
                };
                let chain = cert.certificates().map_err(|error| flags(&error))?;
                let key = PrivateKeyDer::from_pem_slice(&key.text)
                    .map_err(|error| flags(&format!("no private key in PEM form: {error}")))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| flags(&error))?
            }
        };
        Ok(Arc::new(config))
    }
}

impl PemFile {
    fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read(path);
        let text = text.map_err(|error| format!("{}: can't be read: {error}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, text })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err("no certificate in PEM form".into()),
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let wrong = |reason: String| format!("{}: {reason}", self.path.display());
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates().map_err(wrong)? {
            let added = roots.add(certificate);
            added.map_err(|error| wrong(error.to_string()))?;
        }
        Ok(roots)
    }
}

/// The TLS error inside `error`, if there is one: the server's certificate is not accepted, the server demands one, or
/// it speaks no TLS.
pub(crate) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = io_error(error).and_then(io::Error::get_ref) {
            return found.downcast_ref();
        }
        cause = error.source();
    }
    None
}

/// Whether a TLS error stands until somebody changes a certificate or a setting: one of the two certificates is not
/// accepted, or client and server have no version in common. Anything else may be a server that starts or a connection
/// that broke.
pub(crate) fn stands(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(_) => !is_about_time(error),
        rustls::Error::PeerIncompatible(_) => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                // With TLS 1.2, a server says this to a client without a certificate.
                | AlertDescription::HandshakeFailure
        ),
        _ => false,
    }
}

/// Whether a certificate is not valid yet, or no longer. That may pass: this machine's clock may not be set yet, and an
/// old certificate is renewed.
pub(crate) fn is_about_time(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

/// The I/O error itself. The Redis driver wraps its errors in an `Arc`.
fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        Some(shared) => shared.downcast_ref(),
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ca: Option<PathBuf>, client: Option<(PathBuf, PathBuf)>) -> TlsSettings {
        TlsSettings {
            kind: "redis",
            least: TlsMode::Require,
            ca,
            client,
        }
    }

    fn refusal(settings: &TlsSettings) -> String {
        match Tls::load(settings) {
            Ok(_) => panic!("{settings:?} was accepted"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn only_certificates_and_versions_are_wrong_for_good() {
        let alert = rustls::Error::AlertReceived;
        assert!(stands(&CertificateError::UnknownIssuer.into()));
        assert!(stands(&alert(AlertDescription::CertificateRequired)));
        assert!(stands(&alert(AlertDescription::ProtocolVersion)));
        assert!(!stands(&CertificateError::Expired.into()));
        assert!(!stands(&alert(AlertDescription::InternalError)));
        assert!(!stands(&rustls::Error::DecryptError));
    }

    #[test]
    fn the_stricter_of_flag_and_address_counts() {
        let tls = Tls::load(&settings(None, None)).expect("no files");
        assert_eq!(tls.mode(TlsMode::Off), TlsMode::Require);
        assert_eq!(tls.mode(TlsMode::VerifyFull), TlsMode::VerifyFull);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_flag() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("writes");
            path
        };
        let missing = folder.path().join("missing.pem");
        let said = refusal(&settings(Some(missing), None));
        assert!(
            said.contains("--redis-ca") && said.contains("missing.pem"),
            "{said}"
        );

        let said = refusal(&settings(Some(file("empty.pem", "")), None));
        assert!(said.contains("no certificate in PEM form"), "{said}");

        let [one, other] = ["one", "other"].map(|name| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("makes");
            let cert = file(&format!("{name}.pem"), &made.cert.pem());
            let key = file(&format!("{name}.key"), &made.signing_key.serialize_pem());
            (cert, key)
        });
        Tls::load(&settings(Some(one.0.clone()), Some(one.clone()))).expect("they go together");
        let said = refusal(&settings(None, Some((one.0, other.1))));
        assert!(
            said.contains("one.pem") && said.contains("other.key"),
            "{said}"
        );
    }
}
