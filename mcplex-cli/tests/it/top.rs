//! `mcplex top` in a real terminal.

use crate::{
    census,
    gateway::{Gateway, Setup},
    terminal::{self, Terminal},
    verbs::{ok, status},
};
use rustix::process::Signal;
use serde_json::json;

const SIZE: (u16, u16) = (80, 24);

/// Two upstreams, of which one trips by its first death.
fn serve() -> (Setup, Gateway) {
    let limits = "max_deaths = 0\ncooldown_first = \"300s\"";
    let flags = ["--stderr", "hello from mail"];
    let setup = Setup::new("").server("files", &[]).server_with("mail", &flags, limits);
    let gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    gateway.wait_event("mail", "upstream connected");
    (setup, gateway)
}

fn top(setup: &Setup) -> Terminal {
    let terminal = Terminal::run(setup, &["top"], SIZE);
    terminal.shows_row("mail", "ready");
    terminal
}

#[test]
fn it_shows_a_trip_and_a_key_brings_the_upstream_back() {
    let (setup, gateway) = serve();
    let mut terminal = top(&setup);
    assert!(!terminal.is_plain());
    let pid = status(&setup, "mail")["pid"].as_u64().unwrap();
    census::signal(u32::try_from(pid).unwrap(), Signal::KILL);
    let shown = terminal.shows_row("mail", "tripped");
    // The other one is as it was, and the event is there too.
    assert!(shown.contains("files"), "{shown}");
    terminal.shows("mail  tripped, life 1");
    terminal.types("j");
    terminal.shows("1 died");
    terminal.types("r");
    gateway.wait_events("mail", "upstream connected", 2);
    terminal.shows("mail: started (ready, process ");
    terminal.shows_row("mail", "ready");
    assert_eq!(status(&setup, "mail")["incarnation"], 2);
    terminal.types("q");
    assert_eq!(terminal.ended().code(), Some(0));
    terminal.is_given_back();
    // Leaving ends nothing.
    assert_eq!(status(&setup, "mail")["health"], "ready");
}

#[test]
fn one_upstream_is_looked_at_with_arrows_and_enter() {
    let (setup, gateway) = serve();
    // What happened before anybody looked is there as well.
    let mut client = gateway.client_of(&["mail__echo"]);
    for number in 0..3 {
        client.call("mail__echo", &json!({ "number": number }));
    }
    let mut terminal = top(&setup);
    terminal.shows_row("mail", " 3 ");
    terminal.types("\x1b[B\r");
    terminal.shows("hello from mail");
    terminal.shows("life 1 began: process ");
    terminal.shows_row("mail__echo", "3        0");
    terminal.types("?");
    terminal.shows("mcplex goes on");
    terminal.types("x");
    terminal.wait("no help", |screen| !screen.contains("mcplex goes on"));
    // It stops only what is asked for and said yes to.
    terminal.types("s");
    terminal.shows("stop mail? Its calls fail at once.");
    terminal.types("n");
    terminal.shows("esc back  up/down");
    assert_eq!(status(&setup, "mail")["health"], "ready");
    terminal.types("s");
    terminal.shows("stop mail?");
    terminal.types("y");
    terminal.shows("mail: stopped");
    assert_eq!(status(&setup, "mail")["health"], "stopped");
    terminal.types("s");
    terminal.shows("mail: started (ready, process ");
    assert_eq!(status(&setup, "mail")["health"], "ready");
}

#[test]
fn a_terminal_may_change_its_size_and_have_no_colours() {
    let (setup, _gateway) = serve();
    let terminal = top(&setup);
    assert!(terminal.coloured() > 0);
    terminal.resize(160, 50);
    terminal.shows("LAST ERROR");
    terminal.resize(60, 16);
    let shown = terminal.wait("less", |screen| !screen.contains("LAST ERROR"));
    assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    terminal.shows_row("mail", "ready");
    terminal.resize(20, 5);
    terminal.shows("wants 40");
    drop(terminal);
    let setup = setup.env("NO_COLOR", "1");
    let terminal = top(&setup);
    assert_eq!(terminal.coloured(), 0);
}

