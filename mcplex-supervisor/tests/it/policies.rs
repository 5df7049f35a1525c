//! When an upstream begins, when it rests, and how many calls it gets at once.

use crate::{
    fake::Script,
    world::{World, answer, end, id_of, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _, UpstreamError};
use mcplex_supervisor::{OnExitZero, Options, Restart};
use std::time::Duration;

fn idle_stop() -> Options {
    Options { idle_stop: Some(Duration::from_secs(600)), ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn a_lazy_upstream_is_started_by_its_first_call() {
    let world = World::lazy(Options::default(), &[Script::Works]);
    pass(Duration::from_secs(3600)).await;
    let status = world.handle.status();
    assert_eq!((status.health, world.transport.connects()), (Health::Idle, 0));
    assert_eq!(status.reason.as_deref(), Some("the first call starts it"));
    // What the gateway asks for itself starts nothing.
    let error = end(world.upkeep("tools/list")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error}");
    assert_eq!(world.transport.connects(), 0);
    let (call, second) = (world.call("a"), world.call("b"));
    world.until(Health::Ready).await;
    world.settle().await;
    let heard = world.server().take();
    assert!(heard[3].contains(r#""method":"a""#), "{heard:?}");
    let id = id_of(&heard, "b");
    world.server().says(&answer(id - 1, "{}"));
    world.server().says(&answer(id, "{}"));
    assert!(end(call).await.is_ok() && end(second).await.is_ok());
    assert_eq!(world.transport.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_or_a_restart_wakes_an_idle_one_too() {
    let world = World::lazy(Options::default(), &[Script::Works]);
    world.until(Health::Idle).await;
    world.handle.start().await;
    world.until(Health::Ready).await;
    let lazy = World::lazy(Options::default(), &[Script::Works]);
    lazy.handle.restart().await;
    lazy.until(Health::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn an_unused_upstream_rests_and_the_next_call_wakes_it() {
    let world = World::with(idle_stop(), &[Script::Works]);
    world.until(Health::Ready).await;
    let began = now();
    let status = world.until(Health::Idle).await;
    assert_eq!((began.elapsed().as_secs(), status.deaths), (600, 0));
    assert_eq!(status.reason.as_deref(), Some("nobody used it; the next call starts it again"));
    world.settle().await;
    assert_eq!(world.transport.running(), 0);
    assert!(world.events.reports().is_empty(), "it is no death");
    pass(Duration::from_secs(3600)).await;
    let call = world.call("a");
    world.until(Health::Ready).await;
    world.settle().await;
    world.server().says(&answer(id_of(&world.server().take(), "a"), "{}"));
    assert!(end(call).await.is_ok());
    assert_eq!(world.handle.status().incarnation.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_keeps_it_awake_and_the_gateways_own_do_not() {
    let world = World::with(idle_stop(), &[Script::Works]);
    world.until(Health::Ready).await;
    world.settle().await;
    world.server().take();
    let call = world.call_within("long", Some(Duration::from_secs(5000)));
    world.settle().await;
    let id = id_of(&world.server().take(), "long");
    pass(Duration::from_secs(3000)).await;
    assert_eq!(world.handle.status().health, Health::Ready);
    world.server().says(&answer(id, "{}"));
    assert!(end(call).await.is_ok());
    let ended = now();
    pass(Duration::from_secs(300)).await;
    let upkeep = world.upkeep("tools/list");
    world.until(Health::Idle).await;
    assert_eq!(ended.elapsed().as_secs(), 600);
    assert!(end(upkeep).await.is_err());

    // Given up counts as an end too, and short calls begin the time anew.
    let world = World::with(idle_stop(), &[Script::Works]);
    world.until(Health::Ready).await;
    pass(Duration::from_secs(500)).await;
    let call = world.call("a");
    pass(Duration::from_secs(50)).await;
    call.abort();
    let ended = now();
    world.until(Health::Idle).await;
    assert_eq!(ended.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn what_follows_an_exit_is_as_configured() {
    let check = |restart, on_exit_0, code, ready: u64, expect| async move {
        let options = Options { restart, on_exit_0, ..Options::default() };
        let world = World::with(options, &[Script::Works]);
        world.until(Health::Ready).await;
        pass(Duration::from_secs(ready)).await;
        world.server().exits(code);
        let status = world.until_that(|status| status.health != Health::Ready).await;
        assert_eq!(status.health, expect, "{restart:?} {on_exit_0:?} {code} {ready}");
        (world, status)
    };
    let (restart, idle) = (OnExitZero::Restart, OnExitZero::Idle);
    check(Restart::Always, restart, 0, 60, Health::Recovering).await;
    check(Restart::OnFailure, restart, 1, 60, Health::Recovering).await;
    check(Restart::OnFailure, restart, 0, 60, Health::Stopped).await;
    check(Restart::Never, restart, 1, 60, Health::Stopped).await;
    check(Restart::Never, idle, 0, 60, Health::Stopped).await;
    let (world, _) = check(Restart::Always, idle, 0, 60, Health::Idle).await;
    assert_eq!(world.handle.status().deaths, 0);
    assert!(world.events.reports().is_empty(), "it may leave when it is done");
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (1, 0));
    let call = world.call("a");
    world.until(Health::Ready).await;
    call.abort();
    let (world, status) = check(Restart::Always, idle, 0, 5, Health::Idle).await;
    assert_eq!((status.deaths, world.events.reports().len()), (1, 1), "too short to be of use");
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_what_runs_and_is_no_death() {
    let world = World::ready().await;
    let call = world.call("a");
    world.settle().await;
    world.handle.restart().await;
    let error = end(call).await.unwrap_err();
    assert!(error.to_string().contains("somebody restarted it"), "{error}");
    let status = world
        .until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready)
        .await;
    assert_eq!((status.deaths, status.trips, world.transport.running()), (0, 0, 1));
    assert!(world.events.reports().is_empty());
    // An open breaker stays open; what starts is its trial.
    let tripped = World::new(&[Script::Fails]);
    tripped.until(Health::Tripped).await;
    let connects = tripped.transport.connects();
    tripped.handle.restart().await;
    tripped.until_that(|status| status.trips == 2).await;
    assert_eq!(tripped.transport.connects(), connects + 1);
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_in_flight_and_the_rest_waits_in_order() {
    let options = Options { max_concurrency: 2, queue_limit: 3, ..Options::default() };
    let world = World::with(options, &[Script::Works]);
    world.until(Health::Ready).await;
    world.settle().await;
    world.server().take();
    let mut calls = Vec::new();
    for method in ["a", "b", "c", "d", "e"] {
        calls.push(world.call(method));
        world.settle().await;
    }
    let heard = world.server().take();
    assert_eq!(heard.len(), 2, "{heard:?}");
    let error = end(world.call("f")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::QueueFull { limit: 3, .. }), "{error}");
    // What the gateway asks for itself takes no room.
    let upkeep = world.upkeep("tools/list");
    world.settle().await;
    assert_eq!(world.server().take().len(), 1);
    // They wait for longer than for a life: until their own time is over.
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.handle.status().in_flight, 2);
    // One that is given up leaves the queue, and one that was sent makes room.
    let c = calls.remove(2);
    c.abort();
    calls.remove(0).abort();
    world.settle().await;
    let heard = world.server().take();
    assert!(heard.len() == 1 && heard[0].contains(r#""method":"d""#), "{heard:?}");
    world.server().says(&answer(id_of(&heard, "d"), "{}"));
    world.settle().await;
    let heard = world.server().take();
    assert!(heard.len() == 1 && heard[0].contains(r#""method":"e""#), "{heard:?}");
    world.server().says(&answer(id_of(&heard, "e"), "{}"));
    assert!(end(calls.pop().unwrap()).await.is_ok());
    assert!(end(calls.pop().unwrap()).await.is_ok());
    upkeep.abort();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_when_its_upstream_dies_waits_for_the_next_life() {
    let options = Options { max_concurrency: 1, ..Options::default() };
    let world = World::with(options, &[Script::Works]);
    world.until(Health::Ready).await;
    let (sent, waits) = (world.call("a"), world.call("b"));
    pass(Duration::from_secs(20)).await;
    world.server().exits(1);
    assert!(matches!(end(sent).await, Err(UpstreamError::Died { .. })));
    world.until(Health::Ready).await;
    world.settle().await;
    let heard = world.server().take();
    world.server().says(&answer(id_of(&heard, "b"), "{}"));
    assert_eq!(end(waits).await.unwrap().from.0, 2);
    // And no longer than others do, if none comes.
    let (sent, waits) = (world.call("a"), world.call("b"));
    pass(Duration::from_secs(20)).await;
    world.transport.set(Script::Mute);
    world.server().exits(1);
    assert!(end(sent).await.is_err());
    let began = now();
    assert!(matches!(end(waits).await, Err(UpstreamError::Unavailable { .. })));
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_status_tells_how_long_at_the_moment_it_is_read() {
    let world = World::ready().await;
    pass(Duration::from_secs(100)).await;
    let call = world.call("a");
    world.settle().await;
    let status = world.handle.status();
    assert_eq!((status.uptime.unwrap().as_secs(), status.in_flight), (100, 1));
    assert_eq!(status.last_error, None);
    world.transport.set(Script::FailsForGood);
    world.server().exits(3);
    assert!(end(call).await.is_err());
    world.until(Health::Tripped).await;
    pass(Duration::from_secs(100)).await;
    let status = world.handle.status();
    let wait = status.retry_after.unwrap().as_secs();
    assert!((700..=980).contains(&wait), "{wait}");
    assert_eq!((status.uptime, status.in_flight), (None, 0));
    assert!(status.last_error.unwrap().contains("there is no such program"));
}
