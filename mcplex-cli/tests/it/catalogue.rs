//! Everything that spans are exported of happens once here, and nothing is exported that is not in the
//! table: no name, no attribute, no link, no event, no word of `error.type`. What is in the table and
//! does not happen here is listed below with the reason.

use crate::{
    census,
    client::Client,
    far::{Far, Reply},
    gateway::{Gateway, PATIENCE, Setup},
    panel::{self, Panel},
    spans::{FAST, traced},
    stateless::Stateless,
    stdio::StdioClient,
    verbs::status,
};
use mcplex_proto::attr::{self, Kind, SpanDoc};
use mcplex_testkit::otlp::{Receiver, Span};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;

/// Attributes of a row of the table that do not come here, with why.
const UNSEEN: &[(&str, &str, &str)] = &[(
    "{mcp.method.name} {target}",
    attr::REQUEST_ATTEMPT,
    "a call is tried again when its server turns out to be of the other era, or asks in a \
         result; the tests of the router have both",
)];

/// Words of `error.type` that do not come here, with why.
const UNHEARD: &[(&str, &str)] = &[
    (attr::ERROR_SPAWN_TOO_MANY_OPEN_FILES, "the host would have to run out of descriptors"),
    (attr::ERROR_OTHER, "for what nobody has thought of"),
    (attr::ERROR_QUEUE_FULL, "a word of the numbers alone: such a span did not leave"),
    (attr::ERROR_SPAWN_PERMISSION_DENIED, "whoever may do everything is denied nothing"),
];

/// Several children of one server.
const POOL: &str = "isolation = \"pool\"\npool_size = 2";

/// Servers of every kind, behind one gateway.
fn setup(receiver: &Receiver, far: &Gateway, closed: &Far) -> Setup {
    let words = "Error: Cannot find module 'left-pad'";
    let setup = Setup::new(&format!("{}\n[router]\nnaming = \"prefix\"", panel::ADMIN));
    let mut setup = setup
        .server("good", &["--resources", "--prompts"])
        .server("new", &["--era", "modern"])
        .server_with("frail", &["--stderr", words, "--exit", "7"], FAST)
        .server("hunted", &[])
        .server_with("slow", &[], &format!("call_timeout = \"200ms\"\n{POOL}"))
        .server_with("resting", &[], "idle_stop = \"1s\"")
        .server_with("bad", &["--die-before-handshake", "0"], &format!("{FAST}\n{POOL}"))
        .server("liar", &["--protocol", "1999-01-01"]);
    setup.push("[[servers]]\nname = \"missing\"\ncommand = \"/there/is/no/such/program\"");
    let (far, closed) = (far.url(), closed.url());
    setup.push(&format!("[[servers]]\nname = \"far\"\nurl = \"{far}\"\nera = \"legacy\""));
    setup.push(&format!("[[servers]]\nname = \"closed\"\nurl = \"{closed}\""));
    setup.push("[[servers]]\nname = \"nowhere\"\nurl = \"http://127.0.0.1:1/mcp\"");
    setup.push("[[servers]]\nname = \"leaving\"\ncommand = \"true\"\nenabled = false");
    let mut setup = traced(setup, receiver);
    setup.set("[telemetry]\nstderr_tail = true\n");
    setup
}

/// What a client of sessions does over HTTP.
fn sessions(gateway: &Gateway) {
    let capabilities = json!({ "sampling": {}, "roots": { "listChanged": true } });
    let mut client = Client::connect_with(&gateway.url(), &capabilities);
    client.wait_for_tools(&["good__add", "frail__add", "slow__sleep", "resting__add", "far__add"]);
    let stream = client.listen();
    let numbers = json!({ "a": 1, "b": 2 });
    client.request("ping", &json!({}));
    client.request("logging/setLevel", &json!({ "level": "info" }));
    client.call("good__add", &numbers);
    client.call("far__add", &numbers);
    client.call("good__fail", &json!({}));
    client.request("tools/call", &json!({ "name": "good__nothing", "arguments": {} }));
    client.request("prompts/get", &json!({ "name": "good__greet_1", "arguments": {} }));
    let note = json!({ "uri": "fake://note/1" });
    client.request("resources/read", &note);
    client.request("resources/subscribe", &note);
    client.call("good__touch", &note);
    stream.next_of("notifications/resources/updated");
    client.request("resources/unsubscribe", &note);
    client.call("good__grow", &json!({}));
    stream.next_of("notifications/tools/list_changed");
    client.notify("notifications/roots/list_changed", &json!({}));
    answer_a_question(&mut client);
    give_up(&mut client);
    assert_eq!(client.call("slow__sleep", &json!({ "ms": 5_000 }))["isError"], true);
    // The same twice: it is what kills it.
    for _ in 0..2 {
        assert_eq!(client.call("frail__crash", &json!({}))["isError"], true);
    }
    gateway.wait_event("bad", "upstream tripped");
    assert_eq!(client.call("bad__add", &numbers)["isError"], true);
    gateway.wait_event("resting", "upstream is not used");
    client.call("resting__add", &numbers);
    stream.vanish();
    client.delete();
}

