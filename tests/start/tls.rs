//! TLS before a stand-in, as AWS and the Git hosts have it: handshakes and checking certificates are part of a start.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Where Debian and Amazon Linux keep their root certificates in one file.
const SYSTEM_ROOTS: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// The stand-ins of all services, by name: one certificate for `localhost`, each on a port of its own.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    /// Root certificates the functions are given.
    pub(crate) roots: tempfile::NamedTempFile,
    /// How many there are, the stand-ins' own included.
    pub(crate) root_count: usize,
}

/// A service behind TLS.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) url: String,
    handshakes: Arc<AtomicUsize>,
    first_connection: Arc<Mutex<Option<Instant>>>,
}

impl Front {
    /// Handshakes since the last time.
    pub(crate) fn take_handshakes(&self) -> usize {
        self.handshakes.swap(0, Ordering::SeqCst)
    }

    /// When it was first connected to since the last time.
    pub(crate) fn take_first_connection(&self) -> Option<Instant> {
        self.first_connection.lock().unwrap().take()
    }
}

impl Tls {
    /// A new authority, and a certificate by it. Functions trust it beside what this machine trusts, for reading many
    /// roots is part of a start; with `few_roots` they trust it alone.
    pub(crate) fn new(few_roots: bool) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];

        let mut pem = String::new();
        if !few_roots {
            let system = SYSTEM_ROOTS.iter().find(|file| Path::new(file).exists());
            pem = std::fs::read_to_string(system.expect("no root certificates on this machine")).unwrap();
        }
        pem.push_str(&authority.pem());
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(pem.as_bytes()).unwrap();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            roots,
            root_count: pem.matches("BEGIN CERTIFICATE").count(),
        }
    }

    /// A way to `backend`, an address without TLS.
    pub(crate) async fn before(&self, backend: &str) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Front {
            url: format!("https://localhost:{}", listener.local_addr().unwrap().port()),
            handshakes: Arc::default(),
            first_connection: Arc::default(),
        };
        let backend = backend.trim_start_matches("http://").to_owned();
        let acceptor = self.acceptor.clone();
        let handshakes = Arc::clone(&front.handshakes);
        let first_connection = Arc::clone(&front.first_connection);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                first_connection.lock().unwrap().get_or_insert_with(Instant::now);
                client.set_nodelay(true).unwrap();
                let (acceptor, backend) = (acceptor.clone(), backend.clone());
                let handshakes = Arc::clone(&handshakes);
                tokio::spawn(async move {
                    // A function that was ended closes in the middle of anything.
                    if let Ok(mut client) = acceptor.accept(client).await {
                        handshakes.fetch_add(1, Ordering::SeqCst);
                        let mut backend = TcpStream::connect(backend).await.unwrap();
                        backend.set_nodelay(true).unwrap();
                        copy_bidirectional(&mut client, &mut backend).await.ok();
                    }
                });
            }
        });
        front
    }
}
