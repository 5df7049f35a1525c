//! A hung upstream is not a busy one.

use crate::world::{World, answer, end, id_of, now, pass};
use mcplex_proto::upstream::{Health, Upstream as _, UpstreamError};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn an_idle_upstream_that_answers_no_ping_dies_after_three() {
    let world = World::ready().await;
    world.server().answers_pings(false);
    let (server, began) = (world.server(), now());
    world.until(Health::Recovering).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    let pings = server.take();
    assert_eq!(pings.len(), 3, "{pings:?}");
    assert_eq!(world.events.reason(1), "it was idle and answered no ping");
}

#[tokio::test(start_paused = true)]
async fn an_idle_upstream_that_answers_lives() {
    let world = World::ready().await;
    pass(Duration::from_secs(3600)).await;
    assert_eq!((world.handle.status().health, world.transport.connects()), (Health::Ready, 1));
    let pings = world.server().take();
    assert!(pings.len() > 100, "{}", pings.len());
}

#[tokio::test(start_paused = true)]
async fn a_busy_upstream_is_left_alone() {
    let world = World::ready().await;
    world.server().answers_pings(false);
    let call = world.call_within("long", Some(Duration::from_secs(1000)));
    pass(Duration::from_secs(900)).await;
    let heard = world.server().take();
    assert_eq!(heard.len(), 1, "{heard:?}");
    world.server().says(&answer(id_of(&heard, "long"), "{}"));
    assert!(end(call).await.is_ok());
    assert_eq!(world.transport.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_asks_for_itself_excuses_no_silence() {
    let world = World::ready().await;
    world.server().answers_pings(false);
    let (list, began) = (world.upkeep("tools/list"), now());
    world.until(Health::Recovering).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(end(list).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_reads_nothing_is_hung_also_when_it_is_busy() {
    let world = World::ready().await;
    world.server().reads(false);
    let began = now();
    let calls: Vec<_> = (0..20).map(|_| world.call("a")).collect();
    world.until(Health::Recovering).await;
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(world.events.reason(1), "it read none of its input for 30 s");
    let mut died = 0;
    for call in calls {
        match end(call).await {
            Err(UpstreamError::Died { .. }) => died += 1,
            // Those that did not fit into the pipe were never sent, and wait on.
            Err(UpstreamError::Unavailable { .. } | UpstreamError::Timeout { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(died, 8);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_reads_again_in_time_lives() {
    let world = World::ready().await;
    world.server().reads(false);
    let calls: Vec<_> = (0..20).map(|_| world.call("a")).collect();
    pass(Duration::from_secs(29)).await;
    assert!(world.server().take().is_empty());
    world.server().reads(true);
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.server().take().len(), 20);
    assert_eq!(world.transport.connects(), 1);
    calls.iter().for_each(|call| call.abort());
}

#[tokio::test(start_paused = true)]
async fn an_idle_upstream_that_misses_a_probe_is_degraded_until_it_is_heard() {
    let world = World::ready().await;
    world.server().answers_pings(false);
    let began = now();
    let status = world.until(Health::Degraded).await;
    assert_eq!(began.elapsed().as_secs(), 40);
    assert!(status.reason.unwrap().contains("may hang"));
    // Calls still pass, and whatever it says clears it.
    let call = world.call("a");
    world.settle().await;
    let id = id_of(&world.server().take(), "a");
    world.server().says(&answer(id, "{}"));
    assert!(end(call).await.is_ok());
    let status = world.until(Health::Ready).await;
    assert_eq!((status.reason, status.deaths), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_talks_and_never_reads_is_hung_all_the_same() {
    let world = World::ready().await;
    world.server().reads(false);
    let (call, began) = (world.call("a"), now());
    while world.transport.connects() == 1 {
        world.server().says(r#"{"jsonrpc":"2.0","method":"x/chatter"}"#);
        pass(Duration::from_millis(500)).await;
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on for ever");
    }
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(world.events.reason(1), "it read none of its input for 30 s");
    assert!(matches!(end(call).await, Err(UpstreamError::Died { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_reads_slowly_is_not_stuck() {
    let world = World::ready().await;
    let calls: Vec<_> = (0..3000).map(|_| world.call("a")).collect();
    world.server().reads(false);
    for _ in 0..20 {
        pass(Duration::from_secs(20)).await;
        // It takes what its pipe holds, and stops again before all of it is through.
        world.server().reads_once();
    }
    assert_eq!((world.transport.connects(), world.handle.status().deaths), (1, 0));
    calls.iter().for_each(|call| call.abort());
}
