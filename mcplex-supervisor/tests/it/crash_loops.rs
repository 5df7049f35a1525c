//! The incidents mcplex was written for: upstreams that die again and again.

use crate::{
    fake::Script,
    world::{World, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _};
use std::time::Duration;

/// Runs a crash loop to its trip and some way further.
async fn trips(script: Script, connects: usize, part: &str) -> World {
    let began = now();
    let world = World::new(&[script]);
    let status = world.until(Health::Tripped).await;
    assert_eq!(world.transport.connects(), connects);
    assert_eq!(status.trips, 1);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let reason = world.until_that(|status| status.retry_after.is_some()).await.reason.unwrap();
    assert!(reason.contains(part), "{reason}");
    // Until the first trial nothing happens.
    pass(Duration::from_secs(50)).await;
    assert_eq!((world.transport.connects(), world.transport.running()), (connects, 0));
    world
}

#[tokio::test(start_paused = true)]
async fn connects_that_fail_trip_at_the_sixth() {
    trips(Script::Fails, 6, "6 deaths in 60 s; the last time it could not be started (no luck)")
        .await;
}

#[tokio::test(start_paused = true)]
async fn deaths_in_the_handshake_trip_at_the_sixth() {
    trips(
        Script::DiesInHandshake,
        6,
        "the last time it exited with code 1; its last words: Error: no token",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn deaths_after_the_handshake_trip_at_the_sixth() {
    let world = trips(Script::DiesWhenReady, 6, "its last words: Error: no token").await;
    let statuses = world.events.statuses();
    let expect: Vec<_> = (1..=6)
        .flat_map(|life| {
            let after = if life < 6 { "recovering" } else { "tripped" };
            [("recovering", life), ("ready", life), (after, life)]
        })
        .collect();
    let mut got = statuses;
    // A change of the reason or the process alone is none of the health.
    got.dedup();
    assert_eq!(got, expect);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_repair_trips_at_once() {
    trips(Script::FailsForGood, 1, "there is no such program; install it").await;
    trips(Script::Speaks("1999-01-01"), 1, r#"protocol version "1999-01-01""#).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_host_is_no_death() {
    let world = World::new(&[Script::LacksResources]);
    pass(Duration::from_secs(600)).await;
    assert!(world.transport.connects() > 15, "{}", world.transport.connects());
    let status = world.handle.status();
    assert_eq!((status.health, status.deaths, status.trips), (Health::Recovering, 0, 0));
    world.transport.set(Script::Works);
    world.until(Health::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_goes_well_closes_the_breaker() {
    let world = trips(Script::DiesInHandshake, 6, "").await;
    world.transport.set(Script::Works);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, world.transport.connects()), (7, 7));
    assert_eq!(status.reason, None);
    pass(Duration::from_secs(120)).await;
    assert_eq!(world.handle.status().health, Health::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_trips_again() {
    let world = trips(Script::DiesInHandshake, 6, "").await;
    let status = world.until_that(|status| status.trips == 2).await;
    assert_eq!((status.health, world.transport.connects()), (Health::Tripped, 7));
    let reason = status.reason.unwrap();
    assert!(reason.starts_with("it was tried again and it exited with code 1"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_reset_starts_a_tripped_upstream_at_once() {
    let world = trips(Script::Fails, 6, "").await;
    world.transport.set(Script::Works);
    let before = now();
    world.handle.reset().await;
    let status = world.until(Health::Ready).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!((status.deaths, status.trips, status.reason), (0, 0, None));
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_crashes_is_a_dozen_starts() {
    let world = World::new(&[Script::DiesInHandshake]);
    pass(Duration::from_secs(3600)).await;
    assert!(world.transport.connects() <= 12, "{}", world.transport.connects());
    assert_eq!(world.transport.running(), 0);
}
