//! Connections coming in, and the end of all of them.

use crate::{endpoint::Doors, endpoint::Endpoint, options::Options, origin, steady::Steady};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use mcplex_proto::downstream::{Doorman, Gateway};
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

/// How many connections may wait for us in the system; what most systems allow at most anyway.
const BACKLOG: u32 = 1024;

/// How long to wait when the system has no file descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address that clients can connect to.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    bound: SocketAddr,
    doorman: Option<Arc<dyn Doorman>>,
}

impl HttpListener {
    /// Binds to `addr`; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A new mcplex must not wait until the connections of the last one are forgotten. On
        // Windows it need not, and the option would let others take our port.
        if cfg!(unix) {
            socket.set_reuseaddr(true)?;
        }
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok(Self { listener, bound, doorman: None })
    }

    /// Asks a doorman about every request; without one, whoever comes is served.
    #[must_use]
    pub fn with_doorman(mut self, doorman: Arc<dyn Doorman>) -> Self {
        self.doorman = Some(doorman);
        self
    }

    /// The address clients reach.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.bound
    }

    /// Serves clients until `stop` resolves, then drains.
    ///
    /// Draining takes no new connections and sessions; calls in flight may finish within
    /// [`Options::drain`], then all sessions are closed.
    pub async fn serve(
        self,
        gateway: Arc<dyn Gateway>,
        options: Options,
        stop: impl Future<Output = ()>,
    ) {
        let drain = options.drain;
        let permits = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
        let doors = Doors { bound: self.bound, gateway, doorman: self.doorman };
        let endpoint = Arc::new(Endpoint::new(doors, options, Handle::current()));
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut sweep = interval(endpoint.sweep_every());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.listener, &permits) => match accepted {
                    Ok((stream, from, permit)) => {
                        let serve = serve_connection(
                            Arc::clone(&endpoint), (stream, from), permit, stopped.clone(),
                        );
                        connections.spawn(serve);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no connection accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => report(ended),
                _ = sweep.tick() => endpoint.sweep(),
            }
        }
        drop(self.listener);
        endpoint.drain();
        stopping.send_replace(true);
        let finish = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if timeout(drain, finish).await.is_err() {
            tracing::warn!("calls were still in flight when the drain ended");
        }
        endpoint.close();
        connections.shutdown().await;
    }
}

/// Waits for a place, then for a client; cancel safe.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("nobody closes the semaphore");
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, permit))
}

/// Serves one connection until it ends, or until its answers are written after the stop.
async fn serve_connection(
    endpoint: Arc<Endpoint>,
    (stream, from): (TcpStream, SocketAddr),
    _permit: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may be delayed");
    }
    let options = &endpoint.options;
    let stream = Steady::new(stream, options.write_timeout);
    let (head_timeout, max_head) = (options.head_timeout, options.max_head);
    let address = origin::address(from);
    let service = service_fn(move |mut request| {
        origin::mark(&mut request, address.as_ref());
        Arc::clone(&endpoint).serve(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(max_head.max(Options::LEAST_HEAD))
            .pipeline_flush(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Without an answer the sender is gone, which is a stop too.
    let stop = async { drop(stopped.wait_for(|is_stopped| *is_stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients leave as they like; that is no trouble of ours.
        tracing::debug!(%error, "connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a bug");
    }
}
