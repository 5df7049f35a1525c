//! Connections: name, TCP, TLS, and the tasks that keep them going.

use hyper::{Uri, rt::Executor};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use mcplex_proto::transport::ConnectError;
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    io::IoSlice,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tower_service::Service;
use url::Url;

/// How long a connection may take to be open, with TLS. As long as curl's users are told to allow,
/// and a third of what a handshake with a server may take by default.
const CONNECT: Duration = Duration::from_secs(10);

/// After how long a silent connection is asked by the system whether anybody is there: below the
/// 5 min after which most home routers forget one.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Opens connections to the one place where a server is.
#[derive(Clone)]
pub(crate) struct Dialer {
    uri: Uri,
    tls: Option<ServerName<'static>>,
    tcp: HttpConnector,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("is_tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(crate) fn new(url: &Url) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Permanent {
            what: "`url` is no address that can be connected to".to_owned(),
            hint: "correct it".to_owned(),
            source: None,
            kind: "bad_url",
        };
        let mut place = url.clone();
        place.set_path("/");
        place.set_query(None);
        let uri = place.as_str().parse().map_err(|_| wrong())?;
        let tls = match (url.scheme(), url.host_str()) {
            ("https", Some(host)) => {
                let host = host.trim_matches(['[', ']']).to_owned();
                Some(ServerName::try_from(host).map_err(|_| wrong())?)
            }
            _ => None,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(CONNECT));
        Ok(Self { uri, tls, tcp })
    }

    /// Opens a connection.
    pub(crate) async fn dial(&self) -> io::Result<Pipe> {
        let opened = timeout(CONNECT, self.open()).await;
        opened.unwrap_or_else(|_| {
            let limit = CONNECT.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {limit} s")))
        })
    }

    async fn open(&self) -> io::Result<Pipe> {
        let opened = self.tcp.clone().call(self.uri.clone()).await;
        let stream = opened.map_err(|error| innermost(&error))?.into_inner();
        let Some(name) = &self.tls else { return Ok(Pipe(Box::pin(stream))) };
        let connector = match TLS.get() {
            Some(connector) => connector.clone(),
            // The system's roots are read from disk.
            None => tokio::task::spawn_blocking(tls).await.map_err(io::Error::other)??,
        };
        let stream = connector.connect(name.clone(), stream).await?;
        Ok(Pipe(Box::pin(stream)))
    }
}

/// The one configuration of all connections of this process.
static TLS: OnceLock<TlsConnector> = OnceLock::new();

fn tls() -> io::Result<TlsConnector> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let verified = builder.with_platform_verifier();
    let mut config = verified.map_err(io::Error::other)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TLS.get_or_init(|| TlsConnector::from(Arc::new(config))).clone())
}

/// The system's own error inside another.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> io::Error {
    let mut at = Some(error);
    let mut last = error.to_string();
    while let Some(error) = at {
        last = error.to_string();
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.get_ref().is_none()
        {
            return match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), last),
            };
        }
        at = error.source();
    }
    io::Error::other(last)
}

/// Whether it is this host that has no more descriptors, and not the server that is away.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    // EMFILE and ENFILE, and what Windows says.
    matches!(error.raw_os_error(), Some(23 | 24 | 10024))
}

/// One open connection, plain or not.
pub(crate) struct Pipe(Pin<Box<dyn Io>>);

trait Io: AsyncRead + AsyncWrite + Send {}

impl Io for TcpStream {}

impl Io for tokio_rustls::client::TlsStream<TcpStream> {}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Gives hyper its connections, first the one that is open already.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) dialer: Dialer,
    pub(crate) first: Arc<Mutex<Option<Pipe>>>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Pipe>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Every address is of the same origin, so it is not looked at.
    fn call(&mut self, _: Uri) -> Self::Future {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dialer = self.dialer.clone();
        Box::pin(async move {
            match first {
                Some(pipe) => Ok(TokioIo::new(pipe)),
                None => dialer.dial().await.map(TokioIo::new),
            }
        })
    }
}

/// Owns the tasks of all connections to one server: with it they end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Closes all connections.
    pub(crate) fn abort(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}