#[test]
fn it_finds_an_mcplex_again_that_was_started_anew() {
    let (setup, mut gateway) = serve();
    let mut terminal = top(&setup);
    gateway.signal(Signal::TERM);
    gateway.ended();
    terminal.shows("not connected");
    terminal.shows("no mcplex runs");
    let again = setup.serve();
    again.wait_event("mail", "upstream connected");
    let expect = format!("process {}", again.pid());
    terminal.shows(&expect);
    terminal.shows_row("mail", "ready");
    let pid = status(&setup, "mail")["pid"].as_u64().unwrap();
    census::signal(u32::try_from(pid).unwrap(), Signal::KILL);
    terminal.shows("mail  tripped, life 1");
    terminal.types("q");
    assert_eq!(terminal.ended().code(), Some(0));
}

#[test]
fn every_end_gives_the_terminal_back() {
    let (setup, _gateway) = serve();
    for end in ["q", "\x03", "TERM", "INT", "HUP"] {
        let mut terminal = top(&setup);
        match end {
            "TERM" => terminal.signal(Signal::TERM),
            "INT" => terminal.signal(Signal::INT),
            "HUP" => terminal.signal(Signal::HUP),
            keys => terminal.types(keys),
        }
        assert_eq!(terminal.ended().code(), Some(0), "{end:?}");
        terminal.is_given_back();
    }
}

#[test]
fn a_shell_stops_it_and_takes_it_up_again() {
    let (setup, _gateway) = serve();
    let setup = setup.env("PS1", "prompt> ");
    let mut terminal = Terminal::shell(&setup, "top", SIZE);
    terminal.shows_row("mail", "ready");
    terminal.types("\x1a");
    // What the shell says of it is on its own screen, with a cursor and what is typed.
    terminal.shows("Stopped");
    terminal.is_given_back();
    terminal.types("fg\n");
    terminal.shows_row("mail", "ready");
    assert!(!terminal.is_plain());
    terminal.types("q");
    // The shell asks again: at first, when it was stopped, and now. What is typed before that
    // `top` may still take.
    terminal.wait("a third prompt", |screen| screen.matches("prompt> ").count() == 3);
    terminal.types("echo left=$?\n");
    terminal.shows("left=0");
    terminal.is_given_back();
}

#[test]
fn what_is_pasted_is_no_command() {
    let (setup, _gateway) = serve();
    let mut terminal = top(&setup);
    terminal.types("\x1b[200~jrsyq\x1b[201~\x1b[<0;9;9M");
    // Comes after it, and is a key.
    terminal.types("?");
    terminal.shows("mcplex goes on");
    for name in ["files", "mail"] {
        let status = status(&setup, name);
        assert_eq!((&status["health"], &status["incarnation"]), (&json!("ready"), &json!(1)));
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it_and_nothing_else() {
    let (setup, _gateway) = serve();
    // Its stdout is gone, and its stderr with it: nothing is left that could be complained to.
    let ended = terminal::closed(&setup, &["top"], SIZE, "mail");
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(status(&setup, "mail")["health"], "ready");
}

#[test]
fn without_a_terminal_or_an_mcplex_it_says_what_to_do() {
    let setup = Setup::new("").server("files", &[]);
    setup.write();
    let ran = setup.run(&["top"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("`mcplex top` needs a terminal"), "{}", ran.stderr);
    assert!(ran.stderr.contains("mcplex status --watch"), "{}", ran.stderr);
    let mut terminal = Terminal::run(&setup, &["top"], SIZE);
    assert_eq!(terminal.ended().code(), Some(5));
    terminal.shows("error: no mcplex runs with ");
    terminal.is_given_back();
    assert!(ok(&setup, &["help", "top"]).contains("NO_COLOR"));
    let mut terminal = Terminal::run(&setup.env("TERM", "dumb"), &["top"], SIZE);
    assert_eq!(terminal.ended().code(), Some(1));
    terminal.shows("(TERM=dumb)");
}
