//! Asking a kubelet, as good and bad ones answer: who gets the token, and what is made of the answer.
//! Listens on the loopback address.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use podfence_agent::args::KubeletAccess;
use podfence_agent::cluster::Node;
use podfence_agent::kubelet::Answer;
use podfence_agent::look::kubelet::ask;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

type Authority = CertifiedIssuer<'static, KeyPair>;

const TOKEN: &str = "a-token-that-is-secret";

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(parameters, key).expect("an authority")
}

/// A kubelet with a certificate for this name that gives this answer. What it is asked arrives at
/// the channel.
async fn kubelet(
    authority: &Authority,
    name: &str,
    answer: String,
) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = parameters
        .signed_by(&key, authority)
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (asked, questions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        // A client that does not like the certificate goes away.
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return;
        };
        let mut question = Vec::new();
        while !question.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            question.push(byte);
        }
        let question = String::from_utf8(question).expect("a question");
        asked.send(question).expect("somebody listens");
        // Who has read enough goes away as well.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    });
    (address, questions)
}

/// What the agent has on its disk.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn with(authority: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.crt"), authority).expect("writes");
        fs::write(folder.path().join("token"), TOKEN).expect("writes");
        Self { folder }
    }

    fn access(&self) -> KubeletAccess {
        KubeletAccess {
            authority: self.folder.path().join("ca.crt"),
            token: self.folder.path().join("token"),
            address: None,
            port: None,
        }
    }
}

fn node(address: SocketAddr) -> Node {
    Node {
        address: Some(address.ip().to_string()),
        port: Some(address.port()),
        ..Node::default()
    }
}

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn unreachable(answer: &Answer) -> &str {
    match answer {
        Answer::Unreachable(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_token_goes_to_nobody_who_does_not_prove_who_it_is() {
    let (cluster, stranger) = (authority(), authority());
    let on = http("200 OK", r#"{"kubeletconfig":{"seccompDefault":true}}"#);
    let trusted = cluster.pem();
    for (name, trusted, signed_by, address) in [
        // Nobody is trusted then, and not everybody whom the system trusts.
        ("nobody is trusted", "", &cluster, "127.0.0.1"),
        ("signed by a stranger", &trusted, &stranger, "127.0.0.1"),
        (
            "signed for another address",
            &trusted,
            &cluster,
            "127.0.0.2",
        ),
        ("signed for a name", &trusted, &cluster, "node"),
    ] {
        let (listens, mut questions) = kubelet(signed_by, address, on.clone()).await;
        let disk = Disk::with(trusted);
        let answer = ask(&disk.access(), &node(listens)).await;
        let why = unreachable(&answer);
        assert!(
            why.contains("certificate") && why.contains("serverTLSBootstrap"),
            "{name}: {why}"
        );
        assert!(!why.contains(TOKEN), "{name}: {why}");
        assert_eq!(questions.recv().await, None, "{name}");
    }
}

#[tokio::test]
async fn an_answer_is_what_it_says() {
    let cluster = authority();
    let disk = Disk::with(&cluster.pem());
    let large = format!(
        "{{\"kubeletconfig\":{{}},\"x\":\"{}\"}}",
        "x".repeat(2 << 20)
    );
    for (name, answer, want) in [
        (
            "forbidden",
            http("403 Forbidden", "no"),
            Err("nodes/configz"),
        ),
        (
            "unauthorized",
            http("401 Unauthorized", "no"),
            Err("webhook"),
        ),
        ("moved", http("302 Found", ""), Err("302")),
        (
            "something else",
            http("200 OK", "<html>"),
            Err("something else"),
        ),
        ("too much", http("200 OK", &large), Err("")),
        ("off", http("200 OK", r#"{"kubeletconfig":{}}"#), Ok(false)),
        (
            "on",
            http("200 OK", r#"{"kubeletconfig":{"seccompDefault":true}}"#),
            Ok(true),
        ),
    ] {
        let (listens, mut questions) = kubelet(&cluster, "127.0.0.1", answer).await;
        let answer = ask(&disk.access(), &node(listens)).await;
        match (want, &answer) {
            (Ok(enabled), Answer::Setting(setting)) => assert_eq!(*setting, enabled, "{name}"),
            (Err(text), Answer::Refused(why)) => assert!(why.contains(text), "{name}: {why}"),
            (Err(""), Answer::Unreachable(_)) => {}
            _ => panic!("{name}: {answer:?}"),
        }
        let question = questions.recv().await.expect("a question");
        assert!(
            question.starts_with("GET /configz HTTP/1.1\r\n"),
            "{question}"
        );
        assert!(
            question.contains(&format!("authorization: Bearer {TOKEN}\r\n")),
            "{question}"
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let cluster = authority();
    let disk = Disk::with(&cluster.pem());
    let nowhere = ask(&disk.access(), &Node::default()).await;
    assert!(unreachable(&nowhere).contains("--kubelet-address"));
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let refused = ask(&disk.access(), &node(address)).await;
    assert!(unreachable(&refused).contains("refused"), "{refused:?}");
    for file in ["ca.crt", "token"] {
        let disk = Disk::with(&cluster.pem());
        fs::remove_file(disk.folder.path().join(file)).expect("removes");
        let missing = ask(&disk.access(), &node(address)).await;
        assert!(
            unreachable(&missing).contains("No such file"),
            "{missing:?}"
        );
    }
}
