//! A server that answers what a test says.

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) type Answer = Option<Response<Full<Bytes>>>;

/// A server that ends with its test.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Answers by `answer`; `None` is never.
    pub(crate) async fn start(
        answer: impl Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same over TLS, with the certificate that a client must trust.
    pub(crate) async fn start_tls(
        name: &str,
        answer: impl Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a name");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has all versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
            .expect("a key for its certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::start_with(Some(acceptor), answer).await, made.cert.pem())
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request<Incoming>) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer(&request);
                    async move {
                        match answer {
                            Some(answer) => Ok::<_, Infallible>(answer),
                            None => std::future::pending().await,
                        }
                    }
                });
                let served = async {
                    match &tls {
                        None => {
                            drop(
                                http1::Builder::new()
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await,
                            );
                        }
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            drop(
                                http1::Builder::new()
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await,
                            );
                        }
                    }
                };
                served.await;
            }
        });
        Self { addr, _tasks: tasks }
    }
}

/// An answer with a body.
pub(crate) fn page(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status.try_into().expect("a status");
    page
}

/// An answer that points elsewhere.
pub(crate) fn redirect(to: &str) -> Response<Full<Bytes>> {
    let mut page = page(302, "");
    page.headers_mut().insert("location", to.parse().expect("a header"));
    page
}
