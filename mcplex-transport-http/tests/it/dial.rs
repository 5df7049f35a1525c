//! The way to a server, against one that answers as a test says.

mod server;

mod ends;
mod legacy;
mod modern;
mod older;
mod refusals;

use crate::peer::within;
use futures_util::{SinkExt as _, StreamExt as _};
use mcplex_proto::{
    message::{Message, Outcome, Response},
    transport::{
        Closed, ConnectError, Connection, Ending, Grace, Incoming, Lifeline, Outgoing, Received,
        Transport as _,
    },
    upstream::UpstreamName,
};
use mcplex_transport_http::dial::{HttpTransport, Remote};
use serde_json::Value;
use server::{Asked, Server};

/// The envelope of a request that stands for itself.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A server at this address.
fn remote(url: &str) -> Remote {
    Remote::new(UpstreamName::new("far").unwrap(), url)
}

/// A connection, as the supervisor holds it.
struct Dialed {
    outgoing: Outgoing,
    incoming: Incoming,
    lifeline: Box<dyn Lifeline>,
}

impl Dialed {
    async fn to(server: &Server) -> Self {
        Self::at(remote(&server.url())).await
    }

    async fn at(remote: Remote) -> Self {
        Self::by(&HttpTransport::new(remote)).await
    }

    async fn by(transport: &HttpTransport) -> Self {
        let Connection { outgoing, incoming, lifeline } =
            within(transport.connect()).await.unwrap();
        Self { outgoing, incoming, lifeline }
    }

    /// A legacy session of this revision, whose id is `s1`.
    async fn session(server: &mut Server, version: &str) -> Self {
        let mut dialed = Self::to(server).await;
        dialed.open(server, version).await;
        dialed
    }

    /// Opens the session; the server has no stream of its own.
    async fn open(&mut self, server: &mut Server, version: &str) {
        self.initialize(server, version).await;
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        server.asked("POST").await.accept();
        server.asked("GET").await.status(405);
    }

    async fn initialize(&mut self, server: &mut Server, version: &str) {
        self.call(0, "initialize", "").await;
        let result =
            format!(r#"{{"protocolVersion":"{version}","capabilities":{{}},"serverInfo":{{}}}}"#);
        let asked = server.asked("POST").await;
        asked.answer_with(&[("mcp-session-id", "s1")], &response(0, &result));
        assert!(self.result(0).await.contains(version));
    }

    async fn send(&mut self, text: &str) {
        let message = Message::parse(text.to_owned().into()).unwrap();
        within(self.outgoing.send(message)).await.unwrap();
    }

    /// Sends a request; `params` are members.
    async fn call(&mut self, id: u64, method: &str, params: &str) {
        self.send(&call(id, method, params)).await;
    }

    /// The next thing that comes.
    async fn next(&mut self) -> Received {
        within(self.incoming.next()).await.expect("something comes")
    }

    async fn response(&mut self, id: u64) -> Response {
        let next = self.next().await;
        let Received::Message(Message::Response(response)) = next else { panic!("{next:?}") };
        assert_eq!(response.id, Some(id.into()));
        response
    }

    async fn result(&mut self, id: u64) -> String {
        match self.response(id).await.outcome {
            Outcome::Result(raw) => raw.as_str().to_owned(),
            Outcome::Error(raw) => panic!("{raw:?}"),
        }
    }

    async fn error(&mut self, id: u64) -> Value {
        match self.response(id).await.outcome {
            Outcome::Error(raw) => raw.get().unwrap(),
            Outcome::Result(raw) => panic!("{raw:?}"),
        }
    }

    /// What came instead of a connection.
    async fn refused(&mut self) -> ConnectError {
        let next = self.next().await;
        let Received::Refused(error) = next else { panic!("{next:?}") };
        error
    }

    /// Waits for the end, and for all that comes before it.
    async fn ended(mut self) -> String {
        let ending = within(self.lifeline.ended()).await;
        let rest: Vec<_> = within(self.incoming.collect()).await;
        assert!(rest.is_empty(), "{rest:?}");
        let Ending::Lost(why) = ending else { panic!("{ending:?}") };
        why.to_string()
    }

    async fn close(self) -> Closed {
        let Self { outgoing, incoming, mut lifeline } = self;
        drop((outgoing, incoming));
        within(lifeline.close(Grace::default())).await
    }
}

/// A request; `params` are members.
fn call(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

fn response(id: u64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn error(id: u64, code: i64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no"}}}}"#)
}

/// The one header of a request.
fn header<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked.headers.get(name).map(|value| value.to_str().unwrap())
}
