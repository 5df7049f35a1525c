use super::*;
use crate::top::state::{Detail, Key, News};
use mcplex_admin::{
    calls::Figures,
    events::{Event, Kind},
    status::{Breaker, Instance, Snapshot, UpstreamStatus},
};
use mcplex_proto::report::{CrashReport, StderrLine};
use ratatui::{Terminal, backend::TestBackend, style::Color};

const NOW: u64 = 1_800_000_000_000;

fn event(number: u64, at_ms: u64, upstream: &str, incarnation: u64, health: &str) -> Event {
    let (upstream, health) = (upstream.to_owned(), Some(health.to_owned()));
    Event { number, at_ms, upstream, incarnation, health, ..Event::default() }
}

fn died(number: u64, at_ms: u64, upstream: &str, incarnation: u64, what: &str) -> Event {
    let what = Some(what.to_owned());
    let kind = Kind::Died;
    Event { kind, health: None, what, ..event(number, at_ms, upstream, incarnation, "") }
}

/// A fleet of two, one of which is tripped.
fn state() -> State {
    let files = UpstreamStatus {
        name: "files".to_owned(),
        health: Health::Ready,
        pid: Some(41_234),
        incarnation: 1,
        uptime_ms: Some(7_325_000),
        max_deaths: 5,
        tools: 12,
        ..UpstreamStatus::default()
    };
    let why = "it exited with code 1: API_ID is not set";
    let telegram = UpstreamStatus {
        name: "telegram".to_owned(),
        health: Health::Tripped,
        breaker: Breaker::Open,
        incarnation: 2,
        deaths: 2,
        max_deaths: 1,
        trips: 1,
        reason: Some("2 deaths in 60 s; the last time it exited with code 1".to_owned()),
        retry_after_ms: Some(61_000),
        trouble_since_ms: Some(NOW - 9_000),
        last_error: Some(why.to_owned()),
        ..UpstreamStatus::default()
    };
    let instance = Instance {
        pid: 77,
        version: "0.1.0".to_owned(),
        configuration: Some("/home/ada/mcplex.toml".to_owned()),
        started_ms: NOW - 7_400_000,
        ..Instance::default()
    };
    let mut state = State::new(Snapshot { instance, upstreams: vec![files, telegram] });
    state.take(News::Past(vec![
        event(1, NOW - 7_325_000, "files", 1, "ready"),
        event(2, NOW - 9_000, "telegram", 1, "recovering"),
        died(3, NOW - 8_000, "telegram", 1, why),
        event(4, NOW - 5_000, "telegram", 2, "recovering"),
        died(5, NOW - 4_000, "telegram", 2, why),
        event(6, NOW - 4_000, "telegram", 2, "tripped"),
    ]));
    let figures = |tool: &str, calls| Figures {
        tool: tool.to_owned(),
        upstream: Some("files".to_owned()),
        calls,
        errors: 3,
        p50_us: 900,
        p95_us: 5_000,
        p99_us: 147_000,
        ..Figures::default()
    };
    state
        .take(News::Figures(vec![figures("read", 40), figures("write", 2)], vec![figures("", 42)]));
    state
}

fn drawn(state: &State, (width, height): (u16, u16), is_colourful: bool) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let look = Look { now_ms: NOW, is_colourful };
    terminal.draw(|frame| draw(state, &look, frame)).unwrap();
    terminal.backend().clone()
}

/// The lines of a screen without the blanks at their ends.
fn lines(backend: &TestBackend) -> Vec<String> {
    let buffer = backend.buffer();
    let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..buffer.area.height).map(|y| line(y).trim_end().to_owned()).collect()
}

fn text(state: &State, size: (u16, u16)) -> String {
    lines(&drawn(state, size, false)).join("\n")
}

