use super::*;

fn row(name: &str, health: Health) -> UpstreamStatus {
    UpstreamStatus { name: name.to_owned(), health, ..UpstreamStatus::default() }
}

fn state(rows: &[(&str, Health)]) -> State {
    let upstreams = rows.iter().map(|(name, health)| row(name, *health)).collect();
    State::new(Snapshot { upstreams, ..Snapshot::default() })
}

fn changed(number: u64, upstream: &str, health: &str) -> Event {
    let health = Some(health.to_owned());
    Event { number, upstream: upstream.to_owned(), health, incarnation: 3, ..Event::default() }
}

#[test]
fn the_selection_stays_with_its_upstream_when_others_come_and_go() {
    let mut it = state(&[("a", Health::Ready), ("b", Health::Ready), ("c", Health::Ready)]);
    assert_eq!(it.selected_name(), Some("a"));
    for key in [Key::Up, Key::Down, Key::Down, Key::Down] {
        assert_eq!(it.press(key), Want::Nothing);
    }
    assert_eq!(it.selected_name(), Some("c"));
    it.press(Key::Up);
    let fewer = state(&[("b", Health::Ready), ("c", Health::Ready)]).snapshot;
    it.take(News::Snapshot(Box::new(fewer)));
    assert_eq!((it.selected(), it.selected_name()), (0, Some("b")));
    it.take(News::Snapshot(Box::default()));
    assert_eq!(it.selected_name(), None);
    for key in [Key::Down, Key::Last, Key::Reset, Key::Toggle, Key::Open] {
        assert_eq!(it.press(key), Want::Nothing);
    }
}

#[test]
fn an_event_shows_at_once_and_only_once() {
    let mut it = state(&[("a", Health::Ready)]);
    it.take(News::Event(Box::new(changed(7, "a", "tripped"))));
    it.take(News::Event(Box::new(changed(7, "a", "ready"))));
    let one = it.one().unwrap();
    assert_eq!((one.health, one.incarnation, it.events.len()), (Health::Tripped, 3, 1));
    // Of one that is not there as yet, and of a member that has no row.
    it.take(News::Event(Box::new(changed(8, "b", "ready"))));
    let member = Some("a/2".to_owned());
    it.take(News::Event(Box::new(Event { member, ..changed(9, "a", "ready") })));
    assert_eq!(it.one().unwrap().health, Health::Tripped);
    // Another mcplex counts anew.
    it.take(News::Past(vec![changed(1, "a", "ready")]));
    it.take(News::Event(Box::new(changed(2, "a", "ready"))));
    assert_eq!((it.one().unwrap().health, it.events.len()), (Health::Ready, 2));
}

