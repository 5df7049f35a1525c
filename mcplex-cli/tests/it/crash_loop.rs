//! The two incidents of the first mcplex, for ever: a server that dies again and again must cost
//! six starts and nothing else.
//!
//! The backoff is shorter than by default, so that a test takes a second; everything else is as
//! it comes.

use crate::{
    census,
    client::{Client, text},
    gateway::Setup,
};
use rustix::process::Signal;
use serde_json::json;
use std::{collections::BTreeSet, fs};

/// The wait between two lives; the rules of the breaker stay as they are.
const FAST: &str = "backoff_first = \"150ms\"\nbackoff_factor = 1";

const LAST_WORDS: &str = "API_ID is not set, giving up";

/// Why the last life of six ended.
const TRIPPED: &str = "upstream tripped";

/// How many calls of the good twin a closed pipe may take to be gone.
const CALLS: usize = 200;

/// Both servers have the same tools.
const PREFIX: &str = "[router]\nnaming = \"prefix\"";

fn setup(death: &[&str]) -> Setup {
    let setup = Setup::new(PREFIX).server("good", &[]);
    let spawns = setup.path("spawns");
    let flags = [death, &["--exit", "1", "--stderr", LAST_WORDS, "--spawn-log", &spawns]].concat();
    setup.server_with("bad", &flags, FAST)
}

fn ask_the_good_twin(client: &mut Client) {
    let sum = client.call("good__add", &json!({ "a": 1, "b": 2 }));
    assert_eq!(text(&sum), "3");
}

/// The descriptors of a gateway that never had the bad one.
fn fds_without_the_bad_one() -> usize {
    let gateway = Setup::new(PREFIX).server("good", &[]).serve();
    let mut client = gateway.client_of(&["good__add"]);
    ask_the_good_twin(&mut client);
    census::fds(gateway.pid())
}

fn costs_six_starts_and_nothing_else(death: &[&str]) {
    let setup = setup(death);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let mut most = 0;
    let trip = gateway.watch("bad", TRIPPED, || {
        most = most.max(census::groups(gateway.pid()).len());
        ask_the_good_twin(&mut client);
    });
    assert!(most <= 2, "{most} process groups at once, the good twin's among them");
    let reason = trip["reason"].as_str().unwrap();
    assert!(reason.contains(LAST_WORDS), "{reason}");
    assert!(reason.contains("6 deaths in 60 s"), "{reason}");

    // The last pipes close after the trip is told.
    let expected = fds_without_the_bad_one();
    let is_flat = (0..CALLS).any(|_| {
        ask_the_good_twin(&mut client);
        census::fds(gateway.pid()) == expected
    });
    assert!(is_flat, "{} descriptors, {expected} expected", census::fds(gateway.pid()));
    let left = census::servers(gateway.pid());
    assert_eq!(left.len(), 1, "only the good twin is left: {left:?}");

    let spawned = setup.lines("spawns");
    assert_eq!(spawned.len(), 6, "{spawned:?}");
    assert_eq!(spawned.iter().collect::<BTreeSet<_>>().len(), 6, "{spawned:?}");
    assert_eq!(gateway.events("bad", "upstream died").len(), 6);
    assert_eq!(gateway.events("bad", TRIPPED).len(), 1);
}

#[test]
fn death_during_the_handshake_costs_six_starts_and_nothing_else() {
    costs_six_starts_and_nothing_else(&["--die-before-handshake", "0"]);
}

#[test]
fn death_right_after_the_handshake_costs_six_starts_and_nothing_else() {
    costs_six_starts_and_nothing_else(&["--die-after", "0"]);
}

#[test]
fn a_program_that_is_not_there_trips_without_a_second_try() {
    let toml = "[[servers]]\nname = \"bad\"\ncommand = \"/nowhere/at-all\"";
    let gateway = Setup::new(toml).serve();
    let trip = gateway.wait_event("bad", TRIPPED);
    assert!(trip["reason"].as_str().unwrap().contains("/nowhere/at-all"), "{trip}");
    assert_eq!(gateway.events("bad", "upstream died").len(), 1);
}

#[test]
fn sigusr1_starts_a_tripped_server_again() {
    let setup = setup(&["--die-before-handshake", "0"]);
    let gateway = setup.serve();
    gateway.wait_event("bad", TRIPPED);
    gateway.signal(Signal::USR1);
    gateway.wait_event("bad", "upstream reset");
    // It is as broken as before, and costs six starts again.
    gateway.wait_events("bad", TRIPPED, 2);
    assert_eq!(setup.lines("spawns").len(), 12);
    assert_eq!(gateway.events("good", "upstream reset").len(), 0);
}

/// A server that dies until there is a file `well`.
fn sick(supervise: &str) -> Setup {
    let program = mcplex_testkit::fake_server();
    let script = format!("test -e well || exit 1; exec '{}'", program.display());
    let script = serde_json::to_string(&script).unwrap();
    Setup::new(&format!(
        "[[servers]]\nname = \"sick\"\ncommand = \"sh\"\nargs = [\"-c\", {script}]\n\
         [servers.supervise]\n{FAST}\n{supervise}"
    ))
}

#[test]
fn a_tripped_server_that_is_well_again_comes_back_by_itself() {
    let short =
        "max_deaths = 1\nwindow = \"500ms\"\ncooldown_first = \"500ms\"\nprobation = \"50ms\"";
    let setup = sick(short);
    let gateway = setup.serve();
    gateway.wait_event("sick", TRIPPED);
    fs::write(setup.file("well"), "").unwrap();
    assert_eq!(gateway.wait_event("sick", "upstream reset")["reason"], "half_open");
    assert_eq!(text(&gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn a_tripped_server_that_is_well_again_serves_after_sigusr1() {
    let setup = sick("");
    let gateway = setup.serve();
    gateway.wait_event("sick", TRIPPED);
    fs::write(setup.file("well"), "").unwrap();
    gateway.signal(Signal::USR1);
    assert_eq!(gateway.wait_event("sick", "upstream reset")["reason"], "manual");
    assert_eq!(text(&gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }))), "3");
}
