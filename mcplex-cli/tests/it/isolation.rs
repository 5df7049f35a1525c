//! Servers with a process for each client, or with several for all.

use crate::{
    census::{self, Watch},
    client::{Client, text},
    gateway::{Gateway, PATIENCE, Setup},
    stateless::Stateless,
    verbs::ok,
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::Receiver;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};

const SESSION: &str = "isolation = \"session\"\nsession_limit = 2";

fn pid(client: &mut Client) -> u32 {
    text(&client.call("pid", &json!({}))).parse().unwrap()
}

/// How many fake servers run below a gateway.
fn servers(gateway: &Gateway) -> usize {
    let all = census::descendants(gateway.pid());
    all.iter().filter(|process| process.name.starts_with("fake-server")).count()
}

#[test]
fn every_session_has_a_process_that_ends_with_it() {
    let mut gateway = Setup::new("").server_with("own", &[], SESSION).serve();
    let (mut one, mut two) = (gateway.client_of(&["pid"]), gateway.client());
    assert_eq!(servers(&gateway), 1, "nobody has called yet");
    let (first, second) = (pid(&mut one), pid(&mut two));
    assert_ne!(first, second);
    assert_eq!((pid(&mut one), pid(&mut two)), (first, second));
    assert_eq!(servers(&gateway), 3);

    let mut three = gateway.client();
    let refused = three.call("pid", &json!({}));
    assert_eq!(refused["isError"], true, "{refused}");
    assert!(text(&refused).contains("raise `session_limit`"), "{refused}");

    let watch = Watch::of([first]);
    one.delete();
    assert!(watch.left_after(PATIENCE).is_empty(), "it ends with its session");
    let third = pid(&mut three);
    assert!(![first, second].contains(&third));
    // The end of mcplex is the end of all of them.
    let watch =
        Watch::of(census::descendants(gateway.pid()).into_iter().map(|process| process.pid));
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(watch.left_after(PATIENCE).is_empty());
}

#[test]
fn a_client_has_no_say_in_how_its_process_is_started() {
    let gateway = Setup::new("").server_with("own", &["--tools", "1"], SESSION).serve();
    gateway.client_of(&["pid"]).delete();
    let wish = json!({ "command": "/bin/false", "args": ["--die"], "env": { "LD_PRELOAD": "/x" } });
    let mut one =
        Client::connect_with(&gateway.url(), &json!({ "experimental": wish, "env": wish }));
    let mut call = wish.clone();
    call["name"] = json!("pid");
    call["arguments"] = wish.clone();
    call["_meta"] = wish;
    let answer = one.request("tools/call", &call);
    let first: u32 = text(&answer["result"]).parse().unwrap();
    let second = pid(&mut gateway.client());
    assert_ne!(first, second);
    for what in ["cmdline", "environ"] {
        let of = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap();
            // By which mcplex tells its processes apart.
            let all = text.split('\0').filter(|part| !part.starts_with("MCPLEX_TREE="));
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of(first), of(second), "{what}");
    }
}

