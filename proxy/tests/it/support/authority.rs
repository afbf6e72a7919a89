//! An authority, certificates of its making, and TLS before an upstream.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::Upstream;

/// An authority that signs what it is asked for.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct SignedCertificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// Takes TLS away before an upstream. It ends when it is dropped.
pub(crate) struct Terminator {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, self.0.pem()).unwrap();
    }

    /// A certificate for a name or an IP address.
    pub(crate) fn sign(&self, name: &str) -> SignedCertificate {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        SignedCertificate { certificate, key }
    }

    /// Takes TLS before `upstream`, with a certificate for `name`.
    pub(crate) async fn before(&self, name: &str, upstream: &Upstream) -> Terminator {
        self.sign(name).before(upstream.address, None).await
    }

    /// Asks clients for a certificate that this authority has signed.
    pub(crate) fn asks_clients(&self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap()
    }
}

impl SignedCertificate {
    /// Writes both, as `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        let files = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
        fs::write(&files[0], self.certificate.pem()).unwrap();
        fs::write(&files[1], self.key.serialize_pem()).unwrap();
        files
    }

    /// Takes TLS before the server at this address, with this certificate; clients need one if `asks` for it.
    pub(crate) async fn before(
        &self,
        server: SocketAddr,
        asks: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Terminator {
        self.terminate(server, asks, Vec::new()).await
    }

    /// The same before a server to which clients may speak HTTP/2: those of gRPC do not unless TLS says so.
    pub(crate) async fn before_http2(&self, server: SocketAddr) -> Terminator {
        self.terminate(server, None, vec![b"h2".to_vec()]).await
    }

    async fn terminate(
        &self,
        server: SocketAddr,
        asks: Option<Arc<dyn ClientCertVerifier>>,
        protocols: Vec<Vec<u8>>,
    ) -> Terminator {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let asks = asks.unwrap_or_else(|| Arc::new(rustls::server::NoClientAuth));
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(asks)
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, acceptor, server));
        Terminator { address, task }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // What goes wrong shows at the other end.
            let mut near = acceptor.accept(stream).await?;
            let mut far = TcpStream::connect(server).await?;
            copy_bidirectional(&mut near, &mut far).await
        });
        while connections.try_join_next().is_some() {}
    }
}
