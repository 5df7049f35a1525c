//! Connections to a collector.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::trust;
use crate::plan::Target;

/// Opens connections to the one place where a collector is.
#[derive(Clone)]
pub(super) struct Connector(Arc<Place>);

struct Place {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("is_tls", &self.0.tls.is_some()).finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(target: &Target) -> io::Result<Self> {
        let is_tls = target.uri.scheme() == Some(&Scheme::HTTPS);
        let host = target.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = target.uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            true => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                Some((trust::connector(target)?, name))
            }
            false => None,
        };
        Ok(Self(Arc::new(Place { host, port, tls })))
    }
}

impl Place {
    async fn open(&self) -> io::Result<Pipe> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        // A batch is one write; there is nothing to wait for.
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Pipe::Tls(Box::new(TokioIo::new(stream)))
            }
            None => Pipe::Plain(TokioIo::new(stream)),
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Every address is of the same place, so it is not looked at.
    fn call(&mut self, _: Uri) -> Self::Future {
        let place = Arc::clone(&self.0);
        Box::pin(async move { place.open().await })
    }
}

/// One open connection.
pub(super) enum Pipe {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Pipe {
    fn write(self: Pin<&mut Self>) -> Pin<&mut (dyn Write + Send + Unpin)> {
        Pin::new(match self.get_mut() {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &mut **stream,
        })
    }
}

impl Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write().poll_write(cx, bytes)
    }

    /// A batch is some hundred kilobytes: its head goes before it, and it is not copied behind its head.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write().poll_shutdown(cx)
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
