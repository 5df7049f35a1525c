//! Which era an upstream belongs to: asked, remembered, doubted.

use crate::{
    fake::Script,
    world::{World, now, pass},
};
use mcplex_proto::{
    handshake::EraChoice,
    upstream::{Health, Upstream as _},
    version::{Era, Version},
};
use mcplex_supervisor::{EraMemory as _, Options};
use std::time::Duration;

/// The methods of what a server was told since the last time.
fn methods(world: &World) -> Vec<String> {
    world.transport.take_all().iter().map(|text| method(text)).collect()
}

fn method(text: &str) -> String {
    let rest = text.split_once(r#""method":""#).map_or("answer\"", |(_, rest)| rest);
    rest.split('"').next().unwrap().to_owned()
}

fn version(world: &World) -> Version {
    world.handle.server_info().unwrap().version
}

fn choosing(era: EraChoice) -> Options {
    Options { era, ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn a_modern_upstream_is_open_after_one_question_and_says_nothing_of_it() {
    let world = World::new(&[Script::Modern]);
    world.until(Health::Ready).await;
    assert_eq!(version(&world), Version::V2026_07_28);
    world.settle().await;
    let told = world.transport.take_all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#));
    assert_eq!(world.verdicts.recall(), Some(Era::Modern));
    // An idle one is asked the same from time to time, in an envelope as well.
    pass(Duration::from_secs(45)).await;
    let told = world.transport.take_all();
    assert!(told.iter().all(|text| method(text) == "server/discover"), "{told:?}");
    assert!(told[0].contains(r#""io.modelcontextprotocol/clientCapabilities":{}"#), "{told:?}");
    assert_eq!(world.handle.status().health, Health::Ready);
    // One that does not answer it hangs.
    world.server().answers_pings(false);
    world.until(Health::Recovering).await;
}

#[tokio::test(start_paused = true)]
async fn a_legacy_upstream_is_asked_once_and_then_remembered() {
    let world = World::new(&[Script::Works]);
    world.until(Health::Ready).await;
    world.settle().await;
    assert_eq!(methods(&world), ["server/discover", "initialize", "notifications/initialized"]);
    assert_eq!(world.verdicts.recall(), Some(Era::Legacy));
    world.server().exits(1);
    world.until_that(|status| status.health == Health::Ready && status.incarnation.0 == 2).await;
    world.settle().await;
    assert_eq!(methods(&world), ["initialize", "notifications/initialized"]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_when_it_is_asked_is_started_again_at_once_and_has_not_died() {
    let world = World::new(&[Script::EndsWhenProbed]);
    let began = now();
    let status = world.until(Health::Ready).await;
    // Only the exit code is waited for; there is no backoff.
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!((status.incarnation.0, status.deaths, status.trips), (2, 0, 0));
    assert_eq!((status.last_error, world.events.reports().len()), (None, 0));
    assert!(world.events.reason(1).starts_with(
        "it ended when it was asked whether it speaks 2026-07-28: it exited with code 1"
    ));
    world.settle().await;
    let all = ["server/discover", "initialize", "notifications/initialized"];
    assert_eq!(methods(&world), all);
    assert_eq!(world.verdicts.recall(), Some(Era::Legacy));
    // Its next life begins without the question.
    world.server().exits(1);
    let is_third = |status: &mcplex_proto::upstream::Status| {
        status.health == Health::Ready && status.incarnation.0 == 3
    };
    assert_eq!(world.until_that(is_third).await.deaths, 1);
    assert_eq!(methods(&world)[0], "initialize");
}

#[tokio::test(start_paused = true)]
async fn output_that_ends_or_input_that_is_closed_says_the_same() {
    for silently in [true, false] {
        let world = World::new(&[Script::MuteWhenProbed]);
        world.settle().await;
        let server = world.server();
        if silently {
            server.falls_silent();
        } else {
            server.fails_writes();
            // What shows it: the next thing that is written.
            pass(Duration::from_secs(10)).await;
        }
        let status = world.until(Health::Ready).await;
        assert_eq!((status.incarnation.0, status.deaths), (2, 0));
        assert_eq!(world.verdicts.recall(), Some(Era::Legacy));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_ends_meanwhile_has_died() {
    for (signal, deaths) in [(9, 1), (15, 1), (6, 0)] {
        let world = World::new(&[Script::MuteWhenProbed]);
        world.settle().await;
        world.server().is_killed(signal);
        let status = world.until(Health::Ready).await;
        assert_eq!((status.incarnation.0, status.deaths), (2, deaths), "signal {signal}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_before_it_has_read_anything_has_died() {
    let world = World::new(&[Script::MuteWhenProbed]);
    world.settle().await;
    world.server().is_deaf();
    world.server().exits(1);
    world.until_that(|status| status.deaths == 1).await;
    assert!(world.events.reason(1).starts_with("it exited with code 1"));
    world.settle().await;
    // Nothing is known of it, so it is asked again.
    world.until_that(|status| status.incarnation.0 == 2).await;
    world.until(Health::Ready).await;
    assert_eq!(methods(&world)[..2], ["server/discover", "server/discover"]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_whatever_it_is_asked_has_one_start_more_and_trips() {
    let world = World::new(&[Script::EndsWhenAsked]);
    let status = world.until(Health::Tripped).await;
    assert_eq!((status.incarnation.0, world.transport.connects()), (7, 7));
    assert_eq!((status.trips, world.events.reports().len()), (1, 6));
    let asked = methods(&world);
    assert_eq!(asked[0], "server/discover");
    assert!(asked[1..].iter().all(|method| method == "initialize"), "{asked:?}");
    assert_eq!(world.verdicts.recall(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_may_have_looked_like_is_not_remembered() {
    let ends = [Script::EndsWhenAsked, Script::EndsWhenAsked, Script::Works, Script::Modern];
    let world = World::new(&ends);
    world.until(Health::Ready).await;
    assert_eq!((version(&world).era(), world.verdicts.recall()), (Era::Legacy, None));
    // So the next life is asked again.
    world.handle.restart().await;
    world.until_that(|status| status.health == Health::Ready && status.incarnation.0 == 4).await;
    assert_eq!((version(&world).era(), world.verdicts.recall()), (Era::Modern, Some(Era::Modern)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_initialized_after_a_while() {
    for (handshake_timeout, expect) in [(30, 10), (6, 3)] {
        let handshake_timeout = Duration::from_secs(handshake_timeout);
        let options = Options { handshake_timeout, ..Options::default() };
        let world = World::with(options, &[Script::MuteWhenProbed]);
        let began = now();
        let status = world.until(Health::Ready).await;
        assert_eq!(began.elapsed().as_secs(), expect);
        assert_eq!((status.incarnation.0, status.deaths), (1, 0));
        assert_eq!(world.verdicts.recall(), Some(Era::Legacy));
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_network_neither_silence_nor_an_end_says_anything() {
    let world = World::new(&[Script::MuteWhenProbed]);
    world.transport.be_remote();
    world.until_that(|status| status.deaths == 1).await;
    assert_eq!(world.events.reason(1), "it did not answer server/discover within 30 s");
    assert_eq!(
        (methods(&world), world.verdicts.recall()),
        (vec!["server/discover".to_owned()], None)
    );
    let world = World::new(&[Script::EndsWhenProbed]);
    world.transport.be_remote();
    let status = world.until(Health::Tripped).await;
    assert_eq!((status.incarnation.0, world.verdicts.recall()), (6, None));
    assert!(methods(&world).iter().all(|method| method == "server/discover"));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_does_not_hold_is_replaced_in_the_same_life() {
    let world = World::new(&[Script::Works]);
    world.verdicts.remember(Era::Modern);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, world.verdicts.recall()), (1, Some(Era::Legacy)));
    let world = World::new(&[Script::Modern]);
    world.verdicts.remember(Era::Legacy);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, world.verdicts.recall()), (1, Some(Era::Modern)));
    world.settle().await;
    assert_eq!(methods(&world), ["initialize", "server/discover"]);
}

#[tokio::test(start_paused = true)]
async fn a_modern_upstream_that_ends_in_the_handshake_dies_and_is_asked_anew_after_two() {
    let script = [Script::EndsWhenProbed, Script::Modern];
    let world = World::new(&script);
    world.verdicts.remember(Era::Modern);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, status.deaths), (2, 1));
    assert_eq!(world.verdicts.recall(), Some(Era::Modern), "one death may be chance");
    // An older version in its place ends each time.
    let world = World::new(&[Script::EndsWhenProbed]);
    world.verdicts.remember(Era::Modern);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, status.deaths), (4, 2));
    assert_eq!(world.verdicts.recall(), Some(Era::Legacy));
}

#[tokio::test(start_paused = true)]
async fn what_a_modern_upstream_asks_is_refused_and_goes_to_nobody() {
    let world = World::new(&[Script::Modern]);
    world.until(Health::Ready).await;
    world.settle().await;
    world.transport.take_all();
    world.server().says(r#"{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"}"#);
    world.server().says(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#);
    world.settle().await;
    let told = world.transport.take_all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("-32601") && told[0].contains(r#""id":5"#), "{told:?}");
    let heard = world.events.take_messages();
    assert!(heard.len() == 1 && heard[0].1.contains("notifications/message"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_choice_is_kept_and_nothing_is_remembered_of_it() {
    let world = World::with(choosing(EraChoice::Legacy), &[Script::Works]);
    world.until(Health::Ready).await;
    world.settle().await;
    assert_eq!(methods(&world), ["initialize", "notifications/initialized"]);
    let world = World::with(choosing(EraChoice::Modern), &[Script::Works]);
    world.until_that(|status| status.deaths == 1).await;
    assert_eq!(world.events.reason(1), "the server does not speak 2026-07-28: no (code -32601)");
    let world = World::with(choosing(EraChoice::Modern), &[Script::EndsWhenProbed]);
    let status = world.until(Health::Tripped).await;
    assert_eq!((status.incarnation.0, world.verdicts.recall()), (6, None));
    let world = World::with(choosing(EraChoice::LegacyFirst), &[Script::Works]);
    world.until(Health::Ready).await;
    world.settle().await;
    assert_eq!(methods(&world), ["initialize", "notifications/initialized"]);
    let world = World::with(choosing(EraChoice::LegacyFirst), &[Script::Modern]);
    world.until(Health::Ready).await;
    assert_eq!(world.verdicts.recall(), Some(Era::Modern));
}

#[tokio::test(start_paused = true)]
async fn an_end_at_the_question_makes_no_trial_fail() {
    let world = World::new(&[Script::Fails]);
    world.until(Health::Tripped).await;
    world.transport.set(Script::EndsWhenProbed);
    let status = world.until(Health::Ready).await;
    assert_eq!((status.incarnation.0, status.trips), (8, 1), "six, one asked, one tried");
    pass(Duration::from_secs(120)).await;
    assert_eq!(world.handle.status().health, Health::Ready);
}
