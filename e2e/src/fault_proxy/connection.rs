//! One client's connection to the proxy, request by request. Listens, connects, passes on.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::{
    Refusal,
    request::ProxiedRequest,
    state::{State, Verdict},
    watch_stream,
};
use crate::lab::Identity;

/// The body of an answer: the API server's own, or ours.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Headers that speak of one connection, not of the request.
const HOP_BY_HOP: [header::HeaderName; 3] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Serves TLS under the identity.
pub(super) fn acceptor(identity: &Identity) -> anyhow::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    // Named here, because a process may have no default provider, or another crate's.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections for ever; they end with this future.
pub(super) async fn listen(
    listener: TcpListener,
    tls: TlsAcceptor,
    upstream: Client,
    state: Arc<watch::Sender<State>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A failure to accept is the client's, or passes.
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve(stream, tls.clone(), upstream.clone(), Arc::clone(&state)));
            }
            // Finished connections are forgotten.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until it ends or is cut. Errors are the client's to notice.
async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    upstream: Client,
    state: Arc<watch::Sender<State>>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    // The connection below owns the stream; to reset it takes a second handle.
    let handle = TcpStream::from_std(stream.try_clone()?)?;
    let mut control = state.subscribe();
    let cuts = control.borrow().cuts;
    let connection = async {
        let stream = tls.accept(TcpStream::from_std(stream)?).await?;
        let service = service_fn(|request| answer(request, upstream.clone(), Arc::clone(&state)));
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = connection => ended,
        cut = control.wait_for(|state| state.cuts != cuts) => {
            drop(cut);
            // Closing with a linger time of zero sends a reset instead of an orderly end.
            Ok(handle.set_zero_linger()?)
        }
    }
}

/// Answers one request; an error closes the connection without an answer.
async fn answer(
    request: Request<Incoming>,
    upstream: Client,
    state: Arc<watch::Sender<State>>,
) -> anyhow::Result<Response<AnswerBody>> {
    let proxied = ProxiedRequest::new(request.method(), request.uri());
    let mut control = state.subscribe();
    let (mut verdict, mut releases) = (Verdict::Hold, 0);
    state.send_modify(|state| (verdict, releases) = (state.admit(&proxied), state.releases));
    match verdict {
        Verdict::Forward => {}
        Verdict::Hold => return held(&mut control, releases).await,
        Verdict::Refuse(refusal) => return refused(&refusal),
        Verdict::ForwardIntoTrap(sprung) => {
            let response = forward(request, &upstream).await?;
            // All of it: the API server has finished with the write.
            response.into_body().collect().await?;
            let mut caught = false;
            state.send_modify(|state| {
                (caught, releases) = (state.spring(sprung, &proxied), state.releases);
            });
            ensure!(
                caught,
                "the trap was let go, and the answer is lost all the same"
            );
            return held(&mut control, releases).await;
        }
    }
    let response = forward(request, &upstream).await?;
    if proxied.is_watch() {
        return Ok(response.map(|body| watch_stream::relay(body, control, proxied.resource)));
    }
    Ok(response.map(|body| body.map_err(anyhow::Error::from).boxed_unsync()))
}

/// Waits until the trap is let go, and fails then: whoever was held gets no answer.
async fn held<T>(control: &mut watch::Receiver<State>, releases: u64) -> anyhow::Result<T> {
    control
        .wait_for(|state| state.releases != releases)
        .await
        .context("the proxy has ended")?;
    Err(anyhow!("cut off by a trap"))
}

async fn forward(request: Request<Incoming>, upstream: &Client) -> anyhow::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    without_hop_by_hop(&mut head.headers);
    // It named the proxy.
    head.headers.remove(header::HOST);
    head.version = http::Version::HTTP_11;
    let body = Body::from(body.collect().await?.to_bytes());
    let mut response = upstream.send(Request::from_parts(head, body)).await?;
    without_hop_by_hop(response.headers_mut());
    *response.version_mut() = http::Version::HTTP_11;
    Ok(response)
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn refused(refusal: &Refusal) -> anyhow::Result<Response<AnswerBody>> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": refusal.code, "reason": refusal.reason, "message": "refused by the fault proxy",
    });
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    let mut response = Response::builder()
        .status(StatusCode::from_u16(refusal.code)?)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = refusal.retry_after_seconds {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    Ok(response.body(body.boxed_unsync())?)
}
