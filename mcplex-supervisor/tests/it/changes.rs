//! A changed configuration: new limits at once, a new process once and only when it is time.

use crate::{
    fake::{FakeTransport, Script},
    world::{World, answer, end, id_of, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _, UpstreamError};
use mcplex_supervisor::{Change, Options, ProcessMemory, Starts};
use std::{sync::Arc, time::Duration};

const DRAIN: Duration = Duration::from_secs(5);

fn change(transport: &FakeTransport, options: Options) -> Change {
    Change {
        transport: Arc::new(transport.clone()),
        options,
        starts: Starts::Now,
        verdicts: Arc::new(ProcessMemory::default()),
    }
}

/// What a changed command leads to.
fn other() -> FakeTransport {
    FakeTransport::new(&[Script::Works])
}

#[tokio::test(start_paused = true)]
async fn a_replacement_waits_for_calls_in_flight_and_later_calls_wait_for_it() {
    let world = World::ready().await;
    let old = world.call("old");
    world.settle().await;
    let id = id_of(&world.server().take(), "old");
    let next = other();
    world.handle.replace(change(&next, Options::default()), DRAIN).await;
    let new = world.call("new");
    pass(Duration::from_secs(3)).await;
    assert_eq!((next.connects(), world.transport.running()), (0, 1));
    assert!(world.server().take().is_empty(), "a new call is not sent to the old process");

    world.server().says(&answer(id, "{}"));
    assert!(end(old).await.is_ok());
    world.settle().await;
    assert_eq!((next.connects(), next.running(), world.transport.running()), (1, 1, 0));
    next.server().says(&answer(id_of(&next.server().take(), "new"), "{}"));
    assert!(end(new).await.is_ok());
    let status = world.handle.status();
    assert_eq!((status.deaths, status.trips, status.incarnation.0), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_does_not_wait_longer_than_its_drain() {
    let world = World::ready().await;
    let call = world.call("slow");
    world.settle().await;
    let began = now();
    let next = other();
    world.handle.replace(change(&next, Options::default()), DRAIN).await;
    pass(Duration::from_secs(4)).await;
    // A drain under way is not made longer.
    world.handle.replace(change(&next, Options::default()), DRAIN).await;
    let error = end(call).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(error.to_string().contains("its configuration changed"), "{error}");
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    assert_eq!(next.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_changes_during_a_drain_cost_one_start_of_the_last() {
    let world = World::ready().await;
    let call = world.call("slow");
    world.settle().await;
    let nexts: Vec<_> = (0..20).map(|_| other()).collect();
    for next in &nexts {
        world.handle.replace(change(next, Options::default()), DRAIN).await;
        world.settle().await;
    }
    assert!(end(call).await.is_err());
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    let connects: Vec<_> = nexts.iter().map(FakeTransport::connects).collect();
    assert_eq!(connects[..19], [0; 19]);
    assert_eq!(connects[19], 1);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_never_runs_beside_what_cannot_be_ended() {
    let world = World::ready().await;
    let server = world.server();
    server.set_killable(false);
    let next = other();
    world.handle.replace(change(&next, Options::default()), DRAIN).await;
    pass(Duration::from_secs(600)).await;
    assert_eq!((next.connects(), server.is_running()), (0, true));
    server.set_killable(true);
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    assert_eq!((next.connects(), server.is_running()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_starts_from_every_state_with_a_clean_past() {
    for script in [
        Script::Mute,
        Script::Hangs,
        Script::Fails,
        Script::FailsForGood,
        Script::DiesInHandshake,
        Script::DiesWhenReady,
    ] {
        for wait in [0, 20, 300, 20_000] {
            let world = World::new(&[script]);
            pass(Duration::from_millis(wait)).await;
            let next = other();
            world.handle.replace(change(&next, Options::default()), DRAIN).await;
            world.until(Health::Ready).await;
            let status = world.handle.status();
            assert_eq!((status.deaths, status.trips), (0, 0), "{script:?} {wait}");
            assert_eq!((next.connects(), world.transport.running()), (1, 0), "{script:?} {wait}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_disabled_stays_so_until_it_is_enabled() {
    let world = World::ready().await;
    let off = Change { starts: Starts::Never, ..change(&world.transport, Options::default()) };
    world.handle.replace(off, DRAIN).await;
    let status = world.until(Health::Stopped).await;
    assert_eq!(status.reason.as_deref(), Some("it is disabled"));
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (1, 0));
    world.handle.replace(change(&world.transport, Options::default()), DRAIN).await;
    world.until(Health::Ready).await;
    assert_eq!(world.transport.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn new_limits_hold_at_once_and_start_nothing() {
    let world = World::new(&[Script::Works]);
    world.until(Health::Ready).await;
    let strict = Options {
        max_deaths: 0,
        call_timeout: Duration::from_secs(2),
        queue_limit: 1,
        ..Options::default()
    };
    world.handle.adjust(change(&world.transport, strict)).await;
    world.settle().await;
    assert_eq!((world.transport.connects(), world.handle.status().health), (1, Health::Ready));
    let began = now();
    let error = end(world.call("slow")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 2);
    world.server().exits(1);
    let status = world.until(Health::Tripped).await;
    assert_eq!((status.deaths, world.transport.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn limits_that_change_during_a_drain_go_with_the_replacement() {
    let world = World::ready().await;
    let call = world.call("slow");
    world.settle().await;
    let (first, last) = (other(), other());
    world.handle.replace(change(&first, Options::default()), DRAIN).await;
    let strict = Options { max_deaths: 0, ..Options::default() };
    world.handle.adjust(change(&last, strict)).await;
    assert!(end(call).await.is_err());
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    assert_eq!((first.connects(), last.connects()), (0, 1));
    last.server().exits(1);
    assert_eq!(world.until(Health::Tripped).await.deaths, 1);
}

#[tokio::test(start_paused = true)]
async fn what_retires_finishes_its_calls_and_is_gone() {
    let mut world = World::ready().await;
    let call = world.call("old");
    world.settle().await;
    let id = id_of(&world.server().take(), "old");
    world.handle.retire(DRAIN).await;
    let late = world.call("late");
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.transport.running(), 1);
    world.server().says(&answer(id, "{}"));
    assert!(end(call).await.is_ok());
    world.ended().await;
    assert_eq!(world.transport.running(), 0);
    assert!(matches!(end(late).await, Err(UpstreamError::Stopped { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_drain_wins_and_the_change_is_kept() {
    let world = World::ready().await;
    let call = world.call("slow");
    world.settle().await;
    let next = other();
    world.handle.replace(change(&next, Options::default()), DRAIN).await;
    world.handle.stop().await;
    assert!(end(call).await.is_err());
    world.until(Health::Stopped).await;
    pass(Duration::from_secs(3600)).await;
    assert_eq!((next.connects(), world.transport.running()), (0, 0));
    world.handle.start().await;
    world.until(Health::Ready).await;
    assert_eq!((next.connects(), world.transport.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_lazy_no_longer_starts_once_and_what_has_become_lazy_goes_on() {
    let world = World::ready().await;
    let lazy = Change { starts: Starts::Lazy, ..change(&world.transport, Options::default()) };
    world.handle.adjust(lazy.clone()).await;
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (1, 1));

    world.handle.replace(lazy, DRAIN).await;
    world.until(Health::Idle).await;
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (1, 0));
    for _ in 0..2 {
        world.handle.adjust(change(&world.transport, Options::default())).await;
        world.until(Health::Ready).await;
        pass(Duration::from_secs(3600)).await;
        assert_eq!((world.transport.connects(), world.transport.running()), (2, 1));
    }
}
