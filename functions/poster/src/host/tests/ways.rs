//! Certificates and proxies of one's own, and what is asked besides.

use hosts::{Certificates, Connection, Proxy};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;

/// An authority, what it certifies a server on this machine with, and a client.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client's certificate and key, as a secret holds them.
    fn client(&self) -> serde_json::Value {
        let (certificate, key) = self.certify("poster");
        json!({"tls.crt": certificate.pem(), "tls.key": key.serialize_pem()})
    }

    /// What lets in who believes this authority; and only those it has certified, if it is asked to look.
    fn acceptor(&self, wants_client: bool) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.certify("127.0.0.1");
        let config = builder
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server that answers 201 to whom it lets in.
    async fn serve(&self, wants_client: bool) -> SocketAddr {
        let acceptor = self.acceptor(wants_client);
        serving(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }
}

fn certificates(secret: &serde_json::Value) -> Connection {
    Connection {
        certificates: Some(Certificates::from_secret(&secret.to_string().into()).unwrap()),
        proxy: None,
    }
}

fn through(secret: serde_json::Value) -> Connection {
    Connection {
        certificates: None,
        proxy: Some(Proxy::from_secret(&secret.to_string().into()).unwrap()),
    }
}

async fn post_by(hosts: &Hosts, way: &Way, root: &str) -> Result<(), PostError> {
    let repository = repository(Gitea, root);
    let credential = credential_in(Gitea, &format!(r#"{{"token":"{CANARY}"}}"#));
    let status = CommitStatus {
        repository: &repository,
        sha: &SHA.parse().unwrap(),
        context: "c",
        summary: None,
        state: State::Success,
        description: "d",
        target_url: None,
    };
    hosts.post(way, &credential, &status, LONG, &now).await
}

async fn post_with(connection: &Connection, root: &str) -> Result<(), PostError> {
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    let way = hosts.way(connection).unwrap();
    post_by(&hosts, &way, root).await
}

// notification-controller internal/notifier/gitea_test.go: CA pool ok, wrong CA.
#[tokio::test]
async fn p18_only_the_authorities_that_are_named_are_believed() {
    let (ours, other) = (Authority::new(), Authority::new());
    let root = format!("https://{}", ours.serve(false).await);
    let believing = |authority: &Authority| certificates(&json!({"ca.crt": authority.pem()}));

    assert_eq!(post_with(&believing(&ours), &root).await, Ok(()));
    for connection in [believing(&other), Connection::default()] {
        let error = post_with(&connection, &root).await.unwrap_err();
        assert_eq!(decision(&Err(error.clone())), "not sent");
        assert!(error.message().contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_host_that_wants_one() {
    let authority = Authority::new();
    let root = format!("https://{}", authority.serve(true).await);
    let mut secret = authority.client();
    secret["ca.crt"] = authority.pem().into();
    assert_eq!(post_with(&certificates(&secret), &root).await, Ok(()));

    let without = certificates(&json!({"ca.crt": authority.pem()}));
    assert!(post_with(&without, &root).await.is_err());
    let strangers = Authority::new().client();
    secret["tls.crt"] = strangers["tls.crt"].clone();
    secret["tls.key"] = strangers["tls.key"].clone();
    assert!(post_with(&certificates(&secret), &root).await.is_err());
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_no_way_and_not_told() {
    let hosts = Hosts::new(AddressPolicy::default()).unwrap();
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{CANARY}\n-----END {label}-----\n");
    for secret in [
        json!({"ca.crt": pem("CERTIFICATE")}),
        json!({"tls.crt": pem("CERTIFICATE"), "tls.key": pem("PRIVATE KEY")}),
    ] {
        let error = hosts.way(&certificates(&secret)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
        assert!(error.to_string().contains("in the secret"), "{error}");
    }
}

/// A proxy for HTTP that reads what it is asked, and sends its answer.
async fn proxy_that_answers(answer: &'static [u8]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let address = serving(move |mut stream| {
        let told = Arc::clone(&told);
        async move {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            told.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    (address, asked)
}

// notification-controller internal/notifier/gitea_test.go: proxy.
#[tokio::test]
async fn p18_a_proxy_is_asked_with_its_name_and_password_and_neither_is_told() {
    let refuses = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let (address, asked) = proxy_that_answers(refuses).await;
    let connection = through(json!({
        "address": format!("http://{address}"), "username": "u", "password": CANARY,
    }));

    // The proxy looks up the name: nobody else could.
    let error = post_with(&connection, "https://git.example.invalid")
        .await
        .unwrap_err();

    assert_eq!(decision(&Err(error.clone())), "not sent");
    let told = format!("{error} {error:?} {connection:?}");
    assert!(!told.contains(CANARY), "{told}");
    let asked = asked.lock().unwrap().join("\n").to_ascii_lowercase();
    assert!(
        asked.starts_with("connect git.example.invalid:443 http/1.1"),
        "{asked}"
    );
    // u:c4n4ry-0f-the-m1ne
    assert!(
        asked.contains("proxy-authorization: basic dtpjng40cnktmgytdghllw0xbmu="),
        "{asked}"
    );
}

#[tokio::test]
async fn a_proxy_may_be_behind_tls_and_is_checked_as_the_host_is() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(false);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let address = serving(move |stream| {
        let (acceptor, told) = (acceptor.clone(), Arc::clone(&told));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            told.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream
                .write_all(b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let proxy = json!({"address": format!("https://{address}")});
    let believing = Connection {
        certificates: certificates(&json!({"ca.crt": authority.pem()})).certificates,
        ..through(proxy.clone())
    };

    for (connection, times) in [(through(proxy), 0), (believing, 1)] {
        let error = post_with(&connection, "https://git.example.invalid")
            .await
            .unwrap_err();
        assert_eq!(decision(&Err(error)), "not sent");
        assert_eq!(asked.lock().unwrap().len(), times);
    }
    assert!(asked.lock().unwrap()[0].starts_with("CONNECT git.example.invalid:443 HTTP/1.1"));
}

#[tokio::test]
async fn what_goes_through_a_proxy_arrives() {
    let server = answering(ResponseTemplate::new(201)).await;
    let taken = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let (address, asked) = proxy_that_answers(taken).await;
    let connection = through(json!({"address": format!("http://{address}")}));

    assert_eq!(post_with(&connection, &server.uri()).await, Ok(()));

    let asked = asked.lock().unwrap().join("\n");
    assert!(
        asked.starts_with(&format!("POST {}/api/v1/", server.uri())),
        "{asked}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_socks_proxy_is_told_the_name_of_the_host() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let address = serving(move |mut stream| {
        let told = Arc::clone(&told);
        async move {
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).await.unwrap();
            stream.write_all(&[5, 0]).await.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            let mut name = vec![0; usize::from(request[4]) + 2];
            stream.read_exact(&mut name).await.unwrap();
            told.lock().unwrap().push((request[3], name));
            // Connection refused.
            let _ = stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    })
    .await;

    let connection = through(json!({"address": format!("socks5://{address}")}));
    let error = post_with(&connection, "https://git.example.invalid")
        .await
        .unwrap_err();

    assert_eq!(decision(&Err(error)), "not sent");
    let mut name = b"git.example.invalid".to_vec();
    name.extend(443_u16.to_be_bytes());
    assert_eq!(asked.lock().unwrap().first(), Some(&(3, name)));
}

#[tokio::test]
async fn a_socks_proxy_is_told_name_and_password() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let address = serving(move |mut stream| {
        let heard = Arc::clone(&heard);
        async move {
            let mut head = [0; 2];
            stream.read_exact(&mut head).await.unwrap();
            let mut ways = vec![0; usize::from(head[1])];
            stream.read_exact(&mut ways).await.unwrap();
            assert!(ways.contains(&2), "{ways:?}");
            stream.write_all(&[5, 2]).await.unwrap();
            let mut said = Vec::new();
            while said.len() < 3 + 1 + CANARY.len() {
                if stream.read_buf(&mut said).await.unwrap() == 0 {
                    break;
                }
            }
            heard.lock().unwrap().push(said);
            // It is not let in.
            let _ = stream.write_all(&[1, 1]).await;
        }
    })
    .await;
    let connection = through(json!({
        "address": format!("socks5://{address}"), "username": "u", "password": CANARY,
    }));

    let error = post_with(&connection, "https://git.example.invalid")
        .await
        .unwrap_err();

    let told_of_it = format!("{error} {error:?}");
    assert!(!told_of_it.contains(CANARY), "{told_of_it}");
    assert_eq!(decision(&Err(error)), "not sent");
    let mut expected = vec![1, 1, b'u', u8::try_from(CANARY.len()).unwrap()];
    expected.extend(CANARY.bytes());
    assert_eq!(told.lock().unwrap().first(), Some(&expected));
}

#[tokio::test]
async fn p11_neither_a_proxy_nor_a_host_behind_one_is_at_an_address_that_is_refused() {
    let hosts = Hosts::new(AddressPolicy::default()).unwrap();
    let error = hosts
        .way(&through(json!({"address": "http://169.254.169.254:3128"})))
        .unwrap_err();
    assert!(error.to_string().starts_with("the proxy: "), "{error}");

    let (address, asked) = proxy_that_answers(b"").await;
    let connection = through(json!({"address": format!("http://{address}")}));
    let error = post_with(&connection, "https://169.254.169.254")
        .await
        .unwrap_err();
    assert_eq!(decision(&Err(error)), "address-refused");
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn one_connection_has_one_client() {
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    let secret =
        |password: &str| json!({"address": "http://127.0.0.1:1", "username": "u", "password": password});
    for password in ["a", "a", "b"] {
        hosts.way(&through(secret(password))).unwrap();
    }
    hosts.way(&Connection::default()).unwrap();
    assert_eq!(hosts.others.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_commit_is_asked_about_where_the_answer_does_not_tell() {
    for (answer, expected) in [(404, "unknown commit"), (200, "ambiguous"), (500, "ambiguous")] {
        let server = MockServer::start().await;
        Mock::given(wiremock::matchers::method("POST"))
            .respond_with(ResponseTemplate::new(500).set_body_json(json!({"message": ""})))
            .mount(&server)
            .await;
        Mock::given(wiremock::matchers::method("GET"))
            .and(path(format!("/api/v1/repos/acme/fleet.infra/git/commits/{SHA}")))
            .respond_with(ResponseTemplate::new(answer))
            .mount(&server)
            .await;
        let outcome = post(Gitea, &server.uri(), LONG).await;
        assert_eq!(decision(&outcome), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_redirection_to_a_sign_in_page_is_a_refused_credential() {
    let server = MockServer::start().await;
    let elsewhere = "https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com";
    Mock::given(any())
        .respond_with(ResponseTemplate::new(302).insert_header("location", elsewhere))
        .mount(&server)
        .await;
    assert_eq!(
        decision(&post(AzureDevOps, &server.uri(), LONG).await),
        "unauthorized"
    );
    assert_eq!(decision(&post(Gitea, &server.uri(), LONG).await), "moved");
}

#[tokio::test]
async fn a_status_is_posted_without_the_link_a_host_does_not_take() {
    let refused = json!({"message": {"target_url": ["is blocked: Host cannot be resolved or invalid"]}});
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::body_partial_json(
        json!({"target_url": "https://grafana.internal/"}),
    ))
    .respond_with(ResponseTemplate::new(400).set_body_json(refused))
    .with_priority(1)
    .mount(&server)
    .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    let repository = repository(GitLab, &server.uri());
    let status = CommitStatus {
        repository: &repository,
        sha: &SHA.parse().unwrap(),
        context: "c",
        summary: None,
        state: State::Success,
        description: "d",
        target_url: Some("https://grafana.internal/"),
    };
    let credential = credential_in(GitLab, r#"{"token":"t"}"#);
    let way = hosts.way(&Connection::default()).unwrap();
    assert_eq!(hosts.post(&way, &credential, &status, LONG, &now).await, Ok(()));
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn no_token_for_an_app_means_that_nothing_was_posted() {
    use ::aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let pair = ::aws_lc_rs::rsa::KeyPair::generate(::aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let secret = SecretString::from(
        json!({"githubAppID": "1", "githubAppPrivateKey": key, "githubAppInstallationID": "7"}).to_string(),
    );
    let Ok(Access::GitHubApp(app)) = GitHub.access(&secret, None) else {
        panic!("no App");
    };
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    let way = hosts.way(&Connection::default()).unwrap();
    for (code, expected) in [(500, "not sent"), (401, "unauthorized"), (422, "rejected")] {
        let server = answering(ResponseTemplate::new(code)).await;
        let repository = repository(GitHub, &server.uri());
        let error = hosts
            .installation_token(&way, &app, &repository, LONG, &now)
            .await
            .unwrap_err();
        assert_eq!(decision(&Err(error)), expected, "{code}");
        let request = the_only_request(&server).await;
        assert_eq!(request.url.path(), "/api/v3/app/installations/7/access_tokens");
    }
}