#[test]
fn the_next_one_in_trouble_is_one_key_away() {
    let names: Vec<_> = (0..50).map(|number| format!("n{number}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), Health::Ready)).collect();
    let mut it = state(&rows);
    it.press(Key::Trouble);
    assert_eq!((it.selected(), &it.said), (0, &Some(Said::Good("none has trouble".to_owned()))));
    for ill in [7, 41] {
        it.snapshot.upstreams[ill].trouble_since_ms = Some(1);
    }
    for expect in [7, 41, 7] {
        it.press(Key::Trouble);
        assert_eq!(it.selected(), expect);
    }
    let mut none = state(&[]);
    none.press(Key::Trouble);
    assert_eq!(none.selected_name(), None);
}

#[test]
fn a_loop_pushes_out_only_its_own_events() {
    let mut it = state(&[]);
    it.take(News::Event(Box::new(changed(1, "calm", "tripped"))));
    let last = 3 * EVENTS as u64;
    for number in 2..=last {
        it.take(News::Event(Box::new(changed(number, "loop", "ready"))));
    }
    let numbers: Vec<_> = it.events.iter().map(|event| event.number).collect();
    let expect: Vec<_> = [1].into_iter().chain(last - EVENTS as u64 + 1..=last).collect();
    assert_eq!(numbers, expect);
}

#[test]
fn one_thing_at_a_time_is_done_and_its_end_is_said() {
    let mut it = state(&[("a", Health::Tripped), ("b", Health::Tripped)]);
    assert_eq!(it.press(Key::Reset), Want::Act(Verb::Reset, "a".to_owned()));
    it.press(Key::Down);
    assert_eq!(it.press(Key::Reset), Want::Nothing);
    assert!(matches!(&it.said, Some(Said::Bad(text)) if text.contains("reset")), "{:?}", it.said);
    it.take(News::Done(Ok("a: started".to_owned())));
    assert_eq!(it.said, Some(Said::Good("a: started".to_owned())));
    assert_eq!(it.press(Key::Reset), Want::Act(Verb::Reset, "b".to_owned()));
    // An end of mcplex is an end of that too.
    it.take(News::Lost("mcplex has ended".to_owned()));
    assert_eq!((&it.acting, &it.link), (&None, &Link::Lost("mcplex has ended".to_owned())));
    it.take(News::Snapshot(Box::default()));
    assert_eq!(it.link, Link::Live);
}

#[test]
fn nothing_is_stopped_by_one_key_alone() {
    let mut it = state(&[("a", Health::Ready)]);
    for (answer, want) in [
        (Key::Yes, Want::Act(Verb::Stop, "a".to_owned())),
        (Key::Back, Want::Nothing),
        (Key::Other, Want::Nothing),
        (Key::Quit, Want::Nothing),
        (Key::Toggle, Want::Nothing),
    ] {
        it.acting = None;
        assert_eq!(it.press(Key::Toggle), Want::Nothing);
        assert_eq!(it.question, Some((Verb::Stop, "a".to_owned())));
        // A terminal that changes its size says nothing.
        assert_eq!(it.press(Key::Redraw), Want::Nothing);
        assert_eq!(it.press(answer), want, "{answer:?}");
        assert_eq!(it.question, None);
    }
    let mut it = state(&[("a", Health::Stopped)]);
    assert_eq!(it.press(Key::Toggle), Want::Act(Verb::Start, "a".to_owned()));
}

#[test]
fn keys_open_and_close_pages() {
    let mut it = state(&[("a", Health::Ready), ("b", Health::Ready)]);
    it.press(Key::Open);
    assert_eq!(it.page, Page::One);
    // There it moves the last words.
    let log = (0..30).map(|line| line.to_string()).collect();
    it.take(News::Detail(Box::new(Detail { upstream: "a".to_owned(), report: None, log })));
    it.press(Key::Down);
    it.press(Key::PageUp);
    it.press(Key::Up);
    assert_eq!((it.scrolled, it.selected()), (11, 0));
    it.press(Key::First);
    it.press(Key::Up);
    assert_eq!(it.scrolled, 29);
    it.press(Key::Last);
    assert_eq!(it.scrolled, 0);
    it.press(Key::Up);
    it.press(Key::Back);
    assert_eq!((it.page, it.scrolled), (Page::Fleet, 0));
    it.press(Key::Help);
    assert!(it.has_help);
    assert_eq!(it.press(Key::Back), Want::Nothing);
    assert!(!it.has_help);
    assert_eq!(it.press(Key::Quit), Want::Quit);
}

#[test]
fn last_words_are_those_of_the_last_death_while_it_is_down() {
    use mcplex_proto::report::StderrLine;
    let mut it = state(&[("a", Health::Tripped)]);
    assert!(it.words().is_empty());
    let stderr = vec![StderrLine { at_ms: 1, text: "no API_ID".to_owned() }];
    let report = Some(CrashReport { stderr, ..CrashReport::default() });
    let detail = Detail { upstream: "a".to_owned(), report, log: vec!["a log".to_owned()] };
    it.take(News::Detail(Box::new(detail.clone())));
    assert_eq!(it.words(), ["no API_ID"]);
    it.take(News::Event(Box::new(changed(1, "a", "ready"))));
    assert_eq!(it.words(), ["a log"]);
    // What is known of another one is not shown for it.
    it.take(News::Detail(Box::new(Detail { upstream: "b".to_owned(), ..detail })));
    assert!(it.words().is_empty());
}

#[test]
fn the_busiest_tool_comes_first() {
    let mut it = state(&[("a", Health::Ready)]);
    let tool = |tool: &str, upstream: &str, calls| Figures {
        tool: tool.to_owned(),
        upstream: Some(upstream.to_owned()),
        calls,
        ..Figures::default()
    };
    let tools = vec![tool("x", "a", 1), tool("z", "a", 5), tool("y", "a", 5), tool("w", "b", 9)];
    it.take(News::Figures(tools, vec![tool("", "a", 11)]));
    let names: Vec<_> = it.tools_of("a").iter().map(|it| it.tool.as_str()).collect();
    assert_eq!(names, ["y", "z", "x"]);
    assert_eq!(it.upstreams["a"].calls, 11);
}
