//! A server that asks the test what to answer.

use crate::peer::within;
use bytes::Bytes;
use http_body_util::{
    BodyExt as _, Either, Full,
    channel::{Channel, Sender},
};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, io, net::SocketAddr};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// It listens until it is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Which connection it came on, from 1.
    pub(crate) connection: usize,
    reply: oneshot::Sender<Response<Body>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn bind(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::channel(1000);
        #[expect(clippy::disallowed_methods, reason = "aborted with the server")]
        let task = tokio::spawn(serve(listener, sender));
        Self { addr, asked, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        within(self.asked.recv()).await.unwrap()
    }

    /// The next request, which has this method.
    pub(crate) async fn asked(&mut self, method: &str) -> Asked {
        let asked = self.next().await;
        assert_eq!(asked.method, method, "{}", asked.body);
        asked
    }

    /// Whether nothing else was asked so far.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }

    /// Closes all connections, and takes no new ones.
    pub(crate) async fn die(self) -> SocketAddr {
        self.task.abort();
        let addr = self.addr;
        let Self { asked, task, .. } = self;
        drop(asked);
        assert!(within(task).await.is_err());
        addr
    }
}

async fn serve(listener: TcpListener, asked: mpsc::Sender<Asked>) {
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    for connection in 1.. {
        let (stream, _) = listener.accept().await.unwrap();
        let asked = asked.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| ask(request, asked.clone(), connection));
            // A client that leaves is no trouble of ours.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn ask(
    request: Request<Incoming>,
    asked: mpsc::Sender<Asked>,
    connection: usize,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (reply, answer) = oneshot::channel();
    let one = Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        connection,
        reply,
    };
    drop(asked.send(one).await);
    match answer.await {
        Ok(answer) => Ok(answer),
        // A test that drops a request leaves it unanswered.
        Err(_) => std::future::pending().await,
    }
}

impl Asked {
    /// Any response.
    pub(crate) fn reply(self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(body.to_owned()))));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        // A client that has left does not need it.
        drop(self.reply.send(response));
    }

    pub(crate) fn status(self, status: u16) {
        self.reply(status, &[], "");
    }

    /// 202, as for a notification.
    pub(crate) fn accept(self) {
        self.status(202);
    }

    /// One message as JSON.
    pub(crate) fn answer(self, body: &str) {
        self.answer_with(&[], body);
    }

    pub(crate) fn answer_with(self, headers: &[(&str, &str)], body: &str) {
        self.reply(200, &[headers, &[("content-type", "application/json")]].concat(), body);
    }

    /// A stream of events.
    pub(crate) fn stream(self) -> Stream {
        self.stream_with(&[])
    }

    pub(crate) fn stream_with(self, headers: &[(&str, &str)]) -> Stream {
        let (sender, channel) = Channel::new(16);
        let mut response = Response::new(Either::Right(channel));
        for (name, value) in [headers, &[("content-type", "text/event-stream")]].concat() {
            response.headers_mut().insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        drop(self.reply.send(response));
        Stream(sender)
    }
}

/// An open stream; dropped, it ends.
pub(crate) struct Stream(Sender<Bytes, io::Error>);

impl Stream {
    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, text: &str) {
        within(self.0.send_data(Bytes::from(text.to_owned()))).await.unwrap();
    }

    /// Writes an event with this data.
    pub(crate) async fn say(&mut self, data: &str) {
        self.write(&format!("data: {data}\n\n")).await;
    }

    /// Breaks the connection in the middle.
    pub(crate) fn cut(self) {
        self.0.abort(io::ErrorKind::ConnectionReset.into());
    }

    /// Waits until the client has left.
    pub(crate) async fn abandoned(mut self) {
        // Nobody reads, so what is written fails sooner or later.
        let left =
            async { while self.0.send_data(Bytes::from_static(b": ?\n\n")).await.is_ok() {} };
        within(left).await;
    }
}
