use super::{
    counting::{CountedSession, TracedClient, asked},
    *,
};
use async_trait::async_trait;
use mcplex_proto::{
    downstream::{Client, Session},
    id::Id,
    message::{Extra, Message, Notification, Outcome, Request, Response},
    method,
    raw::Raw,
    trace::TraceContext,
    upstream::UNAVAILABLE_META,
    version::Version,
};
use serde_json::json;

fn call(tool: &str, duration_us: u64) -> Ended {
    Ended { tool: tool.to_owned(), duration_us, ..Ended::default() }
}

#[test]
fn the_last_are_kept_and_all_are_counted() {
    let calls = Calls::begin();
    for number in 0..2 * KEPT as u64 {
        calls.tell(call("a", number));
    }
    let last = calls.last(None);
    assert_eq!((last.len(), last[0].number), (KEPT, 2 * KEPT as u64));
    assert_eq!(calls.figures()[0].calls, 2 * KEPT as u64);
}

#[test]
fn percentiles_are_as_precise_as_the_histogram() {
    let calls = Calls::begin();
    for us in 1..=100 {
        calls.tell(call("a", us * 1_000));
    }
    let figures = &calls.figures()[0];
    let found = (figures.p50_us, figures.p95_us, figures.p99_us, figures.max_us);
    assert_eq!(found, (50_000, 100_000, 100_000, 100_000));
    calls.tell(call("slow", 70_000_000));
    let slow = &calls.figures()[1];
    assert_eq!((slow.p50_us, slow.max_us), (70_000_000, 70_000_000));
}

#[test]
fn the_figures_of_an_upstream_are_those_of_its_tools_together() {
    let calls = Calls::begin();
    let of = |tool: &str, upstream: &str, us| {
        let error_type = (tool == "b").then(|| "tool_error".to_owned());
        calls.tell(Ended { upstream: Some(upstream.to_owned()), error_type, ..call(tool, us) });
    };
    for us in 1..=50 {
        of("a", "one", us * 1_000);
        of("b", "one", (us + 50) * 1_000);
    }
    of("c", "two", 7);
    calls.tell(call("nobody's", 9));
    let all = calls.figures_of_upstreams();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].upstream.as_deref(), all[0].calls, all[0].errors), (Some("one"), 100, 50));
    assert_eq!((all[0].p50_us, all[0].p95_us, all[0].max_us), (50_000, 100_000, 100_000));
    assert_eq!((all[1].upstream.as_deref(), all[1].p99_us), (Some("two"), 7));
}

#[test]
fn names_without_end_take_memory_with_an_end() {
    let calls = Calls::begin();
    for number in 0..2 * TOOLS {
        calls.tell(call(&number.to_string(), 1));
    }
    let figures = calls.figures();
    assert_eq!(figures.len(), TOOLS + 1);
    let others = figures.iter().find(|it| it.tool == OTHERS).unwrap();
    assert_eq!(others.calls, TOOLS as u64);
    let name = "x".repeat(10 * NAME);
    assert_eq!(asked(Some(&Raw::of(&json!({ "name": name })))).0.len(), NAME);
}

#[test]
fn an_end_is_said_in_the_words_of_the_spans() {
    let of = |outcome: Outcome| {
        let response = Response { id: None, outcome, extra: Extra::default() };
        counting::outcome(Some(&response))
    };
    let result = |value| of(Outcome::Result(Raw::of(&value)));
    assert_eq!(result(json!({ "content": [] })), ("ok", None));
    let failed = result(json!({ "isError": true }));
    assert_eq!(failed, ("error", Some("tool_error".to_owned())));
    let tripped = json!({ "isError": true, "_meta": { UNAVAILABLE_META: { "code": -31002 } } });
    let expect = ("rejected", Some("mcplex.upstream_tripped".to_owned()));
    assert_eq!(result(tripped), expect);
    let error = of(Outcome::Error(Raw::of(&json!({ "code": -31003, "message": "" }))));
    assert_eq!(error, ("error", Some("mcplex.upstream_died".to_owned())));
    let unknown = of(Outcome::Error(Raw::of(&json!({ "code": -32602, "message": "" }))));
    assert_eq!(unknown, ("error", Some("-32602".to_owned())));
    assert_eq!(counting::outcome(None), ("cancelled", None));
}

#[test]
fn the_trace_is_the_callers() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let params = json!({
        "name": "add",
        "_meta": { "traceparent": format!("00-{trace}-00f067aa0ba902b7-01") },
    });
    assert_eq!(asked(Some(&Raw::of(&params))), ("add".to_owned(), Some(trace.to_owned())));
    assert_eq!(asked(None), (String::new(), None));
}

/// A client that takes nothing.
struct Deaf;

impl Client for Deaf {
    fn send(&self, _: Message, _: Option<&Id>) -> bool {
        false
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}

#[test]
fn the_trace_of_a_call_is_the_one_its_span_is_in() {
    let client = TracedClient::new(Arc::new(Deaf));
    let span = TraceContext::local([7; 16], [1; 8], 1).unwrap();
    let id = Id::from(1_u64);
    // Of a request that is no call of a tool nobody wants to know.
    client.traced(&id, &span);
    assert!(lock(&client.traces).is_empty());
    lock(&client.traces).insert(id.clone(), None);
    client.traced(&id, &span);
    assert_eq!(lock(&client.traces)[&id].as_deref(), Some(&*"07".repeat(16)));
}

/// A session that never answers.
struct Silent;

#[async_trait]
impl Session for Silent {
    async fn request(&self, _: Request) -> Option<Response> {
        std::future::pending().await
    }

    fn notification(&self, _: Notification) {}

    fn response(&self, _: Response) {}

    fn version(&self) -> Option<Version> {
        None
    }

    fn drain(&self) {}

    fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_for_which_nobody_waits_any_more_is_told_too() {
    let calls = Calls::begin();
    let owner: Owner = Arc::new(|tool| (tool == "add").then(|| "files".to_owned()));
    let client: Arc<dyn Client> = Arc::new(Deaf);
    let client = Arc::new(TracedClient::new(client));
    let session = CountedSession { session: Arc::new(Silent), client, calls: calls.clone(), owner };
    let params = Some(Raw::of(&json!({ "name": "add" })));
    for method in [method::TOOLS_CALL, method::PING] {
        let request = Request {
            id: Id::from(1_u64),
            method: method.into(),
            params: params.clone(),
            extra: Extra::default(),
        };
        let waited = tokio::time::timeout(Duration::from_secs(2), session.request(request));
        assert!(waited.await.is_err());
    }
    let last = calls.last(None);
    assert_eq!(last.len(), 1, "{last:?}");
    assert_eq!((&*last[0].outcome, last[0].duration_us / 1_000_000), ("cancelled", 2));
    assert_eq!(last[0].upstream.as_deref(), Some("files"));
    assert_eq!(calls.figures()[0].errors, 0);
}
