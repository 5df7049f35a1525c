//! Makes calls through a real router to an upstream in this process, and tells what they cost.
//!
//! ```text
//! call-cost [ENDPOINT] [numbers]
//! ```
//!
//! With an endpoint every span of every call is exported there; with `numbers` they are kept, for a
//! page and for the endpoint. It does what its stdin says, one word a line: `calls` makes [`CALLS`] of them and
//! answers `done`, `time` answers with the processor time so far in nanoseconds, first of the thread
//! that calls, then of all others. `cargo xtask bench --only telemetry` runs one of each kind in turns.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway as _, Principal, Session, Stay},
    handshake::ServerInfo,
    id::Id,
    message::{Extra, Message, Outcome, Request},
    method,
    peer::{Origin, Peer, Place},
    raw::Raw,
    upstream::{Call, Health, Incarnation, Reply, Status, Upstream, UpstreamError, UpstreamName},
    version::Version,
};
use mcplex_router::{Clock, Options, Router};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    error::Error,
    future::pending,
    io::{self, BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{runtime, task};

/// Calls of one `calls`: their spans fill eight batches, and are half of what the queue holds.
const CALLS: u64 = 2048;

/// A time in which nothing happens.
struct Never;

impl Clock for Never {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(pending())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// An upstream that is always ready and answers at once.
#[derive(Debug)]
struct Echo {
    name: UpstreamName,
    next_id: AtomicU64,
    peer: Arc<Peer>,
    info: Arc<ServerInfo>,
    answer: Raw,
}

impl Echo {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            name: UpstreamName::new("echo")?,
            next_id: AtomicU64::new(1),
            peer: Arc::new(Peer {
                incarnation: Incarnation(1),
                version: Version::LATEST_LEGACY,
                network: "pipe",
                place: Place::default().into(),
                session: None,
                connect: None,
            }),
            info: Arc::new(ServerInfo {
                version: Version::LATEST_LEGACY,
                capabilities: json(r#"{"tools":{}}"#),
                implementation: json(r#"{"name":"echo","version":"1"}"#),
                instructions: None,
            }),
            answer: json(r#"{"content":[{"type":"text","text":"0123456789abcdef"}]}"#),
        })
    }
}

fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned()).expect("this example writes valid JSON")
}

#[async_trait]
impl Upstream for Echo {
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
        Some(self.info.clone())
    }

    fn peer(&self) -> Option<Arc<Peer>> {
        Some(self.peer.clone())
    }

    async fn call(&self, call: Call) -> Result<Reply, UpstreamError> {
        let result = if call.method == method::TOOLS_LIST {
            json(r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#)
        } else {
            self.answer.clone()
        };
        let outcome = Outcome::Result(result);
        Ok(Reply { outcome, extra: Extra::default(), from: Incarnation(1) })
    }

    fn send(&self, _: Option<Incarnation>, _: Message) {}
}

/// Somebody at the other end of a connection, whose session has a name.
struct Caller(Origin);

impl Client for Caller {
    fn send(&self, _: Message, _: Option<&Id>) -> bool {
        true
    }

    fn network(&self) -> &'static str {
        "tcp"
    }

    fn origin(&self, _: Option<&Id>) -> Origin {
        self.0.clone()
    }
}

/// A session that can call.
struct Calls {
    session: Arc<dyn Session>,
    params: Raw,
    next_id: u64,
}

impl Calls {
    async fn ask(&mut self, method: &'static str, params: Raw) -> Result<(), Box<dyn Error>> {
        self.next_id += 1;
        let request = Request::new(self.next_id, method, Some(params));
        let answer = self.session.request(request).await.ok_or("there is no answer")?;
        match answer.outcome {
            Outcome::Result(_) => Ok(()),
            Outcome::Error(error) => Err(error.as_str().into()),
        }
    }

    /// Makes so many, of which each carries the trace of its caller.
    async fn run(&mut self, times: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..times {
            self.ask(method::TOOLS_CALL, self.params.clone()).await?;
        }
        Ok(())
    }
}

async fn open(router: &Router) -> Result<Calls, Box<dyn Error>> {
    let upstream = Arc::new(Echo::new()?);
    let key = router.add(upstream.name.clone());
    let events = router.events(key);
    router.attach(key, upstream.clone());
    events.changed(upstream.status());
    let origin = Origin {
        address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4127)).into()),
        session: Some("0af7651916cd43dd8448eb211c80319c".into()),
        trace: None,
    };
    let arrival = Arrival { principal: Principal::Anybody, stay: Stay::Long };
    let session = router.open(Arc::new(Caller(origin)), arrival);
    let params = json(
        r#"{"name":"echo","arguments":{"text":"0123456789abcdef"},"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}"#,
    );
    let mut calls = Calls { session, params, next_id: 0 };
    let hello = json(
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"cost","version":"1"}}"#,
    );
    calls.ask(method::INITIALIZE, hello).await?;
    // The router reads the list of the upstream meanwhile.
    for _ in 0..100 {
        task::yield_now().await;
    }
    calls.run(1).await?;
    Ok(calls)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut endpoint, mut prometheus) = (None, false);
    for argument in env::args().skip(1) {
        match &*argument {
            "numbers" => prometheus = true,
            _ => endpoint = Some(argument),
        }
    }
    // What is left of a batch is not waited for long.
    let mut env = vec![("OTEL_BSP_SCHEDULE_DELAY".into(), "100".into())];
    if !prometheus {
        env.push(("OTEL_METRICS_EXPORTER".into(), "none".into()));
    }
    let telemetry = mcplex_telemetry::install(mcplex_telemetry::Options {
        endpoint,
        prometheus,
        env,
        ..mcplex_telemetry::Options::default()
    })?;
    let router = Router::new(Options::default(), Arc::new(Never));
    let runtime = runtime::Builder::new_current_thread().build()?;
    let mut tasks = task::JoinSet::new();
    let running = router.clone();
    tasks.spawn_on(async move { running.run().await }, runtime.handle());
    let mut calls = runtime.block_on(open(&router))?;
    for line in io::stdin().lock().lines() {
        match &*line? {
            "calls" => {
                runtime.block_on(calls.run(CALLS))?;
                writeln!(io::stdout(), "done")?;
            }
            "time" => {
                let all = nanoseconds(ClockId::ProcessCPUTime);
                let own = nanoseconds(ClockId::ThreadCPUTime);
                writeln!(io::stdout(), "{own} {}", all.saturating_sub(own))?;
            }
            other => return Err(format!("{other:?} is neither `calls` nor `time`").into()),
        }
    }
    drop(telemetry);
    Ok(())
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let whole = |part: i64| u64::try_from(part).unwrap_or_default();
    whole(time.tv_sec) * 1_000_000_000 + whole(time.tv_nsec)
}