fn answer_a_question(client: &mut Client) {
    let pending = client.begin_call("good__sample", &json!({}));
    let question = pending.next_of("sampling/createMessage");
    assert!(question["params"]["_meta"]["traceparent"].is_string(), "{question}");
    let content = json!({ "type": "text", "text": "hello back" });
    client.respond(
        &question["id"],
        &json!({ "role": "assistant", "content": content, "model": "m" }),
    );
    pending.answer();
}

/// Gives up a call that its server certainly has.
fn give_up(client: &mut Client) {
    // It asks in the call, so it has the call.
    let pending = client.begin_call("good__sample", &json!({}));
    pending.next_of("sampling/createMessage");
    client.notify("notifications/cancelled", &json!({ "requestId": pending.id }));
    pending.ended();
}

/// What a client without sessions does.
fn stateless(gateway: &Gateway) {
    let mut client = Stateless::new(&gateway.url());
    client.request("server/discover", &json!({}));
    client.request("tools/list", &json!({}));
    client.call("new__add", &json!({ "a": 1, "b": 2 }));
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let listening = client.begin("subscriptions/listen", &wanted);
    listening.next_of("notifications/subscriptions/acknowledged");
    client.call("new__grow", &json!({}));
    listening.next_of("notifications/tools/list_changed");
    listening.vanish();
}

/// What operators do.
fn operators(setup: &Setup, gateway: &Gateway, panel: &Panel) {
    // It dies again and again, which the operator is told.
    assert_eq!(panel.ask("POST /api/v1/upstreams/bad/reset").0, 502);
    panel.json("POST /api/v1/upstreams/slow/stop");
    let mut client = gateway.client();
    assert_eq!(client.call("slow__add", &json!({ "a": 1, "b": 2 }))["isError"], true);
    let pid = status(setup, "hunted")["pid"].as_u64().unwrap();
    census::signal(u32::try_from(pid).unwrap(), Signal::KILL);
    gateway.wait_event("hunted", "upstream died");
}

/// A gateway over pipes, in which callers are linked to.
fn pipes(receiver: &Receiver) {
    let setup = Setup::new("[telemetry]\nincoming_context = \"link\"").server("good", &[]);
    let mut client = StdioClient::start(&traced(setup, receiver), &[]);
    // A change before the session is open is not told, so the list is asked for.
    let mut lists = (0..10_000).map(|_| client.request("tools/list", &json!({})));
    assert!(lists.any(|list| list.to_string().contains("\"add\"")));
    drop(lists);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let params = json!({
        "name": "add", "arguments": { "a": 1, "b": 2 }, "_meta": { "traceparent": parent },
    });
    client.request("tools/call", &params);
    client.leave();
    assert!(client.gateway.ended().success());
}

/// A caller that is named twice.
fn ambient(gateway: &Gateway) {
    let mut client = Stateless::new(&gateway.url());
    let parent = |span: &str| format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01");
    client.headers = format!("traceparent: {}\r\n", parent("00f067aa0ba902b7"));
    let meta = json!({ "_meta": { "traceparent": parent("b7ad6b7169203331") } });
    client.request("server/discover", &meta);
}

fn everything(receiver: &Receiver) -> Vec<Span> {
    let deep = traced(Setup::new("").server("deep", &[]), receiver);
    let mut far = deep.serve();
    far.wait_event("deep", "upstream connected");
    let closed = Far::start(|_| Reply::Status(401));
    let setup = setup(receiver, &far, &closed);
    let (mut gateway, panel) = panel::serve(&setup);
    sessions(&gateway);
    stateless(&gateway);
    ambient(&gateway);
    operators(&setup, &gateway, &panel);
    pipes(receiver);
    // A server that changes is replaced.
    let mut changed = setup.clone();
    changed.replace("\"--prompts\"", "\"--prompts\", \"--pages\", \"2\"");
    changed.write_to("mcplex.toml");
    gateway.signal(Signal::HUP);
    gateway.wait_events("good", "upstream connected", 2);
    // The server elsewhere ends before who uses it.
    far.signal(Signal::TERM);
    assert!(far.ended().success());
    gateway.wait_event("far", "upstream died");
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let is_over = |spans: &[Span]| spans.iter().any(|span| span.name == "mcplex.stop good");
    receiver.wait_for(PATIENCE, is_over)
}