#[test]
fn a_child_is_asked_about_by_its_label_and_its_log_lines_begin_with_it() {
    let setup = Setup::new("").server_with("own", &["--stderr", "hello"], SESSION);
    let gateway = setup.serve();
    let (mut one, mut two) = (gateway.client_of(&["pid"]), gateway.client());
    pid(&mut one);
    pid(&mut two);
    let all: Value = serde_json::from_str(&ok(&setup, &["status", "--json"])).unwrap();
    let all = all["upstreams"].as_array().unwrap();
    let label = all.iter().find_map(|row| row["member"].as_str()).unwrap();
    let why = ok(&setup, &["why", label]);
    assert!(why.starts_with(&format!("{label} is ready since ")), "{why}");
    // Each look takes as long as a program takes to start.
    let is_logged = |setup: &Setup, line: &str| {
        (0..1000).any(|_| ok(setup, &["logs", "own"]).lines().any(|it| it.ends_with(line)))
    };
    assert!(is_logged(&setup, &format!("Z {label}: hello")));
    assert!(is_logged(&setup, "Z hello"), "the first child is the upstream itself");
    // Also after another process was put in its place.
    let setup = Setup::new("").server_with("own", &["--stderr", "goodbye"], SESSION).within(&setup);
    ok(&setup, &["reload"]);
    assert!(is_logged(&setup, &format!("Z {label}: goodbye")));
    for args in [["why", "own/s99"], ["stop", label], ["logs", label]] {
        let ran = setup.run(&args);
        assert_eq!(ran.code, 6, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("did you mean own?"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_process_of_one_session_that_dies_is_no_business_of_another() {
    let gateway = Setup::new("").server_with("own", &[], SESSION).serve();
    let (mut one, mut two) = (gateway.client_of(&["pid"]), gateway.client());
    let (first, second) = (pid(&mut one), pid(&mut two));
    let sleeping = two.begin_call("sleep", &json!({ "ms": 300 }));
    census::signal(first, rustix::process::Signal::KILL);
    assert_eq!(text(&sleeping.answer()["result"]), "slept");
    assert_eq!(pid(&mut two), second);
    assert_ne!(pid(&mut one), first, "it is started again");
}

#[test]
fn a_question_of_a_process_that_serves_one_client_is_never_in_doubt() {
    let gateway = Setup::new("").server_with("own", &[], SESSION).serve();
    let capabilities = json!({ "sampling": {} });
    let mut one = Client::connect_with(&gateway.url(), &capabilities);
    let mut two = Client::connect_with(&gateway.url(), &capabilities);
    one.wait_for_tools(&["sample"]);
    pid(&mut two);
    let sleeping = two.begin_call("sleep", &json!({ "ms": 300 }));
    let pending = one.begin_call("sample", &json!({}));
    let question = pending.next_of("sampling/createMessage");
    let content = json!({ "type": "text", "text": "mine" });
    let answer = json!({ "role": "assistant", "content": content, "model": "m" });
    one.respond(&question["id"], &answer);
    let heard: Value = serde_json::from_str(text(&pending.answer()["result"])).unwrap();
    assert_eq!(heard, answer);
    assert_eq!(text(&sleeping.answer()["result"]), "slept");
}

/// What a stateless client has to bring so that its call of `elicit` goes on.
fn retry(asked: &Value, name: &str) -> Value {
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let questions = asked["result"]["inputRequests"].as_object().unwrap();
    let answer = json!({ "action": "accept", "content": { "name": name } });
    let answers: serde_json::Map<_, _> =
        questions.keys().map(|key| (key.clone(), answer.clone())).collect();
    json!({ "name": "elicit", "arguments": {}, "inputResponses": answers,
            "requestState": asked["result"]["requestState"] })
}

#[test]
fn two_who_prove_nothing_are_asked_at_once_and_find_nothing_of_each_other() {
    let setup = Setup::new("");
    let told = setup.path("told");
    let setup = setup.server_with("own", &["--record", &told], SESSION);
    let gateway = setup.serve();
    gateway.client_of(&["elicit"]).delete();
    let able = || Stateless::able(&gateway.url(), json!({ "elicitation": { "form": {} } }));
    let (mut one, mut two) = (able(), able());
    let elicit = json!({ "name": "elicit", "arguments": {} });
    let (first, second) = (one.begin("tools/call", &elicit), two.begin("tools/call", &elicit));
    let (first, second) = (first.answer(), second.answer());
    assert_eq!(servers(&gateway), 3, "both calls go on, each in a process of its own");
    let refused = able().call("pid", &json!({}));
    assert!(text(&refused).contains("a process for each of 2 clients"), "{refused}");
    // In the other order than they were asked.
    for (client, asked, name) in [(&mut two, second, "Bob"), (&mut one, first, "Ann")] {
        let heard = client.request("tools/call", &retry(&asked, name));
        let heard: Value = serde_json::from_str(text(&heard)).unwrap();
        assert_eq!(heard["content"]["name"], name);
    }
    // Each was told what its one client can do.
    let opened = setup.lines("told").into_iter().filter_map(|line| {
        let message: Value = serde_json::from_str(&line).unwrap();
        (message["method"] == "initialize").then(|| message["params"]["capabilities"].clone())
    });
    let opened: Vec<_> = opened.collect();
    let of_one = json!({ "elicitation": { "form": {} } });
    assert_eq!(opened.iter().filter(|can| **can == of_one).count(), 2, "{opened:?}");
    // The first one is there for everybody: it hides nothing from those who can show pages.
    let pages = &opened[0]["extensions"]["io.modelcontextprotocol/ui"]["mimeTypes"];
    assert!(pages.is_array() && opened[0]["roots"]["listChanged"] == true, "{opened:?}");

    let (first, second) = (able().call("pid", &json!({})), able().call("pid", &json!({})));
    assert_ne!(text(&first), text(&second));
    let pids = [&first, &second].map(|result| text(result).parse().unwrap());
    assert!(Watch::of(pids).left_after(PATIENCE).is_empty(), "they end with their calls");
}

#[test]
fn a_call_waits_for_the_process_that_is_made_for_it() {
    let supervise = format!("{SESSION}\nqueue_wait = \"1ms\"");
    let gateway = Setup::new("").server_with("own", &["--init-delay", "300"], &supervise).serve();
    gateway.client_of(&["add"]).delete();
    let mut client = Stateless::new(&gateway.url());
    assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn a_call_that_is_given_up_takes_its_process_along() {
    let gateway = Setup::new("").server_with("own", &[], SESSION).serve();
    gateway.client_of(&["sleep"]).delete();
    let all = || -> BTreeSet<u32> {
        let all = census::descendants(gateway.pid()).into_iter();
        all.filter(|process| process.name.starts_with("fake-server")).map(|it| it.pid).collect()
    };
    let before = all();
    let mut client = Stateless::new(&gateway.url());
    let sleeping =
        client.begin("tools/call", &json!({ "name": "sleep", "arguments": { "ms": 600_000 } }));
    gateway.wait_events("own", "upstream connected", 2);
    let watch = Watch::of(all().difference(&before).copied());
    sleeping.vanish();
    assert!(watch.left_after(PATIENCE).is_empty());
    // One that has just ended may still be listed.
    let others = Watch::of(all().difference(&before).copied());
    assert!(others.left_after(PATIENCE).is_empty());
    assert!(all().is_superset(&before));
}

#[test]
fn a_pool_lets_one_call_pass_another() {
    let pool = "isolation = \"pool\"\npool_size = 2";
    let setup = Setup::new("");
    let calls = setup.path("calls");
    let setup = setup.server_with("pool", &["--call-log", &calls], pool);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["pid"]);
    gateway.wait_events("pool", "upstream connected", 2);
    assert_eq!(servers(&gateway), 2);
    // Of two that are free the first is asked.
    let first = pid(&mut client);
    let sleeping = client.begin_call("sleep", &json!({ "ms": 1_000 }));
    let sleeps = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        setup.lines("calls").iter().any(|line| line.starts_with("sleep"))
    });
    assert!(sleeps, "the slow call is there, and no other was beside it");
    assert_ne!(pid(&mut client), first, "calls go past the busy one");
    assert_eq!(text(&sleeping.answer()["result"]), "slept");
}

#[test]
fn a_reload_shares_out_anew_and_keeps_the_first_process() {
    let setup = Setup::new("");
    let gateway = setup.clone().server_with("own", &[], SESSION).serve();
    let mut client = gateway.client_of(&["pid"]);
    let own = pid(&mut client);
    let all = |gateway: &Gateway| -> BTreeSet<u32> {
        let all = census::descendants(gateway.pid()).into_iter();
        all.filter(|process| process.name.starts_with("fake-server")).map(|it| it.pid).collect()
    };
    let first = all(&gateway).into_iter().find(|&pid| pid != own).unwrap();
    let watch = Watch::of([own]);
    setup.clone().server_with("own", &[], "isolation = \"pool\"\npool_size = 3").write();
    gateway.wait_own("the configuration was applied", 1);
    assert!(watch.left_after(PATIENCE).is_empty(), "no session has its own any more");
    gateway.wait_events("own", "upstream connected", 4);
    let pool = all(&gateway);
    assert!(pool.contains(&first) && pool.len() == 3, "{pool:?} with {first}");
    assert!(pool.contains(&pid(&mut client)));
    setup.server("own", &[]).write();
    gateway.wait_own("the configuration was applied", 2);
    let watch = Watch::of(pool.into_iter().filter(|&pid| pid != first));
    assert!(watch.left_after(PATIENCE).is_empty(), "all but the first end");
    assert_eq!(pid(&mut client), first);
}

/// The rows of a status: member, health, process and life of each.
fn rows(setup: &Setup) -> Vec<(Value, Value, Value, Value)> {
    let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
    let row = |one: &Value| {
        assert_eq!(one["name"], "pool", "{all:#}");
        let field = |name: &str| one[name].clone();
        (field("member"), field("health"), field("pid"), field("incarnation"))
    };
    all["upstreams"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_status_shows_every_member_and_a_verb_reaches_all_of_them() {
    let setup = Setup::new("").server_with("pool", &[], "isolation = \"pool\"\npool_size = 3");
    let gateway = setup.serve();
    gateway.wait_events("pool", "upstream connected", 3);
    let first = rows(&setup);
    let members: Vec<_> = first.iter().map(|row| row.0.clone()).collect();
    assert_eq!(members, [Value::Null, "pool/2".into(), "pool/3".into()]);
    let pids = |rows: &[(Value, Value, Value, Value)]| -> BTreeSet<u32> {
        rows.iter().map(|row| u32::try_from(row.2.as_u64().unwrap()).unwrap()).collect()
    };
    assert_eq!(pids(&first).len(), 3, "{first:?}");
    assert!(first.iter().all(|row| row.1 == "ready"), "{first:?}");
    assert!(ok(&setup, &["status"]).contains("\npool/2 "));

    let watch = Watch::of(pids(&first));
    assert!(ok(&setup, &["restart", "pool"]).starts_with("pool: restarted"));
    assert!(watch.left_after(PATIENCE).is_empty());
    let second = rows(&setup);
    assert!(second.iter().all(|row| row.1 == "ready" && row.3 == 2), "{second:?}");
    assert!(pids(&first).is_disjoint(&pids(&second)));

    assert!(ok(&setup, &["stop", "pool"]).starts_with("pool: stopped"));
    assert_eq!(census::descendants(gateway.pid()), []);
    let stopped = rows(&setup);
    assert!(stopped.iter().all(|row| row.1 == "stopped" && row.2.is_null()), "{stopped:?}");
}

#[test]
fn a_death_is_told_with_the_member_that_died() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server_with("pool", &[], "isolation = \"pool\"\npool_size = 2");
    let setup = setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let gateway = setup.serve();
    gateway.wait_events("pool", "upstream connected", 2);
    let of_second = rows(&setup).into_iter().find(|row| row.0 == "pool/2").unwrap();
    let pid = u32::try_from(of_second.2.as_u64().unwrap()).unwrap();
    census::signal(pid, rustix::process::Signal::KILL);
    let died = gateway.wait_event("pool", "upstream died");
    assert_eq!(died["member"], "pool/2", "{died}");
    gateway.wait_events("pool", "upstream connected", 3);
    let connected = gateway.events("pool", "upstream connected");
    let members: Vec<_> = connected.iter().filter(|event| event["member"].is_null()).collect();
    assert_eq!(members.len(), 1, "the first is the upstream itself: {connected:?}");
    let list = ok(&setup, &["crashes"]);
    assert!(list.contains("life 1 of pool/2: it was ended by"), "{list}");
    let report: Value =
        serde_json::from_str(&ok(&setup, &["crashes", "show", "pool", "--json"])).unwrap();
    assert_eq!((&report["upstream"], &report["member"]), (&"pool".into(), &"pool/2".into()));
    assert!(ok(&setup, &["logs", "pool"]).contains("-- mcplex: pool/2: life 1 ended: "));
    let is_death = |span: &mcplex_testkit::otlp::Span| {
        span.attribute(attr::LIFECYCLE) == Some(attr::LIFECYCLE_DEATH)
    };
    let spans = receiver.wait_for(PATIENCE, |spans| spans.iter().any(is_death));
    let death = spans.iter().find(|span| is_death(span)).unwrap();
    assert_eq!(death.attribute(attr::UPSTREAM_MEMBER), Some("pool/2"));
}