#[test]
fn everything_that_matters_fits_into_80_by_24() {
    let mut state = state();
    state.press(Key::Down);
    let expect = [
        " mcplex 0.1.0  /home/ada/mcplex.toml                                       live",
        " 2 upstreams  1 tripped  1 ready                            process 77, up 2h3m",
        " UPSTREAM  HEALTH         PID LIFE     UP DEATHS   NEXT  CALLS    P95",
        " files     ready        41234    1   2h2m      0      -     42  5.0ms",
        " telegram  tripped          -    2      -    2/1   1m1s      -      -",
        " telegram ──────────────────────────────────────────────────────────────────────",
        " lives  1 died 1s  wait 3s  2 died 1s TRIP",
        " trouble for 9s, since 2027-01-15 07:59:51 UTC",
        " 2 deaths in 60 s; the last time it exited with code 1",
        "",
        " Events, newest first ──────────────────────────────────────────────────────────",
        "     4s  telegram  tripped, life 2",
        "     4s  telegram  died, life 2: it exited with code 1: API_ID is not set",
        "     8s  telegram  died, life 1: it exited with code 1: API_ID is not set",
        "   2h2m  files  ready, life 1",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        " up/down select  n trouble  enter look  r reset  s stop/start  ? help  q quit",
    ];
    assert_eq!(text(&state, (80, 24)), expect.join("\n"));
}