fn kind(span: &Span) -> Kind {
    match span.kind {
        "client" => Kind::Client,
        "server" => Kind::Server,
        _ => Kind::Internal,
    }
}

/// What the table says about a span.
#[track_caller]
fn doc(span: &Span) -> &'static SpanDoc {
    SpanDoc::of(&span.name, kind(span)).unwrap_or_else(|| panic!("not in the table: {span:?}"))
}

fn is_word(words: &[attr::Word], name: &str) -> bool {
    words.iter().any(|word| word.name == name)
}

fn is_error_type(span: &Span, error: &str) -> bool {
    let is_code = error.parse::<i64>().is_ok();
    let is_of_http = span.attributes.contains_key(attr::HTTP_ROUTE);
    if is_of_http { is_code } else { is_code || is_word(attr::ERROR_TYPES, error) }
}

/// Looks whether the table allows a span as it is.
fn check(span: &Span) {
    let doc = doc(span);
    for name in span.attributes.keys() {
        assert!(doc.attributes.contains(&&**name), "{name}: {span:?}");
    }
    for (name, kind) in &span.value_kinds {
        let mut words = attr::CONVENTIONS.iter().chain(attr::ATTRIBUTES);
        let word = words.find(|word| word.name == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(*kind, word.kind, "{name}: {span:?}");
    }
    for link in &span.links {
        let kinds: Vec<_> = link.attributes.iter().collect();
        let [(key, kind)] = &kinds[..] else { panic!("{span:?}") };
        assert!(**key == attr::LINK_KIND && is_word(attr::LINK_KINDS, kind), "{span:?}");
    }
    for event in &span.events {
        assert!(doc.events.contains(&&*event.name), "{span:?}");
        assert!(event.attributes.keys().eq([attr::STDERR_TEXT]), "{span:?}");
    }
    assert!(doc.scopes.contains(&&*span.scope.name), "{span:?}");
    assert_eq!(span.scope.version, env!("CARGO_PKG_VERSION"), "{span:?}");
    assert_eq!(span.scope.schema_url, "https://opentelemetry.io/schemas/1.44.0", "{span:?}");
    let error = span.attribute(attr::ERROR_TYPE);
    assert_eq!(error.is_some(), span.status_code == "error", "{span:?}");
    assert!(error.is_none_or(|error| is_error_type(span, error)), "{span:?}");
    assert_eq!(
        span.attributes.contains_key(attr::LIFECYCLE),
        kind(span) == Kind::Internal,
        "{span:?}"
    );
    let is_modern = span.attribute(attr::MCP_PROTOCOL_VERSION) == Some("2026-07-28");
    let has_session = span.attributes.contains_key(attr::MCP_SESSION_ID);
    assert!(!is_modern || !has_session, "such a peer has no session: {span:?}");
}

#[test]
fn what_is_exported_is_in_the_table_and_the_other_way_round() {
    let receiver = Receiver::start().unwrap();
    let spans = everything(&receiver);
    spans.iter().for_each(check);

    let mut missing = Vec::new();
    for doc in attr::SPANS {
        let is_of_it = |span: &&Span| {
            SpanDoc::of(&span.name, kind(span))
                .is_some_and(|of| (of.name, of.kind) == (doc.name, doc.kind))
        };
        let of_it: Vec<_> = spans.iter().filter(is_of_it).collect();
        if of_it.is_empty() {
            missing.push(format!("{} ({:?})", doc.name, doc.kind));
        }
        for scope in doc.scopes {
            if !of_it.iter().any(|span| span.scope.name == *scope) {
                missing.push(format!("{scope} of {} ({:?})", doc.name, doc.kind));
            }
        }
        for name in doc.attributes {
            let is_known = UNSEEN.iter().any(|(row, unseen, _)| row == &doc.name && unseen == name);
            if !is_known && !of_it.iter().any(|span| span.attributes.contains_key(*name)) {
                missing.push(format!("{name} of {} ({:?})", doc.name, doc.kind));
            }
        }
    }
    let errors: BTreeSet<_> =
        spans.iter().filter_map(|span| span.attribute(attr::ERROR_TYPE)).collect();
    let unheard = |word: &&attr::Word| !UNHEARD.iter().any(|(name, _)| *name == word.name);
    let words = attr::ERROR_TYPES.iter().filter(unheard);
    missing.extend(words.filter(|word| !errors.contains(word.name)).map(|it| it.name.to_owned()));
    let links = spans.iter().flat_map(|span| &span.links);
    let links: BTreeSet<_> = links.map(|link| &*link.attributes[attr::LINK_KIND]).collect();
    let kinds = attr::LINK_KINDS.iter().filter(|word| !links.contains(word.name));
    missing.extend(kinds.map(|word| format!("link {}", word.name)));
    let events = attr::SPAN_EVENTS.iter().filter(|word| {
        !spans.iter().flat_map(|span| &span.events).any(|event| event.name == word.name)
    });
    missing.extend(events.map(|word| format!("event {}", word.name)));
    assert!(missing.is_empty(), "in the table and not exported: {missing:#?}");
}

/// The names of all spans below another one.
fn below<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let is_below = |span: &&Span| {
        span.trace_id == parent.trace_id && span.parent_span_id.as_ref() == Some(&parent.span_id)
    };
    spans.iter().filter(is_below).collect()
}

