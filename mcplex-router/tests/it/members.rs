//! Upstreams with several children, and which of them a client reaches.

use crate::{
    modern::{self, calls, request},
    siblings::Siblings,
    world::{Going, Peer, World},
};
use mcplex_proto::upstream::Health;
use mcplex_router::{Isolation, MemberKey, Options};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const ALL: &str = r#"{"tools":{},"logging":{},"resources":{"subscribe":true}}"#;
const SAMPLING: &str = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#;
const UPDATED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://1"}}"#;

/// An upstream `a` with the tool `own` and the resource `x://1`.
fn world(isolation: Isolation) -> (World, Arc<Siblings>) {
    world_with(Options::default(), isolation)
}

fn world_with(options: Options, isolation: Isolation) -> (World, Arc<Siblings>) {
    let mut world = World::with(options, &["a"]);
    world.upstreams[0].introduces(ALL, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"own"}]}"#]);
    world.upstreams[0].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    world.upstreams[0].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
    let siblings = Arc::new(Siblings::default());
    world.isolate(0, isolation, &siblings);
    world.ready(0, 1);
    for sibling in siblings.all() {
        sibling.ready(1);
    }
    world.run();
    (world, siblings)
}

/// The member that belongs to the client with this number, counted from 1.
fn of(session: u64) -> MemberKey {
    MemberKey::Session(session)
}

fn subscription(world: &mut World, peer: &Peer, verb: &str) -> Going {
    world.ask(
        peer,
        &format!(
            r#"{{"jsonrpc":"2.0","id":"{verb}","method":"resources/{verb}","params":{{"uri":"x://1"}}}}"#
        ),
    )
}