#[test]
fn one_upstream_is_told_in_full() {
    let mut state = state();
    state.press(Key::Open);
    let shown = text(&state, (80, 24));
    for part in [
        " ready  process 41234  life 1  up 2h2m  0 deaths, 5 borne  12 tools",
        " TOOL                                  CALLS   ERRORS      P50      P95      P99",
        " read                                     40        3    900us    5.0ms    147ms",
        " Its log ─",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert!(shown.contains(" lives  1 up 2h2m"), "{shown}");
    state.press(Key::Back);
    state.press(Key::Down);
    state.press(Key::Open);
    let stderr = (1..=40).map(|n| StderrLine { at_ms: n, text: format!("word {n}") }).collect();
    let report = Some(CrashReport { stderr, ..CrashReport::default() });
    let detail = Detail { upstream: "telegram".to_owned(), report, log: Vec::new() };
    state.take(News::Detail(Box::new(detail)));
    let shown = text(&state, (80, 24));
    for part in ["breaker open", "again in 1m1s", "Last words", "word 40", "died, life 2"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    for _ in 0..3 {
        state.press(Key::Up);
    }
    let shown = text(&state, (80, 24));
    assert!(shown.contains("word 37") && !shown.contains("word 38"), "{shown}");
    assert!(shown.contains("Last words, 3 lines follow"), "{shown}");
}

#[test]
fn a_large_terminal_has_more_and_a_tiny_one_says_so() {
    let state = state();
    let shown = text(&state, (200, 60));
    assert!(shown.contains("LAST ERROR"), "{shown}");
    let is_beside = |line: &str| line.starts_with(" files ─") && line.contains(" Events, ");
    assert!(shown.lines().any(is_beside), "{shown}");
    assert!(text(&state, (39, 24)).contains("wants 40 columns"));
    // None of them may panic, however odd.
    for width in [1, 40, 41, 79, 110, 150, 300] {
        for height in [1, 10, 11, 24, 90] {
            for keys in [&[][..], &[Key::Open], &[Key::Help], &[Key::Toggle]] {
                let mut state = state.clone();
                for key in keys {
                    state.press(*key);
                }
                drawn(&state, (width, height), true);
            }
        }
    }
    drawn(&State::new(Snapshot::default()), (80, 24), true);
}

#[test]
fn no_number_is_cut_however_narrow_it_is_and_however_long_they_are() {
    let mut state = state();
    let row = &mut state.snapshot.upstreams[1];
    (row.deaths, row.max_deaths, row.incarnation) = (66, 100_000, 12_345);
    for (width, parts) in [
        (80, &["telegram  tripped          - 12345      - 66/100000   1m1s      -"][..]),
        (60, &["files     ready        2h2m         0      -     42"]),
        (40, &["files     ready        2h2m      -", "telegram  tripped         -   1m1s"]),
    ] {
        let shown = text(&state, (width, 24));
        for part in parts {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
    }
    // How many are down is not what a narrow terminal leaves out.
    assert!(text(&state, (40, 10)).contains(" 2 upstreams  1 tripped  1 ready"));
    state.press(Key::Open);
    let shown = text(&state, (40, 24));
    assert!(shown.contains(" read "), "{shown}");
}

#[test]
fn a_loop_leaves_room_for_the_events_of_others() {
    let mut state = state();
    let (mut number, mut at_ms) = (7, NOW - 3_000);
    for life in 1..=50 {
        let wait = event(number, at_ms, "files", life, "recovering");
        let retry_after_ms = Some(250);
        for event in [
            event(number, at_ms, "files", life, "recovering"),
            event(number + 1, at_ms, "files", life, "ready"),
            died(number + 2, at_ms, "files", life, "why"),
            // What is left of it is ended.
            event(number + 3, at_ms, "files", life, "recovering"),
            Event { number: number + 4, retry_after_ms, what: Some("why".to_owned()), ..wait },
        ] {
            state.take(News::Event(Box::new(event)));
        }
        (number, at_ms) = (number + 5, at_ms + 50);
    }
    let shown = text(&state, (80, 24));
    // A life that was ready is two lines, and the wait after it stands with its end.
    assert!(shown.contains("now  files  died, life 50: why; again in 250ms"), "{shown}");
    assert!(shown.contains("files  ready, life 50"), "{shown}");
    assert!(!shown.contains("files  recovering"), "{shown}");
    assert!(shown.contains("4s  telegram  tripped, life 2"), "{shown}");
}

#[test]
fn what_mcplex_itself_lacks_is_said_in_the_last_line() {
    let mut state = state();
    state.snapshot.instance.lost_audit = 7;
    let shown = text(&state, (80, 24));
    assert!(shown.contains(" q quit  Not kept: 7 lines of the audit log, 0 lines of t"), "{shown}");
}

#[test]
fn no_colour_is_used_when_none_is_wanted() {
    let state = state();
    let colours = |is_colourful| {
        let backend = drawn(&state, (80, 24), is_colourful);
        let cells = backend.buffer().content.iter();
        cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 0);
}

#[test]
fn what_is_old_is_said_to_be_old() {
    let mut state = state();
    state.take(News::Lost("no mcplex runs with /home/ada/mcplex.toml".to_owned()));
    let shown = text(&state, (80, 24));
    assert!(shown.contains("not connected"), "{shown}");
    assert!(shown.contains("no mcplex runs with /home/ada/mcplex.toml; trying again"), "{shown}");
}

#[test]
fn of_the_steps_of_one_moment_the_last_is_shown() {
    let mut state = state();
    for (number, what) in [(7, "one"), (8, "two"), (9, "three")] {
        let step = event(number, NOW - 3, "telegram", 3, "recovering");
        let what = Some(what.to_owned());
        state.take(News::Event(Box::new(Event { what, ..step })));
    }
    let shown = text(&state, (80, 24));
    assert!(shown.contains("    now  telegram  recovering, life 3: three"), "{shown}");
    assert!(!shown.contains(": two") && !shown.contains(": one"), "{shown}");
}

#[test]
fn a_question_and_its_end_are_in_the_last_line() {
    let mut state = state();
    let last = |state: &State| lines(&drawn(state, (80, 24), false)).pop().unwrap();
    state.press(Key::Toggle);
    assert_eq!(last(&state), " stop files? Its calls fail at once.  y yes   esc no");
    state.press(Key::Yes);
    assert_eq!(last(&state), " stop files ...");
    state.take(News::Done(Ok("files: stopped (stopped, life 1)".to_owned())));
    assert_eq!(last(&state), " files: stopped (stopped, life 1)");
    state.press(Key::Help);
    assert!(text(&state, (80, 24)).contains("leave; mcplex goes on"));
}

#[test]
fn what_an_upstream_writes_moves_no_cursor() {
    let mut state = state();
    let evil = "\x1b[2J\x1b]0;title\x07red\r\n";
    state.snapshot.upstreams[0].reason = Some(evil.to_owned());
    state.take(News::Event(Box::new(died(9, NOW, "files", 1, evil))));
    let backend = drawn(&state, (80, 24), true);
    let cells = backend.buffer().content.iter();
    assert!(cells.flat_map(|cell| cell.symbol().chars()).all(|c| !c.is_control()));
}
