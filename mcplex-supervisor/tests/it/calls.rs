//! Calls: sent, answered, parked, lost, forgotten.

use crate::{
    fake::Script,
    world::{World, answer, end, id_of, now, pass},
};
use mcplex_proto::{
    message::{Extra, Message, Outcome},
    upstream::{Call, Health, Incarnation, Upstream as _, UpstreamError},
    version::Era,
};
use mcplex_supervisor::Options;
use std::{
    future::{Future as _, poll_fn},
    task::Poll,
    time::Duration,
};

fn result(outcome: &Outcome) -> &str {
    let Outcome::Result(raw) = outcome else { panic!("{outcome:?}") };
    raw.as_str()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_by_its_id() {
    let world = World::ready().await;
    let first = world.call("a");
    world.settle().await;
    let one = id_of(&world.server().take(), "a");
    let second = world.call("b");
    world.settle().await;
    let two = id_of(&world.server().take(), "b");
    world.server().says(&answer(two, r#"{"n":2.0}"#));
    world.server().says(&answer(one, r#"{"n":1.50}"#));
    let (first, second) = (end(first).await.unwrap(), end(second).await.unwrap());
    assert_eq!((result(&first.outcome), first.from), (r#"{"n":1.50}"#, Incarnation(1)));
    assert_eq!(result(&second.outcome), r#"{"n":2.0}"#);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_first_life() {
    let world = World::new(&[Script::Works]);
    let call = world.call("a");
    world.settle().await;
    let heard = world.server().take();
    assert!(heard[2].contains("notifications/initialized"), "{heard:?}");
    world.server().says(&answer(id_of(&heard, "a"), "{}"));
    assert!(end(call).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sent_call_fails_once_and_is_never_sent_again() {
    let world = World::ready().await;
    let calls = [world.call("a"), world.call("b")];
    world.settle().await;
    assert_eq!(world.server().take().len(), 2);
    world.server().exits(3);
    for call in calls {
        let error = end(call).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Died { .. }), "{error}");
        assert!(error.to_string().contains("it exited with code 3; its last words"), "{error}");
    }
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    pass(Duration::from_secs(20)).await;
    let heard = world.server().take();
    assert!(!heard.iter().any(|text| text.contains(r#""a""#) || text.contains(r#""b""#)));
}

#[tokio::test(start_paused = true)]
async fn a_call_between_two_lives_is_sent_to_the_second() {
    let world = World::ready().await;
    world.server().exits(1);
    world.until(Health::Recovering).await;
    let (first, second) = (world.call("a"), world.call("b"));
    world.until(Health::Ready).await;
    world.settle().await;
    let heard = world.server().take();
    assert_eq!(heard.len(), 4, "{heard:?}");
    assert!(heard[2].contains(r#""method":"a""#), "in order: {heard:?}");
    let id = id_of(&heard, "b");
    world.server().says(&answer(id, "{}"));
    world.server().says(&answer(id - 1, "{}"));
    assert_eq!(end(second).await.unwrap().from, Incarnation(2));
    end(first).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_five_seconds_for_a_life_and_no_longer() {
    let world = World::new(&[Script::Mute]);
    world.settle().await;
    let began = now();
    let error = end(world.call("a")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_wait_and_the_dead_make_room() {
    let world = World::new(&[Script::Mute]);
    world.settle().await;
    let calls: Vec<_> = (0..64).map(|_| world.call("a")).collect();
    world.settle().await;
    let error = end(world.call("b")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::QueueFull { limit: 64, .. }), "{error}");
    calls[10].abort();
    world.settle().await;
    let late = world.call("c");
    for (index, call) in calls.into_iter().enumerate() {
        if index != 10 {
            assert!(matches!(end(call).await, Err(UpstreamError::Unavailable { .. })));
        }
    }
    assert!(matches!(end(late).await, Err(UpstreamError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_tripped_upstream_fail_at_once() {
    let world = World::new(&[Script::FailsForGood]);
    let parked = world.call("a");
    assert!(matches!(end(parked).await, Err(UpstreamError::Tripped { .. })));
    world.until(Health::Tripped).await;
    let began = now();
    let error = end(world.call("a")).await.unwrap_err();
    let UpstreamError::Tripped { reason, retry_after, trips, .. } = error else {
        panic!("{error}")
    };
    assert!(reason.contains("there is no such program"), "{reason}");
    assert!(retry_after.unwrap() >= Duration::from_secs(890), "{retry_after:?}");
    assert_eq!((trips, began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_call_has_its_time_anew_when_it_asks_something_and_when_it_was_answered() {
    let options = Options { call_timeout: Duration::from_secs(60), ..Options::default() };
    let world = World::with(options, &[Script::Works]);
    world.until(Health::Ready).await;
    let (call, began) = (world.call("slow"), now());
    pass(Duration::from_secs(50)).await;
    let id = id_of(&world.server().take(), "slow");
    // Somebody is asked, who may take longer than a call.
    world.handle.renew(id, Duration::from_secs(600));
    pass(Duration::from_secs(500)).await;
    assert!(!call.is_finished());
    // It goes on with the answer, and has all its time again but no more.
    world.handle.renew(id, Duration::ZERO);
    pass(Duration::from_secs(59)).await;
    assert!(!call.is_finished());
    assert!(matches!(end(call).await, Err(UpstreamError::Timeout { .. })));
    let took = began.elapsed().as_secs();
    assert!((610..=670).contains(&took), "{took}");
    // Whoever has ended has no time.
    world.handle.renew(id, Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_cancelled_and_its_late_answer_is_only_an_event() {
    let world = World::ready().await;
    let call = world.call_within("slow", Some(Duration::from_secs(2)));
    world.settle().await;
    let id = id_of(&world.server().take(), "slow");
    let error = end(call).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout { .. }), "{error}");
    assert_eq!(error.from(), Some(Incarnation(1)), "the life that had it");
    world.settle().await;
    assert_eq!(
        world.server().take(),
        [format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"it took too long"}}}}"#
        )]
    );
    let late = [answer(id, "{}"), answer(id, "{}"), answer(99_999, "{}")];
    late.iter().for_each(|answer| world.server().says(answer));
    world.settle().await;
    assert_eq!(world.handle.status().health, Health::Ready);
    // That the call has ended is of use to whoever minds whom the server may still speak of.
    let told = world.events.take_messages();
    assert!(told.iter().map(|(_, text)| text).eq(&late), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_forgotten() {
    let world = World::ready().await;
    let call = world.call("a");
    world.settle().await;
    let id = id_of(&world.server().take(), "a");
    call.abort();
    world.settle().await;
    assert!(world.server().take().is_empty(), "it is not told; the router does that");
    world.server().says(&answer(id, "{}"));
    // With nothing in flight the upstream is idle, so it is asked whether it lives.
    pass(Duration::from_secs(31)).await;
    assert!(world.server().take()[0].contains(r#""method":"ping""#));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_is_never_sent() {
    let world = World::ready().await;
    world.server().exits(1);
    world.until(Health::Recovering).await;
    let call = world.call("a");
    // Let it be parked; the next life is 125 ms away at least.
    world.settle().await;
    call.abort();
    world.until(Health::Ready).await;
    world.settle().await;
    assert_eq!(world.server().take().len(), 2, "initialize and initialized");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_heard_at_once_and_all_of_a_flood_in_order() {
    let world = World::ready().await;
    let step = |n: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{n}}}}}"#
        )
    };
    (0..5000).for_each(|n| world.server().says(&step(n)));
    world.settle().await;
    let mut heard = world.events.take_messages();
    assert_eq!(heard.len(), 5000, "a burst is never paused");
    // So much more is a flood: it takes its time, and nothing of it is lost.
    (5000..20_000).for_each(|n| world.server().says(&step(n)));
    pass(Duration::from_secs(2)).await;
    heard.extend(world.events.take_messages());
    assert!((10_000..15_000).contains(&heard.len()), "{}", heard.len());
    pass(Duration::from_secs(3)).await;
    heard.extend(world.events.take_messages());
    let heard: Vec<_> = heard.into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, (0..20_000).map(step).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn messages_of_the_upstream_arrive_in_order_and_can_be_answered_at_once() {
    let world = World::ready().await;
    let note = r#"{"jsonrpc":"2.0","method":"x/note"}"#;
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
    for text in [note, question, note] {
        world.server().says(text);
    }
    world.settle().await;
    let expect = [note, question, note].map(|text| (1, text.to_owned()));
    assert_eq!(world.events.take_messages(), expect);
    assert_eq!(world.server().take(), [r#"{"jsonrpc":"2.0","id":"q","result":{}}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_message_for_another_life_is_not_sent() {
    let world = World::ready().await;
    let note = Message::parse(r#"{"jsonrpc":"2.0","method":"x"}"#.into()).unwrap();
    world.server().exits(1);
    world.until(Health::Recovering).await;
    world.handle.send(None, note.clone());
    world.until(Health::Ready).await;
    world.settle().await;
    world.server().take();
    world.handle.send(Some(Incarnation(1)), note.clone());
    world.handle.send(Some(Incarnation(2)), note.clone());
    world.handle.send(None, note);
    world.settle().await;
    assert_eq!(world.server().take().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_last_answer_before_an_exit_counts() {
    let world = World::ready().await;
    let call = world.call("a");
    world.settle().await;
    let id = id_of(&world.server().take(), "a");
    world.server().says(&answer(id, "{}"));
    world.server().exits(0);
    assert!(end(call).await.is_ok());
    world.until(Health::Recovering).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_on_its_way_to_the_task_is_never_sent() {
    let world = World::ready().await;
    let call = Call {
        id: world.handle.mint(),
        method: "a".into(),
        params: None,
        extra: Extra::default(),
        timeout: None,
        trace: None,
        is_upkeep: false,
        era: Era::Legacy,
    };
    let mut asked = Box::pin(world.handle.call(call));
    // One poll puts it into the queue; the task has not run since.
    let is_done = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_ready())).await;
    assert!(!is_done);
    drop(asked);
    world.settle().await;
    assert!(world.server().take().is_empty());
}
