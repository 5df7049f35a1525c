//! Serves a client over pipes in memory.

use crate::child::soon;
use async_trait::async_trait;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway, Session},
    header::HeaderParams,
    message::{Notification, Request, Response},
    raw::Raw,
    version::Version,
};
use mcplex_transport_stdio::{Left, Options, serve_stdio};
use std::{
    future::{Future, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

/// Far smaller than the bounds of what waits, so that those are met.
const PIPE: usize = 16 * 1024;

/// A gateway that notes what happens and answers `hold` only once it is told `release`.
pub(crate) struct World {
    events: mpsc::Sender<String>,
    release: Notify,
    drained: Notify,
    knows_batches: AtomicBool,
    client: Mutex<Option<Arc<dyn Client>>>,
}

impl World {
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<String>) {
        let (events, heard) = mpsc::channel(100);
        let world = Self {
            events,
            release: Notify::new(),
            drained: Notify::new(),
            knows_batches: AtomicBool::new(false),
            client: Mutex::new(None),
        };
        (Arc::new(world), heard)
    }

    fn note(&self, event: String) {
        self.events.clone().try_send(event).expect("the test looks at its events");
    }
}

struct Visit(Arc<World>);

pub(crate) struct Door(pub(crate) Arc<World>);

impl Gateway for Door {
    fn open(&self, client: Arc<dyn Client>, _: Arrival) -> Arc<dyn Session> {
        *self.0.client.lock().expect("nobody panics with it") = Some(client);
        Arc::new(Visit(Arc::clone(&self.0)))
    }

    fn header_params(&self, _: &str) -> Option<Arc<HeaderParams>> {
        None
    }
}

#[async_trait]
impl Session for Visit {
    async fn request(&self, request: Request) -> Option<Response> {
        self.0.note(format!("request {}", request.id));
        match &*request.method {
            "hold" => self.0.release.notified().await,
            "subscriptions/listen" => self.0.drained.notified().await,
            "cancelled" => return None,
            "huge" => {
                let text = Raw::of(&*"x".repeat(100_000));
                return Some(Response::result(request.id, text));
            }
            _ => {}
        }
        Some(Response::result(request.id, Raw::empty_object()))
    }

    fn notification(&self, notification: Notification) {
        self.0.note(notification.method.to_string());
        if notification.method == "release" {
            self.0.release.notify_waiters();
        }
    }

    fn response(&self, response: Response) {
        self.0.note(format!("response {}", response.id.expect("it has one")));
    }

    fn version(&self) -> Option<Version> {
        let knows_batches = self.0.knows_batches.load(Ordering::Relaxed);
        Some(if knows_batches { Version::V2025_03_26 } else { Version::LATEST_LEGACY })
    }

    fn drain(&self) {
        self.0.drained.notify_waiters();
    }

    fn close(&self) {
        self.0.note("close".to_owned());
    }
}

/// A client and the task that serves it.
struct Scene {
    world: Arc<World>,
    events: mpsc::Receiver<String>,
    write: DuplexStream,
    read: BufReader<DuplexStream>,
    served: JoinSet<Left>,
}

impl Scene {
    fn new(options: Options, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let (world, events) = World::new();
        let (write, input) = duplex(PIPE);
        let (output, read) = duplex(PIPE);
        let door = Arc::new(Door(Arc::clone(&world)));
        let mut served = JoinSet::new();
        served.spawn(serve_stdio(door, input, output, options, stop));
        Self { world, events, write, read: BufReader::new(read), served }
    }

    async fn say(&mut self, text: &str) {
        soon(self.write.write_all(text.as_bytes())).await.expect("it is served");
    }

    async fn say_bytes(&mut self, bytes: &[u8]) {
        soon(self.write.write_all(bytes)).await.expect("it is served");
    }

    async fn call(&mut self, id: u32, method: &str) {
        self.say(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n")).await;
    }

    async fn hear(&mut self) -> String {
        let mut line = String::new();
        soon(self.read.read_line(&mut line)).await.expect("answers are UTF-8");
        line.trim_end().to_owned()
    }

    async fn event(&mut self) -> String {
        soon(self.events.next()).await.expect("the world stays")
    }

    async fn left(&mut self) -> Left {
        soon(self.served.join_next()).await.expect("left once").expect("no panic")
    }
}

pub(crate) fn answer(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

#[tokio::test]
async fn requests_run_side_by_side_and_begin_in_the_order_of_arrival() {
    let mut scene = Scene::new(Options::default(), pending());
    scene.call(1, "hold").await;
    scene.call(2, "quick").await;
    scene.call(3, "cancelled").await;
    assert_eq!(scene.hear().await, answer(2));
    scene.say("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n").await;
    scene.say("{\"jsonrpc\":\"2.0\",\"method\":\"release\"}\n").await;
    assert_eq!(scene.hear().await, answer(1));
    for expect in ["request 1", "request 2", "request 3", "response 9", "release"] {
        assert_eq!(scene.event().await, expect);
    }
}

#[tokio::test]
async fn a_burst_in_one_read_is_taken_in_order() {
    let mut scene = Scene::new(Options::default(), pending());
    let call = |id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"hold\"}}\n");
    let release = "{\"jsonrpc\":\"2.0\",\"method\":\"release\"}\n";
    scene.say(&format!("{}{}{release}{}{release}", call(1), call(2), call(3))).await;
    let mut heard = [scene.hear().await, scene.hear().await, scene.hear().await];
    heard.sort_unstable();
    assert_eq!(heard, [answer(1), answer(2), answer(3)]);
    for expect in ["request 1", "request 2", "release", "request 3", "release"] {
        assert_eq!(scene.event().await, expect);
    }
}

#[tokio::test]
async fn what_is_no_message_is_answered_as_such() {
    let mut scene = Scene::new(Options::default(), pending());
    let mut check = async |line: &str, code: i32| {
        scene.say(&format!("{line}\n")).await;
        let answer = scene.hear().await;
        assert!(answer.contains(&format!("\"code\":{code}")), "{line}: {answer}");
    };
    check("{nothing", -32700).await;
    check("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quick\"}]", -32600).await;
    check("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"quick\"}", -32600).await;
    check("{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\"}", -32600).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_told_to_whoever_asked() {
    let mut scene = Scene::new(Options::default(), pending());
    scene.say_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{\"a\":\"\xff\"}}\n").await;
    let told = scene.hear().await;
    assert!(told.contains("-32700") && !told.contains("\"id\""), "{told}");
    assert_eq!(soon(scene.events.next()).await.as_deref(), Some("response 9"));
    let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
    scene.say(&format!("{{\"jsonrpc\":\"2.0\",\"id\":10,\"result\":{deep}}}\n")).await;
    assert_eq!(soon(scene.events.next()).await.as_deref(), Some("response 10"));
}

#[tokio::test]
async fn a_batch_is_answered_in_one_line_where_the_revision_knows_it() {
    let mut scene = Scene::new(Options { max_in_flight: 2, ..Options::default() }, pending());
    scene.world.knows_batches.store(true, Ordering::Relaxed);
    let call = |id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"quick\"}}");
    scene
        .say(&format!("[{},{},{{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}]\n", call(1), call(2)))
        .await;
    assert_eq!(scene.hear().await, format!("[{},{}]", answer(1), answer(2)));
    scene.say("[{\"jsonrpc\":\"2.0\",\"method\":\"n\"}]\n[]\n").await;
    assert!(scene.hear().await.contains("-32600"), "an empty batch is no batch");
    scene.say(&format!("[{},{},{}]\n", call(3), call(4), call(5))).await;
    let mixed = scene.hear().await;
    assert!(mixed.starts_with(r#"[{"jsonrpc":"2.0","id":5,"error""#), "{mixed}");
    scene.call(6, "quick").await;
    assert_eq!(scene.hear().await, answer(6));
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_rest_goes_on() {
    let mut scene = Scene::new(Options { max_in_flight: 1, ..Options::default() }, pending());
    scene.call(1, "hold").await;
    scene.call(2, "quick").await;
    assert!(scene.hear().await.contains("\"code\":-31005"));
    scene.say("{\"jsonrpc\":\"2.0\",\"method\":\"release\"}\n").await;
    assert_eq!(scene.hear().await, answer(1));
    scene.call(3, "quick").await;
    assert_eq!(scene.hear().await, answer(3));
}

#[tokio::test]
async fn the_end_of_input_ends_the_session_without_a_wait_for_calls() {
    let mut scene = Scene::new(Options::default(), pending());
    scene.call(1, "hold").await;
    assert_eq!(scene.event().await, "request 1");
    scene.write.shutdown().await.unwrap();
    assert_eq!(scene.left().await, Left::InputEnded);
    assert_eq!(scene.event().await, "close");
    assert_eq!(scene.hear().await, "");
}

#[tokio::test]
async fn a_drain_waits_for_calls_and_no_longer_than_told() {
    let drain = Duration::from_secs(10);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut scene = Scene::new(Options { drain, ..Options::default() }, async move {
        stopped.await.unwrap();
    });
    scene.call(1, "hold").await;
    assert_eq!(scene.event().await, "request 1");
    stop.send(()).unwrap();
    // The task must have seen the stop before the call may end.
    assert!(timeout(Duration::from_millis(20), scene.served.join_next()).await.is_err());
    scene.world.release.notify_waiters();
    assert_eq!(scene.hear().await, answer(1));
    assert_eq!(scene.left().await, Left::Stopped);
    assert_eq!(scene.event().await, "close");

    let drain = Duration::from_millis(10);
    let mut scene = Scene::new(Options { drain, ..Options::default() }, ready(()));
    scene.call(1, "hold").await;
    assert_eq!(scene.left().await, Left::Stopped);
}

#[tokio::test]
async fn a_dropped_listener_closes_the_session() {
    let mut scene = Scene::new(Options::default(), pending());
    scene.call(1, "hold").await;
    assert_eq!(scene.event().await, "request 1");
    soon(scene.served.shutdown()).await;
    assert_eq!(scene.event().await, "close");
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_no_new_answers_and_misses_the_oldest_notifications() {
    let mut scene = Scene::new(Options::default(), pending());
    let line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"huge\"}\n";
    let mut asked = 0;
    while timeout(Duration::from_millis(200), scene.write.write_all(line.as_bytes())).await.is_ok()
    {
        asked += 1;
        assert!(asked < 10_000, "nothing holds the client back");
    }
    let client = scene.world.client.lock().unwrap().clone().unwrap();
    let text = "x".repeat(1 << 20);
    for n in 1..=100 {
        let params = serde_json::json!({ "text": text, "n": n });
        assert!(client.send(Notification::new("note", Some(Raw::of(&params))).into(), None));
    }
    // Once it reads again, there are the answers, and then the newest.
    let mut heard = Vec::new();
    while heard.last() != Some(&100) {
        let line = scene.hear().await;
        let message: serde_json::Value = serde_json::from_str(&line).unwrap();
        heard.extend(message["params"]["n"].as_u64());
    }
    assert!((50..70).contains(&heard.len()), "{}", heard.len());
    assert!(heard.is_sorted() && heard[0] == 101 - heard.len() as u64, "{heard:?}");
}

#[tokio::test]
async fn an_over_long_line_ends_the_session() {
    let mut scene = Scene::new(Options { max_line: 100, ..Options::default() }, pending());
    scene.say(&"x".repeat(200)).await;
    assert!(matches!(scene.left().await, Left::Broken(why) if why.contains("100")));
    let told = scene.hear().await;
    assert!(told.contains("-32600") && told.contains("100"), "{told}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_and_leaves_is_gone_at_once() {
    let mut scene = Scene::new(Options::default(), pending());
    // 20 answers of 100 KB each: reading pauses at 1 MiB, and more than that waits unread.
    for id in 1..=20 {
        scene.call(id, "huge").await;
    }
    scene.write.shutdown().await.unwrap();
    assert_eq!(scene.left().await, Left::InputEnded);
}

#[tokio::test]
async fn a_stop_ends_each_subscription_with_its_answer_also_without_a_drain() {
    for drain in [Duration::ZERO, Duration::from_secs(10)] {
        let (stop, stopped) = oneshot::channel::<()>();
        let mut scene = Scene::new(Options { drain, ..Options::default() }, async move {
            stopped.await.unwrap();
        });
        for id in 1..=3 {
            scene.call(id, "subscriptions/listen").await;
            assert_eq!(scene.event().await, format!("request {id}"));
        }
        stop.send(()).unwrap();
        let mut heard = [scene.hear().await, scene.hear().await, scene.hear().await];
        heard.sort_unstable();
        assert_eq!(heard, [answer(1), answer(2), answer(3)]);
        assert_eq!(scene.left().await, Left::Stopped);
        assert_eq!(scene.event().await, "close");
    }
}

#[tokio::test]
async fn the_end_of_input_ends_subscriptions_too() {
    let mut scene = Scene::new(Options::default(), pending());
    scene.call(1, "subscriptions/listen").await;
    assert_eq!(scene.event().await, "request 1");
    scene.write.shutdown().await.unwrap();
    assert_eq!(scene.left().await, Left::InputEnded);
    assert_eq!(scene.event().await, "close");
}

#[tokio::test]
async fn subscriptions_count_as_requests_in_flight() {
    let mut scene = Scene::new(Options { max_in_flight: 50, ..Options::default() }, pending());
    for id in 1..=50 {
        scene.call(id, "subscriptions/listen").await;
        assert_eq!(scene.event().await, format!("request {id}"));
    }
    scene.call(51, "subscriptions/listen").await;
    let told = scene.hear().await;
    assert!(told.contains("\"id\":51") && told.contains("\"code\":-31005"), "{told}");
}

#[tokio::test]
async fn what_must_stand_alone_is_no_part_of_a_batch() {
    let mut scene = Scene::new(Options { max_batch: 3, ..Options::default() }, pending());
    scene.world.knows_batches.store(true, Ordering::Relaxed);
    let quick = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quick\"}";
    let init = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\"}";
    let modern = "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"quick\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}";
    scene.say(&format!("[{quick},{init},{modern}]\n")).await;
    let told = scene.hear().await;
    for (id, is_fine) in [(1, true), (2, false), (3, false)] {
        let part =
            if is_fine { answer(id) } else { format!("\"id\":{id},\"error\":{{\"code\":-32600") };
        assert!(told.contains(&part), "{told}");
    }
    scene.say(&format!("[{quick},{quick},{quick},{quick}]\n")).await;
    assert!(scene.hear().await.contains("-32600"));
    assert_eq!(scene.event().await, "request 1");
}

#[tokio::test]
async fn hostile_lines_are_told_and_the_next_one_is_served() {
    let mut scene = Scene::new(Options::default(), pending());
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = |depth| {
        let value = nested(depth);
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quick\",\"params\":{{\"a\":{value}}}}}"
        )
    };
    for (line, part) in [
        (deep(600), "\"id\":1,\"error\":{\"code\":-32600"),
        (deep(1_000_000), "\"id\":1,\"error\":{\"code\":-32600"),
        (nested(1_000_000), "-32600"),
        ("[".repeat(1_000_000), "-32700"),
        (deep(1).replacen("\"id\":1", "\"id\":1,\"id\":2", 1), "-32700"),
        (deep(1).replacen("\"id\":1", &format!("\"id\":{}", "9".repeat(100)), 1), "-32600"),
    ] {
        let write = format!("{line}\n");
        scene.say(&write).await;
        let told = scene.hear().await;
        assert!(told.contains(part) && told.len() < 1000, "{told}");
    }
    scene.say_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n").await;
    assert!(scene.hear().await.contains("-32700"));
    scene.say(&format!("{}\n", deep(400))).await;
    assert_eq!(scene.hear().await, answer(1));
}
