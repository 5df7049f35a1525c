//! Two upstreams behind one router, without processes, sockets or a runtime.
//!
//! Both have a tool `greet`, so clients see `english__greet` and `french__greet`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use async_trait::async_trait;
use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt as _;
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway as _, Principal, Stay},
    handshake::ServerInfo,
    id::Id,
    message::{Extra, Message, Notification, Outcome, Request},
    method,
    raw::Raw,
    upstream::{Call, Health, Incarnation, Reply, Status, Upstream, UpstreamError, UpstreamName},
    version::Version,
};
use mcplex_router::{Clock, Options, Router};
use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// An upstream that is always ready and knows one word.
#[derive(Debug)]
struct Greeter {
    name: UpstreamName,
    word: &'static str,
    next_id: AtomicU64,
}

impl Greeter {
    fn new(name: &str, word: &'static str) -> Result<Arc<Self>, Box<dyn Error>> {
        Ok(Arc::new(Self { name: UpstreamName::new(name)?, word, next_id: AtomicU64::new(1) }))
    }
}

fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned()).expect("this example writes valid JSON")
}

#[async_trait]
impl Upstream for Greeter {
    fn name(&self) -> &UpstreamName {
        &self.name
    }

    fn mint(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn status(&self) -> Status {
        Status::new(Health::Ready, Incarnation(1))
    }

    fn server_info(&self) -> Option<Arc<ServerInfo>> {
        Some(Arc::new(ServerInfo {
            version: Version::LATEST_LEGACY,
            capabilities: json(r#"{"tools":{}}"#),
            implementation: json(r#"{"name":"greeter","version":"1"}"#),
            instructions: None,
        }))
    }

    async fn call(&self, call: Call) -> Result<Reply, UpstreamError> {
        let params = call.params.as_ref().map_or("{}", Raw::as_str);
        println!("  {} is asked: {} {params}", self.name, call.method);
        let result = if call.method == method::TOOLS_LIST {
            json(r#"{"tools":[{"name":"greet","inputSchema":{"type":"object"}}]}"#)
        } else {
            json(&format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, self.word))
        };
        let outcome = Outcome::Result(result);
        Ok(Reply { outcome, extra: Extra::default(), from: Incarnation(1) })
    }

    fn send(&self, _to: Option<Incarnation>, _message: Message) {}
}

/// A client that prints what it is told unasked.
struct Printer;

impl Client for Printer {
    fn send(&self, message: Message, _about: Option<&Id>) -> bool {
        println!("  the client is told: {}", show(&message));
        true
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}

fn show(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_bytes()).into_owned()
}

/// Time in which nothing has to wait.
struct NoClock;

impl Clock for NoClock {
    fn sleep(&self, _time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let upstreams = [Greeter::new("english", "hello")?, Greeter::new("french", "bonjour")?];
    let router = Router::new(Options::default(), Arc::new(NoClock));

    // Whoever holds the router polls it; here that is a pool of one thread.
    let mut pool = LocalPool::new();
    let running = router.clone();
    pool.spawner().spawn_local(async move { running.run().await })?;

    for upstream in &upstreams {
        let key = router.add(upstream.name.clone());
        let events = router.events(key);
        router.attach(key, upstream.clone());
        // A supervisor says this; the router then reads the lists.
        events.changed(upstream.status());
    }
    pool.run_until_stalled();

    let session =
        router.open(Arc::new(Printer), Arrival { principal: Principal::Pipe, stay: Stay::Long });
    let mut ask = |id: u64, method: &'static str, params: &str| {
        let request = Request::new(id, method, Some(json(params)));
        println!("> {method} {params}");
        if let Some(response) = pool.run_until(session.request(request)) {
            println!("< {}", show(&response.into()));
        }
    };
    ask(1, method::INITIALIZE, r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#);
    session.notification(Notification::new(method::INITIALIZED, None));
    ask(2, method::TOOLS_LIST, "{}");
    ask(3, method::TOOLS_CALL, r#"{"name":"french__greet"}"#);
    ask(4, method::TOOLS_CALL, r#"{"name":"greet"}"#);
    session.close();
    Ok(())
}