#[test]
fn a_connect_holds_its_handshake_and_its_lists_and_a_call_that_waits_holds_the_connect() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server_with("resting", &["--resources"], "idle_stop = \"1s\"");
    let mut gateway = traced(setup, &receiver).serve();
    let mut client = gateway.client_of(&["add"]);
    gateway.wait_event("resting", "upstream is not used");
    client.call("add", &json!({ "a": 1, "b": 2 }));
    gateway.wait_events("resting", "upstream connected", 2);
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let spans = receiver.spans();
    let connects: Vec<_> =
        spans.iter().filter(|span| span.name == "mcplex.connect resting").collect();
    let lazy = |span: &&&Span| span.attribute(attr::CONNECT_REASON) == Some("lazy");
    let call = spans.iter().find(|span| {
        span.kind == "server" && span.attribute(attr::GEN_AI_TOOL_NAME) == Some("add")
    });
    let lazy = connects.iter().find(lazy).expect("the call started it");
    assert_eq!(lazy.parent_span_id, call.map(|call| call.span_id.clone()), "{lazy:?}");
    for connect in connects {
        let names: BTreeSet<_> = below(&spans, connect).iter().map(|span| &*span.name).collect();
        let expect = ["initialize", "mcplex.spawn resting", "resources/list", "tools/list"];
        for name in expect {
            assert!(names.contains(name), "{name} is not in {names:?}");
        }
        assert_eq!(connect.attribute(attr::TOOL_COUNT), Some("14"), "{connect:?}");
    }
}

#[test]
fn a_subscription_ends_with_its_acknowledgement_and_what_it_is_told_links_to_it() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server("new", &["--era", "modern"]);
    let gateway = traced(setup, &receiver).serve();
    gateway.client_of(&["grow"]);
    let mut client = Stateless::new(&gateway.url());
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let listening = client.begin("subscriptions/listen", &wanted);
    listening.next_of("notifications/subscriptions/acknowledged");
    client.call("grow", &json!({}));
    listening.next_of("notifications/tools/list_changed");
    let find = |spans: &[Span], kind: &str, name: &str| -> Option<Span> {
        spans.iter().find(|span| span.kind == kind && span.name == name).cloned()
    };
    let changed = "notifications/tools/list_changed";
    // Both hops: from the server to us, and from us to the client that still listens.
    let spans = receiver.wait_for(PATIENCE, |spans| {
        ["server", "client"].iter().all(|kind| {
            find(spans, kind, "subscriptions/listen").is_some()
                && spans.iter().any(|span| {
                    span.kind == *kind && span.name == changed && !span.links.is_empty()
                })
        })
    });
    for (told, listen) in [("client", "server"), ("server", "client")] {
        let listen = find(&spans, listen, "subscriptions/listen").unwrap();
        let told = spans
            .iter()
            .find(|span| span.kind == told && span.name == changed && !span.links.is_empty());
        let told = told.unwrap();
        assert_eq!(told.links[0].span_id, listen.span_id, "{told:?}");
        assert_eq!(told.links[0].attributes[attr::LINK_KIND], attr::LINK_LISTEN);
        let id = listen.attribute(attr::SUBSCRIPTION_ID);
        assert!(id.is_some() && told.attribute(attr::SUBSCRIPTION_ID) == id, "{told:?}");
    }
}
