//! Spans that no end-to-end test brings about: a call that is tried again.

use crate::{modern, world::World};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::{Interest, with_default},
};

/// Spans as text, oldest first.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl Told {
    fn lock(&self) -> MutexGuard<'_, Vec<BTreeMap<String, String>>> {
        self.0.lock().unwrap()
    }
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Told {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Others ask on other threads, with another subscriber.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = BTreeMap::new();
        attributes.record(&mut Fields(&mut fields));
        let mut spans = self.lock();
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut self.lock()[index]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Id, try and error of the spans of a tool's calls at an upstream.
fn tries(told: &Told) -> Vec<[String; 3]> {
    let spans = told.lock();
    let is_it = |span: &&BTreeMap<String, String>| {
        span.get("otel.kind").is_some_and(|kind| kind == "client")
            && span.get("gen_ai.tool.name").is_some_and(|name| name == "echo")
    };
    let word = |span: &BTreeMap<String, String>, name: &str| {
        span.get(name).cloned().unwrap_or_else(|| "-".to_owned())
    };
    let names = ["jsonrpc.request.id", "mcplex.request.attempt", "error.type"];
    spans.iter().filter(is_it).map(|span| names.map(|name| word(span, name))).collect()
}

#[test]
fn each_request_that_is_sent_for_a_call_is_a_span() {
    // With one subscriber alone, a thread that has none decides for all that nobody wants a span.
    let _another = Dispatch::new(Told::default());
    let told = Told::default();
    with_default(told.clone(), || {
        let mut world = World::new(&["a"]);
        world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
        let tools = r#"{"resultType":"complete","tools":[{"name":"echo"}],"ttlMs":1,"cacheScope":"public"}"#;
        world.upstreams[0].lists("tools/list", &[tools]);
        world.ready(0, 1);
        let peer = world.client(r#"{"elicitation":{"form":{},"url":{}}}"#);
        let call = r#"{"jsonrpc":"2.0","id":"k","method":"tools/call","params":{"name":"echo"}}"#;
        let going = world.ask(&peer, call);
        let ask = r#"{"resultType":"input_required","inputRequests":{"name":{"method":"elicitation/create","params":{"message":"Name?","requestedSchema":{"type":"object","properties":{}}}}}}"#;
        world.upstreams[0].answers(ask);
        world.run();
        world.tell(&peer, r#"{"jsonrpc":"2.0","id":1,"result":{"action":"decline"}}"#);
        world.upstreams[0].answers(r#"{"resultType":"complete","content":[]}"#);
        world.run();
        assert!(going.is_done());
    });
    let is_server = |span: &&BTreeMap<String, String>| {
        span.get("otel.kind").is_some_and(|kind| kind == "server")
            && span.get("otel.name").is_some_and(|name| name == "tools/call echo")
    };
    let id =
        told.lock().iter().find(is_server).and_then(|it| it.get("jsonrpc.request.id").cloned());
    assert_eq!(id.as_deref(), Some("k"), "others write no quotes around it");
    let tries = tries(&told);
    let [first, second] = &tries[..] else { panic!("{tries:?}") };
    assert_eq!((&*first[1], &*second[1]), ("-", "2"));
    assert_ne!(first[0], second[0], "each has an id of its own");
    assert_eq!((&*first[2], &*second[2]), ("-", "-"));
}

#[test]
fn what_is_asked_of_a_task_has_no_name() {
    let _another = Dispatch::new(Told::default());
    let told = Told::default();
    with_default(told.clone(), || {
        let extension = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        let ask = |method: &str, members: &str| {
            let meta = modern::meta(extension, "");
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{meta}{members}}}}}"#
            )
        };
        let mut world = World::new(&["a"]);
        let capabilities = r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        world.upstreams[0].introduces_modern(capabilities);
        let tools = r#"{"resultType":"complete","tools":[{"name":"echo"}],"ttlMs":1,"cacheScope":"public"}"#;
        world.upstreams[0].lists("tools/list", &[tools]);
        world.ready(0, 1);
        let peer = world.passer_by(Some("ann"));
        let made = world.ask(&peer, &ask("tools/call", r#","name":"echo""#));
        world.upstreams[0]
            .answers(r#"{"resultType":"task","taskId":"t-1","status":"working","ttlMs":1}"#);
        world.run();
        let made: Value = serde_json::from_str(&made.text()).unwrap();
        let named = format!(r#","taskId":{}"#, made["result"]["taskId"]);
        let got = world.ask(&peer, &ask("tasks/get", &named));
        world.upstreams[0]
            .answers(r#"{"resultType":"complete","taskId":"t-1","status":"working"}"#);
        world.run();
        assert!(got.is_done());
    });
    let spans = told.lock();
    let is_it = |span: &&BTreeMap<String, String>| {
        span.get("mcp.method.name").is_some_and(|method| method == "tasks/get")
    };
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    assert_eq!(found.len(), 2, "the client's and ours: {found:?}");
    for span in found {
        assert_eq!(span["otel.name"], "tasks/get");
        assert!(!span.contains_key("gen_ai.prompt.name"), "{span:?}");
    }
}
