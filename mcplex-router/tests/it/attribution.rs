//! Whom an upstream means when it asks by itself.

use crate::{
    fake::FIRST_ID,
    modern::{calls, meta},
    world::{Going, Peer, World},
};
use mcplex_proto::id::Id;

const ALL: &str = r#"{"sampling":{},"elicitation":{},"roots":{}}"#;

const QUESTIONS: [(&str, &str); 3] = [
    ("sampling/createMessage", "-32601"),
    ("elicitation/create", "-32602"),
    ("roots/list", "-32601"),
];

fn question(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{{"n":1.50}}}}"#)
}

/// What a client got: the question, about this request.
fn posed(id: u64, method: &str, about: Option<u64>) -> (String, Option<Id>) {
    let text =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"n":1.50}}}}"#);
    (text, about.map(Id::from))
}

#[test]
fn one_call_in_flight_means_its_client() {
    for (method, _) in QUESTIONS {
        let mut world = World::two();
        let (peer, other) = (world.client(ALL), world.client(ALL));
        world.call(&other, "8", "two");
        world.call(&peer, "7", "one");
        world.says(0, &question(method));
        assert_eq!(peer.client.take_about(), [posed(1, method, Some(7))]);
        assert!(other.client.take().is_empty());
    }
}

#[test]
fn several_calls_of_one_client_mean_it_and_its_newest_call() {
    for (method, _) in QUESTIONS {
        let mut world = World::two();
        let (peer, _other) = (world.client(ALL), world.client(ALL));
        world.call(&peer, "9", "one");
        world.call(&peer, "7", "one");
        world.says(0, &question(method));
        assert_eq!(peer.client.take_about(), [posed(1, method, Some(7))]);
    }
}

#[test]
fn of_several_calls_of_one_client_one_is_meant_in_which_it_can_be_asked() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{},"completions":{},"prompts":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 1);
    let peers = [world.passer_by(Some("x")), world.passer_by(Some("x"))];
    let meta = meta(ALL, "");
    let going = world.ask(
        &peers[0],
        &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one",{meta}}}}}"#
        ),
    );
    world.ask(&peers[1], &format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"ref":{{"type":"ref/prompt","name":"p"}},"argument":{{"name":"a","value":""}},{meta}}}}}"#
    ));
    world.says(0, r#"{"jsonrpc":"2.0","id":7,"method":"roots/list","params":{}}"#);
    assert!(world.clock.wake_after(std::time::Duration::from_millis(50)));
    world.run();
    assert!(going.text().contains("input_required"), "{}", going.text());
}

#[test]
fn no_call_and_one_client_mean_that_client() {
    for (method, _) in QUESTIONS {
        let mut world = World::two();
        let peer = world.client(ALL);
        let _stranger = world.stranger();
        world.says(0, &question(method));
        assert_eq!(peer.client.take_about(), [posed(1, method, None)]);
        world.says(0, &question(method));
        assert_eq!(peer.client.take_about(), [posed(2, method, None)]);
    }
}