#[test]
fn every_session_gets_a_child_of_its_own_at_its_first_call() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let (one, two) = (world.client("{}"), world.client("{}"));
    world.ask(&one, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert_eq!(siblings.opened(), 0, "a list needs no child");
    let first = world.call(&one, "1", "own");
    let second = world.call(&two, "1", "own");
    let again = world.call(&one, "2", "own");
    assert_eq!(siblings.keys(), [of(1), of(2)]);
    assert!(world.upstreams[0].calls().is_empty());
    siblings.get(of(2)).upstream.answers(r#"{"by":2}"#);
    siblings.get(of(1)).upstream.answers(r#"{"by":1}"#);
    siblings.get(of(1)).upstream.answers(r#"{"by":1}"#);
    world.run();
    assert!(first.text().contains(r#"{"by":1}"#) && again.text().contains(r#"{"by":1}"#));
    assert!(second.text().contains(r#"{"by":2}"#));
    assert_eq!(siblings.opened(), 2);
}

#[test]
fn the_child_of_a_session_ends_with_it() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let (one, two) = (world.client("{}"), world.client("{}"));
    world.call(&one, "1", "own");
    world.call(&two, "1", "own");
    one.session.close();
    assert_eq!(siblings.take_closed(), [of(1)]);
    // A late request of a client that has left makes nothing new.
    let late = world.call(&one, "2", "own");
    assert!(late.text().contains("the session is closed"), "{}", late.text());
    assert_eq!(siblings.keys(), [of(2)]);
    one.session.close();
    world.remove(0);
    assert!(siblings.keys().is_empty());
    two.session.close();
}

#[test]
fn over_the_limit_a_client_reads_what_to_raise() {
    let (mut world, siblings) = world(Isolation::Session { limit: 2 });
    let peers = [world.client("{}"), world.client("{}"), world.client("{}")];
    for peer in &peers[..2] {
        world.call(peer, "1", "own");
        siblings.all().iter().for_each(|sibling| sibling.ready(1));
    }
    let refused = world.call(&peers[2], "1", "own").text();
    assert!(refused.contains("session_limit") && refused.contains("-31007"), "{refused}");
    assert_eq!(siblings.opened(), 2);
    // One that rests and has nothing to do makes room.
    siblings.get(of(1)).upstream.answers("{}");
    world.run();
    siblings.get(of(1)).down(Health::Idle);
    world.call(&peers[2], "2", "own");
    assert_eq!(siblings.take_closed(), [of(1)]);
    assert_eq!(siblings.keys(), [of(2), of(3)]);
    // Where a client has left, there is room as well.
    peers[1].session.close();
    world.call(&peers[0], "3", "own");
    assert_eq!(siblings.keys(), [of(1), of(3)]);
}

#[test]
fn no_child_is_made_of_an_upstream_that_was_stopped_or_tripped() {
    for health in [Health::Stopped, Health::Tripped] {
        let (mut world, siblings) = world(Isolation::Session { limit: 16 });
        let peer = world.client("{}");
        world.down(0, health);
        world.call(&peer, "1", "own");
        assert_eq!(siblings.opened(), 0);
        assert_eq!(world.upstreams[0].calls().len(), 1, "the first one says why");
    }
}

#[test]
fn an_upstream_that_is_ending_makes_no_child() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peer = world.client("{}");
    siblings.end();
    let refused = world.call(&peer, "1", "own").text();
    assert!(refused.contains("is stopped"), "{refused}");
}

#[test]
fn a_child_of_a_session_asks_nobody_else() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let one = world.client(r#"{"sampling":{}}"#);
    let two = world.client(r#"{"sampling":{}}"#);
    world.call(&one, "1", "own");
    world.call(&two, "1", "own");
    let sibling = siblings.get(of(1));
    sibling.ready(1);
    siblings.get(of(2)).ready(1);
    sibling.says(SAMPLING);
    let log =
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":1}}"#;
    sibling.says(log);
    world.run();
    assert_eq!(one.client.take().len(), 2);
    assert!(two.client.take().is_empty());
    // Also when nothing is in flight and several clients are there.
    sibling.upstream.answers("{}");
    world.run();
    sibling.says(log);
    assert_eq!(one.client.take(), [log]);
    world.tell(&one, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(sibling.upstream.take_sent_to().last().unwrap().0, Some(1));
    // A first one that is asked by nobody cannot tell whom it means.
    world.says(0, log);
    assert!(one.client.take().is_empty() && two.client.take().is_empty());
}

#[test]
fn subscriptions_and_levels_are_those_of_the_session() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let (one, two) = (world.client("{}"), world.client("{}"));
    for (peer, key) in [(&one, of(1)), (&two, of(2))] {
        let going = subscription(&mut world, peer, "subscribe");
        siblings.get(key).ready(1);
        siblings.get(key).upstream.answers("{}");
        world.run();
        assert!(going.text().contains(r#""result""#), "each is the first of its child");
    }
    let level = |level| {
        format!(
            r#"{{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{{"level":"{level}"}}}}"#
        )
    };
    let (first, second) = (siblings.get(of(1)), siblings.get(of(2)));
    first.upstream.take_sent();
    second.upstream.take_sent();
    world.ask(&one, &level("error"));
    assert_eq!(first.upstream.take_sent().len(), 1);
    assert!(second.upstream.take_sent().is_empty(), "nobody asked this one for a level");
    world.ask(&two, &level("debug"));
    assert!(first.upstream.take_sent().iter().all(|sent| !sent.contains("debug")));
    first.says(UPDATED);
    assert_eq!((one.client.take().len(), two.client.take().len()), (1, 0));
    // A new life is told of both.
    first.down(Health::Recovering);
    first.ready(2);
    world.run();
    let sent = first.upstream.take_sent();
    assert!(sent.iter().any(|text| text.contains("subscribe")), "{sent:?}");
    assert!(sent.iter().any(|text| text.contains(r#""level":"error""#)), "{sent:?}");
}

#[test]
fn lists_are_read_from_a_child_that_runs() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peer = world.client("{}");
    world.down(0, Health::Idle);
    world.upstreams[0].take_reads();
    world.call(&peer, "1", "own");
    let sibling = siblings.get(of(1));
    let page = r#"{"tools":[{"name":"own"},{"name":"new"}]}"#;
    sibling.upstream.lists("tools/list", &[page]);
    sibling.ready(1);
    world.run();
    assert!(world.upstreams[0].take_reads().is_empty(), "nothing wakes what rests");
    let list = world.ask(&peer, r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#).text();
    assert!(list.contains("new"), "{list}");
    // A child beside a first one that runs is not read.
    world.ready(0, 2);
    let other = world.client("{}");
    world.call(&other, "1", "own");
    siblings.get(of(2)).ready(1);
    world.run();
    assert!(siblings.get(of(2)).upstream.take_reads().is_empty());
}

#[test]
fn a_pool_is_there_at_once_and_shares_the_calls() {
    let (mut world, siblings) = world(Isolation::Pool { size: 3 });
    assert_eq!(siblings.keys(), [MemberKey::Pool(2), MemberKey::Pool(3)]);
    let peer = world.client("{}");
    let going: Vec<_> = (1..7).map(|id| world.call(&peer, &id.to_string(), "own")).collect();
    let (second, third) = (siblings.get(MemberKey::Pool(2)), siblings.get(MemberKey::Pool(3)));
    let loads = |world: &World| {
        [&world.upstreams[0], &second.upstream, &third.upstream]
            .map(|upstream| upstream.calls().len())
    };
    assert_eq!(loads(&world), [2, 2, 2]);
    // Who is done first gets the next one.
    third.upstream.answers("{}");
    world.run();
    world.call(&peer, "7", "own");
    assert_eq!(loads(&world), [2, 2, 2]);
    // One that is down gets none, unless all are.
    second.down(Health::Recovering);
    world.call(&peer, "8", "own");
    world.call(&peer, "9", "own");
    assert_eq!(loads(&world), [3, 2, 3]);
    world.down(0, Health::Tripped);
    third.down(Health::Tripped);
    world.call(&peer, "10", "own");
    assert_eq!(loads(&world), [3, 3, 3]);
    assert_eq!(going.iter().filter(|going| going.is_done()).count(), 1);
}

#[test]
fn what_a_client_of_a_pool_sets_up_stays_with_one_child() {
    let (mut world, siblings) = world(Isolation::Pool { size: 2 });
    let second = siblings.get(MemberKey::Pool(2));
    // Clients are counted from 1, so the first one is at home in the second child.
    let peers = [world.client("{}"), world.client("{}"), world.client("{}")];
    for (peer, is_first) in peers.iter().zip([true, true, false]) {
        let going = subscription(&mut world, peer, "subscribe");
        assert_eq!(going.is_done(), !is_first, "the third is at home with the first");
        for upstream in [&second.upstream, &world.upstreams[0]] {
            if !upstream.calls().is_empty() {
                upstream.answers("{}");
            }
        }
        world.run();
    }
    second.says(UPDATED);
    let heard = || peers.each_ref().map(|peer| peer.client.take().len());
    assert_eq!(heard(), [1, 0, 1]);
    world.says(0, UPDATED);
    assert_eq!(heard(), [0, 1, 0]);
    second.upstream.take_sent();
    peers[0].session.close();
    assert!(second.upstream.take_sent().is_empty(), "somebody is left");
    peers[2].session.close();
    assert!(second.upstream.take_sent()[0].contains("resources/unsubscribe"));
    // A pool that is one smaller takes the subscriptions along.
    world.upstreams[0].take_sent();
    world.isolate(0, Isolation::Shared, &siblings);
    assert_eq!(siblings.take_closed(), [MemberKey::Pool(2)]);
    assert!(world.upstreams[0].take_sent()[0].contains("resources/subscribe"));
}

#[test]
fn progress_and_cancels_find_the_child_of_their_call() {
    let (mut world, siblings) = world(Isolation::Pool { size: 2 });
    let peer = world.client("{}");
    let call = |id: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"own","_meta":{{"progressToken":"t{id}"}}}}}}"#
        )
    };
    world.ask(&peer, &call(1));
    let other = world.ask(&peer, &call(2));
    let second = siblings.get(MemberKey::Pool(2));
    let (one, two) = (world.upstreams[0].calls(), second.upstream.calls());
    assert_eq!((one.len(), two.len()), (1, 1));
    let (_, id) = two[0].split_once(r#""id":"#).unwrap();
    let token = id.split(',').next().unwrap();
    second.says(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
    ));
    assert!(peer.client.take()[0].contains("t2"));
    second.upstream.take_sent();
    world.upstreams[0].take_sent();
    world.tell(
        &peer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#,
    );
    assert_eq!(other.answer(), None);
    assert_eq!(second.upstream.take_sent().len(), 1);
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn a_larger_pool_keeps_who_is_there() {
    let (mut world, siblings) = world(Isolation::Pool { size: 2 });
    world.isolate(0, Isolation::Pool { size: 3 }, &siblings);
    assert_eq!((siblings.opened(), siblings.take_closed().len()), (2, 0));
    world.isolate(0, Isolation::Session { limit: 1 }, &siblings);
    assert_eq!(siblings.take_closed(), [MemberKey::Pool(2), MemberKey::Pool(3)]);
    let peer = world.client("{}");
    world.call(&peer, "1", "own");
    world.isolate(0, Isolation::Session { limit: 5 }, &siblings);
    assert_eq!(siblings.keys(), [of(1)], "another limit ends nothing");
}

#[test]
fn roots_of_a_client_are_told_to_its_own_child() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let one = world.client(r#"{"roots":{"listChanged":true}}"#);
    let two = world.client(r#"{"roots":{"listChanged":true}}"#);
    world.call(&one, "1", "own");
    world.call(&two, "1", "own");
    let roots = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    world.tell(&one, roots);
    assert_eq!(siblings.get(of(1)).upstream.take_sent(), [roots]);
    assert!(siblings.get(of(2)).upstream.take_sent().is_empty());
    assert!(world.upstreams[0].take_sent().is_empty(), "it would mix up two clients' roots");
}

#[test]
fn who_asks_without_a_session_has_a_child_by_who_it_is() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peers = [Some("x"), Some("x"), Some("y")].map(|name| world.passer_by(name));
    for peer in &peers {
        calls(&mut world, peer, "1", "own");
    }
    let open: Vec<_> = siblings.all().iter().map(|child| child.upstream.calls().len()).collect();
    assert_eq!(open, [2, 1], "x and y");
    assert!(world.upstreams[0].calls().is_empty());
    assert!(siblings.all().iter().all(|child| child.told.is_none()), "a next call can do more");
    // The requests end, and what was made for who asked stays.
    for peer in &peers {
        peer.session.close();
    }
    assert!(siblings.take_closed().is_empty());
    let again = world.passer_by(Some("x"));
    calls(&mut world, &again, "1", "own");
    assert_eq!(siblings.opened(), 2);
}

/// Somebody who proves nothing and can be asked, with a call of `own`.
fn anybody(world: &mut World) -> (Peer, Going) {
    let peer = world.passer_by(None);
    let meta = modern::meta(r#"{"sampling":{}}"#, "");
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"own",{meta}}}}}"#
    );
    let going = world.ask(&peer, &text);
    (peer, going)
}

#[test]
fn each_call_of_who_proves_nothing_has_a_child_for_its_time() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let ((one, first), (two, second)) = (anybody(&mut world), anybody(&mut world));
    let [left, right] = &siblings.all()[..] else { panic!("two children") };
    for child in [left, right] {
        assert_eq!(child.upstream.calls().len(), 1);
        assert_eq!(child.told.as_deref(), Some(r#"{"sampling":{}}"#));
        child.ready(1);
        child.says(SAMPLING);
    }
    world.run();
    // Both are asked at once, each by its own child.
    assert!(world.clock.wake_after(Duration::from_millis(50)));
    world.run();
    for (peer, going) in [(&one, &first), (&two, &second)] {
        assert!(going.text().contains("input_required"), "{}", going.text());
        peer.session.close();
    }
    assert!(siblings.take_closed().is_empty(), "their calls go on");
    let back = |world: &mut World, going: &Going| {
        let answer: Value = serde_json::from_str(&going.text()).unwrap();
        let state = &answer["result"]["requestState"];
        let more = format!(r#","requestState":{state},"inputResponses":{{"q1":{{"a":1}}}}"#);
        let meta = modern::meta(r#"{"sampling":{}}"#, "");
        let peer = world.passer_by(None);
        world.ask(&peer, &format!(
            r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"own",{meta}{more}}}}}"#
        ))
    };
    let going = back(&mut world, &second);
    assert_eq!(right.upstream.take_sent_to().last().unwrap().0, Some(1));
    assert!(left.upstream.take_sent().is_empty(), "the other one waits on");
    right.upstream.answers(r#"{"content":[]}"#);
    world.run();
    assert!(going.text().contains("complete"));
    assert_eq!(siblings.take_closed().len(), 1, "it ends with its call");
    // A call that nobody goes on with takes its child along.
    for time in [600, 5] {
        assert!(siblings.take_closed().is_empty());
        assert!(world.clock.wake_after(Duration::from_secs(time)));
        world.run();
    }
    assert_eq!(siblings.take_closed().len(), 1);
    assert!(siblings.keys().is_empty());
    // Nobody finds what was left behind.
    anybody(&mut world);
    assert_eq!(siblings.opened(), 3);
}

#[test]
fn a_stream_that_is_closed_ends_the_child_of_its_call() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let (peer, going) = anybody(&mut world);
    peer.session.close();
    world.run();
    assert_eq!((going.answer(), siblings.take_closed().len()), (None, 1));
}

#[test]
fn children_of_calls_count_and_make_room_for_nobody() {
    let (mut world, siblings) = world(Isolation::Session { limit: 2 });
    let (_, first) = anybody(&mut world);
    let session = world.client("{}");
    world.call(&session, "1", "own");
    let (_, refused) = anybody(&mut world);
    let text = refused.text();
    assert!(text.contains("a process for each of 2 clients") && text.contains("-31007"), "{text}");
    assert!(text.contains("when another call or session has ended"), "{text}");
    let keys = siblings.keys();
    let leased = keys.iter().find(|key| matches!(key, MemberKey::Call(_))).unwrap();
    siblings.get(*leased).upstream.answers(r#"{"content":[]}"#);
    world.run();
    assert!(first.is_done());
    let (_, going) = anybody(&mut world);
    assert!(!going.is_done(), "there is room again");
}

#[test]
fn what_is_asked_in_no_call_shares_a_child_where_nothing_is_proven() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    world.upstreams[0].introduces(r#"{"completions":{},"prompts":{}}"#, None);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 2);
    for _ in 0..2 {
        let peer = world.passer_by(None);
        let text = r#","ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}"#;
        world.ask(&peer, &request("1", "completion/complete", text));
    }
    assert_eq!(siblings.opened(), 1);
    assert_eq!(siblings.all()[0].upstream.calls().len(), 2);
}

#[test]
fn a_stateless_upstream_needs_no_child_for_each_call() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
    world.ready(0, 2);
    anybody(&mut world);
    anybody(&mut world);
    assert_eq!(siblings.opened(), 1, "it asks in its answers");
}

#[test]
fn where_all_are_one_person_their_calls_share_a_child() {
    let options = Options { single_user: true, ..Options::default() };
    let (mut world, siblings) = world_with(options, Isolation::Session { limit: 16 });
    anybody(&mut world);
    let (_, going) = anybody(&mut world);
    assert_eq!(siblings.opened(), 1);
    let child = siblings.all()[0].clone();
    assert!(child.told.is_none(), "the next call may be of a client that can do more");
    child.ready(1);
    child.says(SAMPLING);
    world.run();
    assert!(world.clock.wake_after(Duration::from_millis(50)));
    world.run();
    assert!(going.text().contains("input_required"), "the newest call is asked");
}

#[test]
fn a_child_is_told_what_its_session_can_do() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peer = world.client(r#"{"roots":{"listChanged":true},"tasks":{}}"#);
    world.call(&peer, "1", "own");
    assert_eq!(siblings.get(of(1)).told.as_deref(), Some(r#"{"roots":{"listChanged":true}}"#));
}

#[test]
fn a_log_level_of_the_first_call_reaches_the_first_life() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peer = world.passer_by(None);
    let meta = modern::meta("{}", r#","io.modelcontextprotocol/logLevel":"debug""#);
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"own",{meta}}}}}"#
    );
    world.ask(&peer, &text);
    let child = siblings.all()[0].clone();
    child.upstream.take_sent();
    child.ready(1);
    world.run();
    let sent = child.upstream.take_sent();
    assert!(sent.iter().any(|text| text.contains(r#""level":"debug""#)), "{sent:?}");
}

#[test]
fn on_a_pipe_stateless_requests_use_the_child_of_the_pipe() {
    let (mut world, siblings) = world(Isolation::Session { limit: 16 });
    let peer = world.client("{}");
    world.call(&peer, "1", "own");
    calls(&mut world, &peer, "2", "own");
    assert_eq!(siblings.keys(), [of(1)]);
    assert_eq!(siblings.get(of(1)).upstream.calls().len(), 2);
    peer.session.close();
    assert_eq!(siblings.take_closed(), [of(1)]);
}

#[test]
fn over_the_limit_who_asked_without_a_session_and_longest_ago_makes_room() {
    let (mut world, siblings) = world(Isolation::Session { limit: 3 });
    let session = world.client("{}");
    world.call(&session, "1", "own");
    let own = siblings.keys()[0];
    for name in ["x", "y", "x"] {
        let peer = world.passer_by(Some(name));
        calls(&mut world, &peer, "1", "own");
        for child in siblings.all() {
            while !child.upstream.calls().is_empty() {
                child.upstream.answers("{}");
                world.run();
            }
        }
        peer.session.close();
    }
    let [_, x, y] = siblings.keys()[..] else { panic!("three") };
    let peer = world.passer_by(Some("z"));
    calls(&mut world, &peer, "1", "own");
    assert_eq!(siblings.take_closed(), [y]);
    let keys = siblings.keys();
    assert!(keys.contains(&own) && keys.contains(&x) && keys.len() == 3);
    // Whoever has a call stays, and so do sessions: then there is no room.
    let peer = world.passer_by(Some("x"));
    calls(&mut world, &peer, "1", "own");
    let late = world.passer_by(Some("w"));
    assert!(calls(&mut world, &late, "1", "own").text().contains("session_limit"));
}

#[test]
fn who_listens_without_a_session_keeps_its_child_until_it_goes() {
    let (mut world, siblings) = world(Isolation::Session { limit: 1 });
    let (peer, late) = (world.passer_by(Some("x")), world.passer_by(Some("y")));
    let filter = r#","notifications":{"resourceSubscriptions":["x://1"]}"#;
    let going = world.ask(&peer, &request("1", "subscriptions/listen", filter));
    let child = siblings.all()[0].clone();
    child.ready(1);
    world.run();
    assert!(child.upstream.take_sent().iter().any(|text| text.contains("resources/subscribe")));
    peer.client.take();
    child.says(UPDATED);
    assert_eq!(peer.client.take().len(), 1);
    assert!(calls(&mut world, &late, "1", "own").text().contains("session_limit"));
    peer.session.close();
    world.run();
    assert_eq!(going.answer(), None);
    assert!(!calls(&mut world, &late, "2", "own").is_done(), "there is room for it");
    assert_eq!(siblings.take_closed().len(), 1);
}
