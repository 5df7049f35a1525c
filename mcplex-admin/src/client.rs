//! What commands use to reach a running mcplex.

use crate::{
    control::Problem,
    socket::{self, Stream},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// How long a running mcplex may take to accept; it has nothing else to do.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest answer that is read, in bytes: far more than all statuses or one report.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to a running mcplex.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Empty<Bytes>>,
    /// Moves the bytes; ends with this.
    _connection: JoinSet<()>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("nobody answers at {}", .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("mcplex has ended, or did not answer")]
    Broken(#[source] hyper::Error),
    /// It is no answer of an mcplex of this version.
    #[error("the answer is not understood")]
    Strange,
    /// It was understood and refused.
    #[error("{}", .0.message)]
    Refused(Problem),
}

impl Client {
    /// Connects to a control socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let not_running = |source| ClientError::NotRunning { path: path.to_owned(), source };
        let stream = timeout(CONNECT, socket::connect(path)).await;
        let stream = stream.unwrap_or_else(|late| Err(late.into())).map_err(not_running)?;
        Self::over(stream).await
    }

    async fn over(stream: Stream) -> Result<Self, ClientError> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        let mut task = JoinSet::new();
        // An error of it is an error of the request that waits.
        task.spawn(async move { drop(connection.await) });
        Ok(Self { sender, _connection: task })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        let response = self.send(Method::GET, path).await?;
        read(response).await
    }

    /// Tells it to do something.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn post(&mut self, path: &str) -> Result<Value, ClientError> {
        let response = self.send(Method::POST, path).await?;
        read(response).await
    }

    /// Asks for plain text that comes in pieces.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn stream(&mut self, path: &str) -> Result<Pieces, ClientError> {
        let response = self.send(Method::GET, path).await?;
        if response.status().is_success() {
            return Ok(Pieces(response.into_body()));
        }
        read(response).await.and(Err(ClientError::Strange))
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "mcplex")
            .body(Empty::new())
            .map_err(|_| ClientError::Strange)?;
        self.sender.send_request(request).await.map_err(ClientError::Broken)
    }
}

async fn read(response: Response<Incoming>) -> Result<Value, ClientError> {
    let is_success = response.status().is_success();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
    let bytes = body.collect().await.map_err(|error| match error.downcast() {
        Ok(error) => ClientError::Broken(*error),
        Err(_) => ClientError::Strange,
    })?;
    let mut value: Value =
        serde_json::from_slice(&bytes.to_bytes()).map_err(|_| ClientError::Strange)?;
    if is_success {
        return Ok(value);
    }
    match serde_json::from_value(value["error"].take()) {
        Ok(problem) => Err(ClientError::Refused(problem)),
        Err(_) => Err(ClientError::Strange),
    }
}

/// Plain text as it comes.
#[derive(Debug)]
pub struct Pieces(Incoming);

impl Pieces {
    /// The next piece; `None` at the end, also when the connection broke.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.0.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}
