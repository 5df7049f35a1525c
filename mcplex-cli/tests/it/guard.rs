//! Nothing that a server started outlives it, its gateway or its guard, whichever ends first.
//!
//! Nine kinds of trees by four ways to end, all nine at once below one gateway.

use crate::{
    census,
    gateway::{Gateway, PATIENCE},
    trees::Forest,
};
use rustix::process::Signal;
use std::{
    os::unix::process::ExitStatusExt as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// One forest at a time: its runners keep all processors busy.
static GROUND: Mutex<()> = Mutex::new(());

/// A gateway with all trees standing.
fn planted(supervise: &str) -> (Forest, Gateway, Vec<u32>) {
    let forest = Forest::new(supervise);
    let gateway = forest.setup.serve();
    let servers = forest.stands();
    assert_eq!(guards(&gateway).len(), servers.len());
    (forest, gateway, servers)
}

/// The guards below a gateway.
fn guards(gateway: &Gateway) -> Vec<u32> {
    let family = census::descendants(gateway.pid()).into_iter();
    family.filter(|one| one.name == census::GUARD).map(|one| one.pid).collect()
}

/// Nothing of the gateway is left, not even a dead process nobody has waited for.
fn is_bare(gateway: &Gateway) {
    let mut left = Vec::new();
    let is_bare = (0..10_000).any(|_| {
        left = census::descendants(gateway.pid());
        left.is_empty()
    });
    assert!(is_bare, "{left:?}");
}

#[test]
fn a_gateway_that_is_told_to_stop_leaves_nothing() {
    let _alone = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let (forest, mut gateway, _) = planted("");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    forest.is_gone_within(Duration::ZERO);
}

#[test]
fn a_server_that_dies_leaves_nothing() {
    let _alone = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let (forest, gateway, servers) = planted("");
    for server in servers {
        census::signal(server, Signal::KILL);
    }
    forest.is_gone_within(PATIENCE);
    is_bare(&gateway);
    for tree in &forest.trees {
        gateway.wait_event(tree.name, "upstream tripped");
        assert_eq!(gateway.events(tree.name, "upstream died").len(), 1, "{}", tree.name);
    }
}

#[test]
fn a_gateway_that_is_killed_leaves_nothing() {
    let _alone = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let (forest, mut gateway, _) = planted("");
    gateway.signal(Signal::KILL);
    assert_eq!(gateway.ended().signal(), Some(9));
    forest.is_gone_within(PATIENCE);
}

#[test]
fn a_guard_that_is_killed_leaves_nothing() {
    let _alone = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let (forest, gateway, _) = planted("");
    for guard in guards(&gateway) {
        census::signal(guard, Signal::KILL);
    }
    forest.is_gone_within(PATIENCE);
    is_bare(&gateway);
    for tree in &forest.trees {
        gateway.wait_event(tree.name, "upstream tripped");
        assert_eq!(gateway.events(tree.name, "upstream died").len(), 1, "{}", tree.name);
    }
}
