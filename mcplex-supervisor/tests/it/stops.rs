//! A stop wins over everything else.

use crate::{
    fake::Script,
    world::{World, end, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _, UpstreamError};
use std::time::Duration;

/// Stops, and sees that nothing is left and nothing begins again.
async fn stays_stopped(world: &World) {
    world.handle.stop().await;
    world.until(Health::Stopped).await;
    let connects = world.transport.connects();
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (connects, 0));
    let error = end(world.call("a")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Stopped { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_wins_in_every_state() {
    for script in [
        Script::Works,
        Script::Mute,
        Script::Hangs,
        Script::Fails,
        Script::FailsForGood,
        Script::LacksResources,
        Script::DiesInHandshake,
        Script::DiesWhenReady,
    ] {
        for wait in [0, 1, 20, 300, 10_000] {
            let mut world = World::new(&[script]);
            pass(Duration::from_millis(wait)).await;
            stays_stopped(&world).await;
            world.transport.set(Script::Works);
            world.handle.start().await;
            world.until(Health::Ready).await;
            world.handle.shutdown().await;
            world.ended().await;
            assert_eq!(world.transport.running(), 0, "{script:?} {wait}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_fails_what_was_sent_and_is_no_death() {
    let world = World::ready().await;
    let call = world.call("a");
    world.settle().await;
    world.handle.stop().await;
    let error = end(call).await.unwrap_err();
    assert!(matches!(&error, UpstreamError::Died { cause: None, .. }), "{error:?}");
    assert!(error.to_string().contains("somebody stopped it"), "{error}");
    let status = world.until(Health::Stopped).await;
    assert_eq!((status.deaths, status.trips), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_refuses_what_waits() {
    let world = World::new(&[Script::Mute]);
    let call = world.call("a");
    world.settle().await;
    world.handle.stop().await;
    assert!(matches!(end(call).await, Err(UpstreamError::Stopped { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_start_during_a_stop_waits_for_its_end() {
    let world = World::ready().await;
    let server = world.server();
    server.set_killable(false);
    world.handle.stop().await;
    world.handle.start().await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.transport.connects(), 1);
    server.set_killable(true);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, world.transport.connects()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_task_and_what_it_is_asked_then_fails() {
    let mut world = World::ready().await;
    let began = now();
    world.handle.shutdown().await;
    world.ended().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(matches!(end(world.call("a")).await, Err(UpstreamError::Stopped { .. })));
    // Nobody hears these; they return all the same.
    world.handle.reset().await;
    world.handle.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_task_takes_the_process_along() {
    let mut world = World::ready().await;
    let server = world.server();
    let call = world.call("a");
    world.settle().await;
    world.cut().await;
    assert!(!server.is_running());
    assert!(matches!(end(call).await, Err(UpstreamError::Died { .. })));
    assert_eq!(world.handle.status().health, Health::Stopped);
}
