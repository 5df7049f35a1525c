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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// How long a running mcplex may take to accept; it has nothing else to do.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take beyond what is waited for. It is a millisecond's work, and some disk
/// accesses where logs and reports are read; a person would not wait for longer without a word.
pub const ANSWER: Duration = Duration::from_secs(5);

/// The largest answer that is read, in bytes: far more than all statuses or one report.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to a running mcplex.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Empty<Bytes>>,
    /// Who listens there, where the system says so.
    pid: Option<u32>,
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
    /// Somebody listens, and says nothing.
    #[error(
        "mcplex{} runs but does not answer; it is stopped or overloaded",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Silent {
        /// Its process, if the system says so.
        pid: Option<u32>,
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
    /// When nobody answers there, or somebody listens who takes no more connections.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = match timeout(CONNECT, socket::connect(path)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) if source.kind() != io::ErrorKind::WouldBlock => {
                return Err(ClientError::NotRunning { path: path.to_owned(), source });
            }
            // As many as it lets wait do so already.
            Ok(Err(_)) | Err(_) => return Err(ClientError::Silent { pid: None }),
        };
        Self::over(stream).await
    }

    async fn over(stream: Stream) -> Result<Self, ClientError> {
        let pid = socket::peer(&stream);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        let mut task = JoinSet::new();
        // An error of it is an error of the request that waits.
        task.spawn(async move { drop(connection.await) });
        Ok(Self { sender, pid, _connection: task })
    }

    /// Who listens there, where the system says so.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Asks for something.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::GET, path, ANSWER).await
    }

    /// Tells it to do something that may take as long as `patience`.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn post(&mut self, path: &str, patience: Duration) -> Result<Value, ClientError> {
        self.ask(Method::POST, path, ANSWER.saturating_add(patience)).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        bound: Duration,
    ) -> Result<Value, ClientError> {
        let pid = self.pid;
        soon(pid, bound, async { read(self.send(method, path).await?).await }).await
    }

    /// Asks for plain text that comes in pieces.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn stream(&mut self, path: &str) -> Result<Pieces, ClientError> {
        let pid = self.pid;
        let begins = async {
            let response = self.send(Method::GET, path).await?;
            if response.status().is_success() {
                return Ok(Pieces { body: response.into_body(), pid });
            }
            read(response).await.and(Err(ClientError::Strange))
        };
        soon(pid, ANSWER, begins).await
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

/// Waits for an answer, but not for ever.
async fn soon<T>(
    pid: Option<u32>,
    bound: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(bound, answer).await.unwrap_or(Err(ClientError::Silent { pid }))
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

/// A name as a part of a path, so that it is no more than one part.
#[must_use]
pub fn escaped(name: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(name, PLAIN).to_string()
}

/// Plain text as it comes.
#[derive(Debug)]
pub struct Pieces {
    body: Incoming,
    pid: Option<u32>,
}

impl Pieces {
    /// The next piece, which is there already.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn next_soon(&mut self) -> Result<Option<Bytes>, ClientError> {
        let pid = self.pid;
        soon(pid, ANSWER, async { Ok(self.next().await) }).await
    }

    /// The next piece, whenever it comes; `None` at the end, also when the connection broke.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{net::UnixListener, time::Instant};

    /// Somebody who listens and never says a word.
    async fn silence() -> (tempfile::TempDir, UnixListener, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(&path).await.unwrap();
        (dir, listener, client)
    }

    #[expect(clippy::disallowed_methods, reason = "the time of a test is paused")]
    fn now() -> Instant {
        Instant::now()
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for_without_end() {
        let (_dir, _listener, mut client) = silence().await;
        tokio::time::pause();
        let begun = now();
        let error = client.get("/v1/status").await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), ANSWER.as_secs());
        let expect = format!(
            "mcplex (process {}) runs but does not answer; it is stopped or overloaded",
            std::process::id()
        );
        assert_eq!(error.to_string(), expect);
    }

    #[tokio::test]
    async fn what_takes_long_is_waited_for_longer() {
        let (_dir, _listener, mut client) = silence().await;
        tokio::time::pause();
        let begun = now();
        let told = client.post("/v1/stop", Duration::from_secs(30)).await;
        assert!(matches!(told, Err(ClientError::Silent { .. })), "{told:?}");
        assert_eq!(begun.elapsed().as_secs(), 30 + ANSWER.as_secs());
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(escaped("a-b_c/s1?x=%"), "a-b_c%2Fs1%3Fx%3D%25");
    }
}