#[test]
fn anything_else_is_refused_rather_than_guessed() {
    for (method, code) in QUESTIONS {
        let mut world = World::two();
        let refused = |world: &mut World, part: &str| {
            world.says(0, &question(method));
            let sent = world.upstreams[0].take_sent_to();
            let [(Some(1), text)] = &sent[..] else { panic!("{sent:?}") };
            assert!(text.starts_with(r#"{"jsonrpc":"2.0","id":"q","error":"#), "{text}");
            assert!(text.contains(code) && text.contains(part), "{text}");
        };
        refused(&mut world, "no client is connected");
        let (one, two) = (world.client(ALL), world.client(ALL));
        refused(&mut world, "several clients");
        world.call(&one, "1", "one");
        world.call(&two, "1", "one");
        refused(&mut world, "several clients");
        assert!(one.client.take().is_empty() && two.client.take().is_empty());
    }
}

#[test]
fn a_client_is_asked_only_what_it_declared() {
    for (capabilities, method, params, code) in [
        (r#"{"roots":{}}"#, "sampling/createMessage", "{}", Some("-32601")),
        (r#"{"sampling":{}}"#, "sampling/createMessage", "{}", None),
        (r#"{"sampling":{}}"#, "sampling/createMessage", r#"{"tools":[]}"#, Some("-32601")),
        (r#"{"sampling":{"tools":{}}}"#, "sampling/createMessage", r#"{"tools":[]}"#, None),
        (r#"{"sampling":{}}"#, "roots/list", "{}", Some("-32601")),
        (r#"{"roots":{"listChanged":false}}"#, "roots/list", "{}", None),
        ("{}", "elicitation/create", "{}", Some("-32602")),
        (r#"{"elicitation":null}"#, "elicitation/create", "{}", Some("-32602")),
        (r#"{"elicitation":{}}"#, "elicitation/create", r#"{"mode":"form"}"#, None),
        (r#"{"elicitation":{}}"#, "elicitation/create", r#"{"mode":"url"}"#, Some("-32602")),
        (r#"{"elicitation":{"url":{}}}"#, "elicitation/create", r#"{"mode":"url"}"#, None),
    ] {
        let mut world = World::two();
        let peer = world.client(capabilities);
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        world.says(0, &request);
        let sent = world.upstreams[0].take_sent();
        assert_eq!(peer.client.take().len(), usize::from(code.is_none()), "{capabilities}");
        match code {
            None => assert_eq!(sent, Vec::<String>::new()),
            Some(code) => assert!(
                sent[0].contains(code) && sent[0].contains("the client did not declare"),
                "{sent:?}"
            ),
        }
    }
}

#[test]
fn a_ping_needs_no_client() {
    let mut world = World::two();
    world.says(0, r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    assert_eq!(
        world.upstreams[0].take_sent_to(),
        [(Some(1), r#"{"jsonrpc":"2.0","id":"p","result":{}}"#.to_owned())]
    );
}

#[test]
fn other_notifications_follow_the_same_rule() {
    let mut world = World::two();
    let note = r#"{"jsonrpc":"2.0","method":"x/note","params":{"n":1.50}}"#;
    let (one, two) = (world.client("{}"), world.client("{}"));
    world.says(0, note);
    assert!(one.client.take().is_empty() && two.client.take().is_empty());
    world.call(&two, "5", "one");
    world.says(0, note);
    assert_eq!(two.client.take_about(), [(note.to_owned(), Some(5.into()))]);
    assert!(one.client.take().is_empty());
    assert!(world.upstreams[0].calls()[0].contains(&(FIRST_ID + 1).to_string()));
}

#[test]
fn what_came_with_the_answer_to_a_call_is_about_that_call() {
    for (method, code) in QUESTIONS {
        let mut world = World::two();
        let (peer, other) = (world.client(ALL), world.client(ALL));
        world.call(&peer, "7", "one");
        world.call(&other, "8", "one");
        let first = FIRST_ID + 1;
        world.says_about(0, &question(method), first);
        assert_eq!(peer.client.take_about(), [posed(1, method, Some(7))]);
        assert!(other.client.take().is_empty());
        // That call has its answer, so nobody is meant, though the other one is still there.
        world.upstreams[0].answers("{}");
        world.run();
        world.says_about(0, &question(method), first);
        assert!(world.upstreams[0].take_sent()[0].contains(code));
        assert!(peer.client.take().is_empty() && other.client.take().is_empty());
    }
}

#[test]
fn two_sessions_of_one_proven_principal_are_one_client() {
    for (names, is_one) in [(["x", "x"], true), (["x", "y"], false)] {
        let mut world = World::two();
        let [one, two] = names.map(|name| world.known(name, ALL));
        world.call(&one, "1", "one");
        world.call(&two, "2", "one");
        world.says(0, &question("roots/list"));
        assert!(one.client.take().is_empty());
        assert_eq!(two.client.take().len(), usize::from(is_one));
    }
}

/// A stateless call that wants log lines from this level on.
fn curious(world: &mut World, peer: &Peer, id: &str, level: &str) -> Going {
    let meta = meta("{}", &format!(r#","io.modelcontextprotocol/logLevel":"{level}""#));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"one",{meta}}}}}"#
    );
    world.ask(peer, &text)
}

/// The same as a client reads it, who has to know which upstream wrote it.
fn heard(level: &str) -> String {
    line(level).replace(r#""params":{"#, r#""params":{"logger":"a","#)
}

fn line(level: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1.50}}}}"#
    )
}

#[test]
fn a_stateless_call_reads_the_log_that_it_asked_for_and_no_other() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    calls(&mut world, &peer, "1", "one");
    world.says(0, &line("emergency"));
    assert!(peer.client.take().is_empty(), "it did not ask for any");
    assert!(world.upstreams[0].take_sent().is_empty());
    let mut world = World::two();
    let peer = world.passer_by(None);
    let going = curious(&mut world, &peer, "7", "warning");
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains(r#""level":"warning""#), "{sent:?}");
    for level in ["debug", "notice", "warning", "odd", "alert"] {
        world.says(0, &line(level));
    }
    let about = Some(Id::from(7));
    assert_eq!(
        peer.client.take_about(),
        [(heard("warning"), about.clone()), (heard("alert"), about)]
    );
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
    world.says(0, &line("alert"));
    assert!(peer.client.take().is_empty(), "nothing comes after the answer");
    // Asking for less changes nothing upstream, and the next life knows nothing of it.
    curious(&mut world, &peer, "8", "alert");
    assert!(world.upstreams[0].take_sent().is_empty());
    world.ready(0, 2);
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn two_stateless_calls_may_be_anybodys() {
    for (names, is_one) in [
        ([None, None], false),
        ([Some("x"), None], false),
        ([Some("x"), Some("y")], false),
        ([Some("x"), Some("x")], true),
    ] {
        let mut world = World::two();
        let [one, two] = names.map(|name| world.passer_by(name));
        curious(&mut world, &one, "1", "debug");
        curious(&mut world, &two, "2", "debug");
        world.says(0, &line("info"));
        assert!(one.client.take().is_empty());
        assert_eq!(two.client.take().len(), usize::from(is_one), "{names:?}");
    }
}

#[test]
fn who_is_there_for_one_request_is_not_the_only_client() {
    let mut world = World::two();
    let (session, peer) = (world.client(ALL), world.passer_by(None));
    calls(&mut world, &peer, "1", "two");
    world.says(0, &question("roots/list"));
    assert_eq!(session.client.take().len(), 1);
    assert!(peer.client.take().is_empty());
}
