//! Certificates: read at the start, and again when their files change.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{Tls, TlsError, pem};

/// The certificate of one listener.
pub(crate) struct Certificate {
    files: Tls,
    current: ArcSwap<CertifiedKey>,
    /// The stamp of the files when they were last read.
    read: Mutex<Stamp>,
}

/// Inode, modification time in seconds and nanoseconds, and size of the certificate's file and of the key's file. They
/// show whether a file was written or replaced. `None` if the file can't be read.
type Stamp = [Option<(u64, i64, i64, u64)>; 2];

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// The files hold no certificate and key that belong together.
    pub(crate) fn load(files: &Tls) -> Result<Arc<Self>, TlsError> {
        let read = stamp(files);
        let current = ArcSwap::from_pointee(read_files(files)?);
        Ok(Arc::new(Self {
            files: files.clone(),
            current,
            read: Mutex::new(read),
        }))
    }

    /// Reads the files again if they changed. Later handshakes use the new certificate.
    ///
    /// # Errors
    /// The changed files can't be used; the old certificate stays in use. The error is returned once for each change.
    pub(crate) fn refresh(&self) -> Result<(), TlsError> {
        let found = stamp(&self.files);
        let mut read = self.read.lock();
        if *read == found {
            return Ok(());
        }
        *read = found;
        let certified = read_files(&self.files)?;
        self.current.store(Arc::new(certified));
        tracing::info!(certificate = %self.files.certificate.display(), "Certificate read again");
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn stamp(files: &Tls) -> Stamp {
    [&files.certificate, &files.key].map(|file| {
        // `metadata` follows links: certificate tools replace the link's target.
        let found = fs::metadata(file).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
    })
}

fn read_files(files: &Tls) -> Result<CertifiedKey, TlsError> {
    Ok(pem::pair(&files.certificate, &files.key)?.certified)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls::pki_types::CertificateDer;

    use super::*;

    fn write(folder: &Path, name: &str) -> Tls {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("generates");
        let files = Tls {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&files.certificate, made.cert.pem()).expect("writes");
        fs::write(&files.key, made.signing_key.serialize_pem()).expect("writes");
        files
    }

    fn serves(certificate: &Certificate) -> CertificateDer<'static> {
        certificate.current.load().cert[0].clone()
    }

    #[test]
    fn a_changed_certificate_is_taken_up_once_its_key_is_there_too() {
        let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
        let files = write(folder.path(), "one.example");
        let certificate = Certificate::load(&files).expect("loads");
        let first = serves(&certificate);
        certificate.refresh().expect("nothing changed");

        let next = write(other.path(), "two.example");
        fs::rename(&next.certificate, &files.certificate).expect("moves");
        let error = certificate.refresh().expect_err("the old key").to_string();
        assert!(error.contains("key.pem"), "{error}");
        assert_eq!(serves(&certificate), first);
        certificate.refresh().expect("is told only once");

        fs::rename(&next.key, &files.key).expect("moves");
        certificate.refresh().expect("goes together");
        assert_ne!(serves(&certificate), first);
    }

    #[test]
    fn files_that_hold_something_else_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = write(folder.path(), "one.example");
        let tell = || Certificate::load(&files).expect_err("wrong").to_string();
        fs::write(&files.key, "none").expect("writes");
        assert!(
            tell().contains("key.pem: no private key in PEM form"),
            "{}",
            tell()
        );
        fs::write(&files.certificate, "none").expect("writes");
        let told = tell();
        assert!(
            told.contains("certificate.pem: no certificate in PEM form"),
            "{told}"
        );
        fs::remove_file(&files.certificate).expect("removes");
        assert!(tell().contains("No such file"), "{}", tell());
    }
}
