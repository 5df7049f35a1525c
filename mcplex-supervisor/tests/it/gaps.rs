//! Time in which nothing ran: here (SIGSTOP) or on the whole host (sleep).

use crate::{
    fake::{FakeHost, Script},
    world::{World, answer, end, id_of, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _, UpstreamError};
use mcplex_supervisor::{Host, HostOptions, Options, Starts};
use std::{sync::Arc, time::Duration};

/// The process is halted: time goes on, and every timer comes late.
async fn halt(time: Duration) {
    tokio::time::advance(time).await;
    pass(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time_again_after_a_halt() {
    for before in [1, 7, 29] {
        let world = World::new(&[Script::Mute]);
        pass(Duration::from_secs(before)).await;
        halt(Duration::from_secs(3600)).await;
        pass(Duration::from_secs(9)).await;
        assert_eq!(world.handle.status().health, Health::Recovering);
        assert_eq!((world.transport.connects(), world.handle.status().deaths), (1, 0), "{before}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_was_nearly_due_has_ten_seconds_after_a_halt() {
    let world = World::new(&[Script::Mute, Script::Works]);
    pass(Duration::from_millis(29_900)).await;
    let began = now();
    halt(Duration::from_secs(60)).await;
    world.until(Health::Ready).await;
    assert_eq!(began.elapsed().as_secs(), 70);
}

#[tokio::test(start_paused = true)]
async fn a_halt_is_no_hang_and_no_stuck_write() {
    let world = World::ready().await;
    world.server().answers_pings(false);
    pass(Duration::from_secs(45)).await;
    // One of three questions was missed, and one is open.
    halt(Duration::from_secs(600)).await;
    world.server().answers_pings(true);
    pass(Duration::from_secs(300)).await;
    assert_eq!((world.transport.connects(), world.handle.status().health), (1, Health::Ready));

    world.server().reads(false);
    let call = world.call("a");
    pass(Duration::from_secs(29)).await;
    halt(Duration::from_secs(600)).await;
    pass(Duration::from_secs(9)).await;
    world.server().reads(true);
    pass(Duration::from_secs(60)).await;
    assert_eq!((world.transport.connects(), world.handle.status().deaths), (1, 0));
    call.abort();
}

#[tokio::test(start_paused = true)]
async fn calls_have_their_time_again_after_a_halt() {
    let world = World::ready().await;
    let sent = world.call_within("slow", Some(Duration::from_secs(20)));
    pass(Duration::from_secs(1)).await;
    let id = id_of(&world.server().take(), "slow");
    halt(Duration::from_secs(60)).await;
    pass(Duration::from_secs(5)).await;
    world.server().says(&answer(id, "{}"));
    assert!(end(sent).await.is_ok());

    let world = World::new(&[Script::Mute]);
    pass(Duration::from_secs(1)).await;
    let (parked, began) = (world.call("a"), now());
    pass(Duration::from_secs(1)).await;
    halt(Duration::from_secs(60)).await;
    let error = end(parked).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error}");
    assert!(began.elapsed() >= Duration::from_secs(61), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_late_call_that_nothing_held_up_still_ends() {
    let world = World::ready().await;
    let began = now();
    let call = world.call_within("never", Some(Duration::from_secs(20)));
    assert!(matches!(end(call).await, Err(UpstreamError::Timeout { .. })));
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn after_a_sleep_of_the_host_nothing_due_counts_and_probes_begin_anew() {
    let facts = Arc::new(FakeHost::default());
    let host = Host::new(HostOptions::default(), facts.clone(), 1);
    let world =
        World::of(host.clone(), Options::default(), Starts::Now, 1, &[Script::Mute, Script::Works]);
    pass(Duration::from_secs(28)).await;
    // The clock of deadlines stood still meanwhile.
    *facts.asleep.lock().unwrap() = Duration::from_secs(8 * 3600);
    pass(Duration::from_secs(9)).await;
    assert_eq!((world.transport.connects(), world.handle.status().deaths), (1, 0));
    world.until(Health::Ready).await;

    world.server().answers_pings(false);
    pass(Duration::from_secs(49)).await;
    assert_eq!(world.handle.status().health, Health::Degraded);
    *facts.asleep.lock().unwrap() = Duration::from_secs(9 * 3600);
    // The second question would be overdue now.
    pass(Duration::from_secs(8)).await;
    world.server().answers_pings(true);
    pass(Duration::from_secs(60)).await;
    assert_eq!((world.transport.connects(), world.handle.status().health), (2, Health::Ready));
}
