//! All forms of one death.

use crate::{
    fake::Script,
    world::{World, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _};
use std::time::Duration;

/// The reason after one death; there must be one alone, and then a new life.
async fn reason(world: &World) -> String {
    let status =
        world.until_that(|status| status.health == Health::Recovering && status.deaths > 0).await;
    assert_eq!((status.incarnation.0, status.deaths), (1, 1));
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, status.deaths, world.transport.running()), (2, 1, 1));
    world.events.reason(1)
}

#[tokio::test(start_paused = true)]
async fn an_exit_is_told_with_its_last_words() {
    let world = World::ready().await;
    world.server().exits(7);
    assert_eq!(reason(&world).await, "it exited with code 7; its last words: Error: no token");
}

#[tokio::test(start_paused = true)]
async fn an_exit_counts_although_a_helper_holds_the_output() {
    let world = World::ready().await;
    let began = now();
    world.server().exits_leaving_a_helper(7);
    world.until(Health::Recovering).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(reason(&world).await.starts_with("it exited with code 7"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_output_is_a_death_although_the_process_lives() {
    let world = World::ready().await;
    let server = world.server();
    server.falls_silent();
    assert_eq!(reason(&world).await, "it closed its output but went on running");
    assert_eq!((server.closes(), server.is_running()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_read_on_is_a_death() {
    let world = World::ready().await;
    world.server().breaks();
    let reason = reason(&world).await;
    assert_eq!(reason, "its output could not be read on: a line is too long");
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_a_death_and_an_exit_explains_it_better() {
    for exits in [false, true] {
        let world = World::ready().await;
        let server = world.server();
        server.fails_writes();
        let call = world.call("a");
        if exits {
            world.settle().await;
            server.exits(9);
        }
        let reason = reason(&world).await;
        let expect = if exits { "it exited with code 9" } else { "it could not be written to" };
        assert!(reason.starts_with(expect), "{reason}");
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_skipped_and_counted_and_kills_nobody() {
    let world = World::ready().await;
    for _ in 0..1000 {
        world.server().says("Starting up…");
        world.server().says("[]");
    }
    world.server().says(r#"{"jsonrpc":"2.0","method":"x"}"#);
    world.settle().await;
    assert_eq!(world.events.take_messages().len(), 1);
    assert_eq!(world.handle.status().deaths, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_has_a_deadline() {
    for script in [Script::Mute, Script::Hangs] {
        let world = World::new(&[script, Script::Works]);
        let began = now();
        let status = world.until(Health::Ready).await;
        assert_eq!((status.incarnation.0, status.deaths), (2, 1));
        assert_eq!(began.elapsed().as_secs(), 30);
        assert_eq!(world.events.reason(1), "it did not answer initialize within 30 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_garbage_does_not_hide_the_deadline() {
    let world = World::new(&[Script::Floods, Script::Works]);
    let began = now();
    world.until(Health::Ready).await;
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!(world.events.reason(1), "it did not answer initialize within 30 s");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_killed_is_never_started_over() {
    let world = World::ready().await;
    let server = world.server();
    server.set_killable(false);
    server.falls_silent();
    pass(Duration::from_secs(600)).await;
    assert_eq!((world.transport.connects(), world.handle.status().health), (1, Health::Recovering));
    assert!(server.closes() > 50, "{}", server.closes());
    server.set_killable(true);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, world.transport.connects()), (2, 2));
    assert_eq!(status.deaths, 0, "that one is long past");
}
