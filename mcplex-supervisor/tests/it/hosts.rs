//! Many upstreams on one host.

use crate::{
    fake::{FakeHost, Script},
    world::{World, now, pass},
};
use mcplex_proto::upstream::{Health, Upstream as _};
use mcplex_supervisor::{Host, HostOptions, Options, Starts};
use std::{sync::Arc, time::Duration};

fn options() -> HostOptions {
    HostOptions { max_starts: 4, starts_per_second: 10, starts_burst: 20, fd_reserve: 64 }
}

fn host() -> Host {
    Host::new(options(), Arc::new(FakeHost::default()), 1)
}

fn worlds(host: &Host, count: u64, script: Script) -> Vec<World> {
    let one = |seed| World::of(host.clone(), Options::default(), Starts::Now, seed, &[script]);
    (0..count).map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn fifty_slow_upstreams_start_together_and_none_is_late() {
    let worlds = worlds(&host(), 50, Script::Slow(4_000));
    let began = now();
    let mut most = 0;
    while worlds.iter().any(|world| world.handle.status().health != Health::Ready) {
        pass(Duration::from_millis(500)).await;
        let connects = worlds.iter().filter(|world| world.transport.connects() > 0).count();
        let ready = worlds.iter().filter(|world| world.handle.status().health == Health::Ready);
        most = most.max(connects - ready.count());
        assert!(began.elapsed() < Duration::from_secs(120));
    }
    // Longer than the handshake may take, which counts from its own beginning.
    assert!(began.elapsed() > Duration::from_secs(45), "{:?}", began.elapsed());
    assert_eq!(most, 4);
    for world in &worlds {
        assert_eq!((world.transport.connects(), world.handle.status().deaths), (1, 0));
        assert!(world.events.reports().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_gets_its_turn_is_no_death() {
    let host = host();
    let hanging = worlds(&host, 4, Script::Hangs);
    pass(Duration::from_millis(1)).await;
    let options = Options { start_wait: Duration::from_secs(5), ..Options::default() };
    let world = World::of(host, options, Starts::Now, 9, &[Script::Works]);
    let status = world.until_that(|status| status.reason.is_some()).await;
    let reason = status.reason.unwrap();
    assert_eq!(&*reason, "the host had no room for its start within 5 s");
    assert_eq!((status.deaths, world.transport.connects()), (0, 0));
    let report = &world.events.reports()[0];
    assert!(!report.is_counted && report.advice.contains("fewer servers"), "{report:?}");
    let status = world.until(Health::Ready).await;
    assert_eq!((status.deaths, status.trips), (0, 0));
    drop(hanging);
}

#[tokio::test(start_paused = true)]
async fn what_one_upstream_learns_of_the_host_holds_back_all_and_one_tries_for_all() {
    let host = host();
    let poor =
        World::of(host.clone(), Options::default(), Starts::Now, 1, &[Script::LacksResources]);
    pass(Duration::from_millis(10)).await;
    assert_eq!(poor.transport.connects(), 1);
    let began = now();
    let others = worlds(&host, 3, Script::LacksResources);
    pass(Duration::from_millis(900)).await;
    assert!(others.iter().all(|world| world.transport.connects() == 0));
    pass(Duration::from_secs(60)).await;
    let tries: usize = others.iter().chain([&poor]).map(|world| world.transport.connects()).sum();
    // 1 s, 2 s, 4 s, 8 s, 16 s, 30 s: one try each, whoever it is.
    assert!((5..=7).contains(&tries), "{tries}");
    others.iter().chain([&poor]).for_each(|world| world.transport.set(Script::Works));
    for world in others.iter().chain([&poor]) {
        let status = world.until(Health::Ready).await;
        assert_eq!((status.deaths, status.trips), (0, 0));
    }
    assert!(began.elapsed() < Duration::from_secs(150), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_while_descriptors_are_short() {
    let facts = Arc::new(FakeHost::default());
    *facts.free.lock().unwrap() = Some(63);
    let host = Host::new(options(), facts.clone(), 1);
    let world = World::of(host, Options::default(), Starts::Now, 1, &[Script::Works]);
    pass(Duration::from_secs(20)).await;
    assert_eq!(world.transport.connects(), 0);
    *facts.free.lock().unwrap() = Some(64);
    let began = now();
    world.until(Health::Ready).await;
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn upstreams_that_die_together_come_back_as_one_wave() {
    let worlds = worlds(&host(), 6, Script::Works);
    for world in &worlds {
        world.until(Health::Ready).await;
    }
    worlds.iter().for_each(|world| world.server().is_killed(9));
    pass(Duration::from_millis(1000)).await;
    let back = || worlds.iter().filter(|world| world.transport.connects() == 2).count();
    assert_eq!(back(), 0, "a shared pause");
    pass(Duration::from_millis(600)).await;
    let half = back();
    pass(Duration::from_millis(1600)).await;
    assert!(half < 6, "spread");
    assert_eq!(back(), 6);
    // One alone is no storm: it is back after its backoff.
    let began = now();
    worlds[0].server().is_killed(9);
    worlds[0]
        .until_that(|status| status.incarnation.0 == 3 && status.health == Health::Ready)
        .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_the_queue_and_makes_room() {
    let host = host();
    let hanging = worlds(&host, 4, Script::Hangs);
    pass(Duration::from_millis(1)).await;
    let waiting = World::of(host.clone(), Options::default(), Starts::Now, 8, &[Script::Works]);
    pass(Duration::from_secs(1)).await;
    assert_eq!(waiting.transport.connects(), 0);
    waiting.handle.stop().await;
    waiting.until(Health::Stopped).await;
    let next = World::of(host, Options::default(), Starts::Now, 9, &[Script::Works]);
    hanging[2].handle.stop().await;
    next.until(Health::Ready).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(waiting.transport.connects(), 0);
}
