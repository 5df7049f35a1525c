use super::*;

fn upstream(health: Health) -> UpstreamStatus {
    UpstreamStatus {
        name: "mail".to_owned(),
        health,
        incarnation: 3,
        since_ms: 1_767_225_600_000,
        deaths: 2,
        max_deaths: 5,
        window_ms: 60_000,
        ..UpstreamStatus::default()
    }
}

fn report() -> CrashReport {
    CrashReport {
        what: "it exited with code 1".to_owned(),
        at_ms: 1_767_225_600_000,
        pid: Some(7),
        advice: "set API_ID in its `env`".to_owned(),
        probable_cause: Some("the variable API_ID is missing".to_owned()),
        ..CrashReport::default()
    }
}

#[track_caller]
fn check(upstream: &UpstreamStatus, last: Option<&CrashReport>, expect: &str) {
    assert_eq!(why(upstream, last), expect);
}

#[test]
fn ready() {
    check(
        &upstream(Health::Ready),
        None,
        "mail is ready since 2026-01-01 00:00:00 UTC, in its life 3. Calls pass.",
    );
    check(
        &upstream(Health::Ready),
        Some(&report()),
        "mail is ready since 2026-01-01 00:00:00 UTC, in its life 3. Calls pass. Its last death was \
         at 2026-01-01 00:00:00 UTC: it exited with code 1.",
    );
}

#[test]
fn trouble_that_is_older_than_its_health_is_told() {
    let trouble = |since_ms: u64| {
        let trouble_since_ms = Some(since_ms);
        why(&UpstreamStatus { trouble_since_ms, ..upstream(Health::Tripped) }, None)
    };
    let told = "its breaker tripped at 2026-01-01 00:00:00 UTC. Its trouble began at 2025-12-31 \
                22:00:00 UTC. ";
    let text = trouble(1_767_225_600_000 - 7_200_000);
    assert!(text.contains(told), "{text}");
    // The same moment is not told twice.
    assert!(!trouble(1_767_225_600_000 - 999).contains("trouble"));
}

#[test]
fn degraded() {
    check(
        &upstream(Health::Degraded),
        None,
        "mail runs, but since 2026-01-01 00:00:00 UTC it has not answered when it was asked whether \
         it lives. Calls still pass; if it stays silent it is ended and started again. `mcplex \
         restart mail` does so at once; `mcplex logs mail` shows what it said.",
    );
}

#[test]
fn idle() {
    check(
        &upstream(Health::Idle),
        None,
        "mail does not run since 2026-01-01 00:00:00 UTC, because nobody has used it. The next call \
         starts it. `mcplex start mail` starts it without a call.",
    );
}

#[test]
fn idle_because_it_left() {
    let reason = Some("it exited with code 0".to_owned());
    check(
        &UpstreamStatus { reason, has_left: true, ..upstream(Health::Idle) },
        None,
        "mail has left by itself at 2026-01-01 00:00:00 UTC: it exited with code 0. The next call \
         starts it. `mcplex start mail` starts it without a call.",
    );
}

#[test]
fn recovering() {
    let waiting = UpstreamStatus { retry_after_ms: Some(1_500), ..upstream(Health::Recovering) };
    check(
        &waiting,
        Some(&report()),
        "mail is down since 2026-01-01 00:00:00 UTC and waits for its next start. The last time, it \
         exited with code 1; that is death 2 within 1 min, and 5 are borne. It is started again by \
         itself in 1 s; calls wait for that a little, then fail. The probable cause: the variable \
         API_ID is missing. Set API_ID in its `env`. `mcplex crashes show mail` and `mcplex logs \
         mail` show what it said.",
    );
    check(
        &upstream(Health::Recovering),
        None,
        "mail is starting or stopping since 2026-01-01 00:00:00 UTC. Calls wait a little for it to \
         become ready, then fail. `mcplex logs mail` shows what it said.",
    );
    let trial = UpstreamStatus { breaker: Breaker::HalfOpen, ..upstream(Health::Recovering) };
    assert!(why(&trial, None).starts_with("mail is being started on trial since"));
}

#[test]
fn tripped() {
    let tripped = UpstreamStatus { retry_after_ms: Some(61_000), ..upstream(Health::Tripped) };
    let report = CrashReport { trip: Some("6 deaths in 60 s".to_owned()), ..report() };
    check(
        &tripped,
        Some(&report),
        "mail is given up for now: its breaker tripped at 2026-01-01 00:00:00 UTC. The last time, it \
         exited with code 1, and that tripped it: 6 deaths in 60 s. Calls fail at once; in 1 min 1 s \
         one trial start is allowed, and if that stays up it is back. The probable cause: the \
         variable API_ID is missing. Set API_ID in its `env`. `mcplex crashes show mail` and `mcplex \
         logs mail` show what it said; once it is repaired, `mcplex reset mail` starts it at once.",
    );
}

#[test]
fn tripped_for_good() {
    let reason = Some("there is no program \"nmp\"".into());
    check(
        &UpstreamStatus { reason, max_deaths: 0, ..upstream(Health::Tripped) },
        None,
        "mail is given up for now: its breaker tripped at 2026-01-01 00:00:00 UTC. The last time, \
         there is no program \"nmp\". Calls fail at once, and nothing is started until somebody \
         resets it. `mcplex logs mail` shows what it said; once it is repaired, `mcplex reset mail` \
         starts it at once.",
    );
}

#[test]
fn what_never_ran_has_said_nothing_and_advice_is_given_once() {
    let what = "there is no program nmp; set API_ID in its `env`".to_owned();
    let trip = Some("no second try would help".to_owned());
    let report = CrashReport { what, trip, pid: None, probable_cause: None, ..report() };
    check(
        &upstream(Health::Tripped),
        Some(&report),
        "mail is given up for now: its breaker tripped at 2026-01-01 00:00:00 UTC. The last time, \
         there is no program nmp; set API_ID in its `env`, and that tripped it: no second try would \
         help. Calls fail at once, and nothing is started until somebody resets it. `mcplex crashes \
         show mail` shows all that is known of it; once it is repaired, `mcplex reset mail` starts it \
         at once.",
    );
}

#[test]
fn stopped() {
    check(
        &upstream(Health::Stopped),
        Some(&report()),
        "mail was stopped at 2026-01-01 00:00:00 UTC. Calls fail at once, and nothing starts it by \
         itself. `mcplex start mail` starts it.",
    );
    // It was down already when somebody stopped it.
    let last = CrashReport { incarnation: 3, retry_after_ms: Some(1), ..report() };
    let text = why(&upstream(Health::Stopped), Some(&last));
    let begin = "mail was stopped at 2026-01-01 00:00:00 UTC. Its last life ended at 2026-01-01 \
                 00:00:00 UTC: it exited with code 1. Calls fail at once";
    assert!(text.starts_with(begin), "{text}");
    let disabled = UpstreamStatus { is_enabled: false, ..upstream(Health::Stopped) };
    check(
        &disabled,
        None,
        "mail is disabled in the configuration. Calls fail at once, and nothing starts it by itself. \
         Set `enabled = true` in the configuration to use it.",
    );
}

#[test]
fn stopped_because_it_ended() {
    let left = UpstreamStatus { has_left: true, ..upstream(Health::Stopped) };
    check(
        &left,
        Some(&CrashReport { incarnation: 3, ..report() }),
        "mail does not run since 2026-01-01 00:00:00 UTC: it ended, and its setting `restart` lets \
         no other life follow. Its last life ended at 2026-01-01 00:00:00 UTC: it exited with code \
         1. Calls fail at once, and nothing starts it by itself. The probable cause: the variable \
         API_ID is missing. Set API_ID in its `env`. `mcplex crashes show mail` and `mcplex logs \
         mail` show what it said; `mcplex start mail` starts it.",
    );
}

#[test]
fn stopped_because_it_had_done_its_work() {
    let reason = Some("it exited with code 0".to_owned());
    check(
        &UpstreamStatus { reason, has_left: true, ..upstream(Health::Stopped) },
        None,
        "mail does not run since 2026-01-01 00:00:00 UTC: it ended, and its setting `restart` lets \
         no other life follow. It exited with code 0. Calls fail at once, and nothing starts it by \
         itself. `mcplex start mail` starts it.",
    );
}

#[test]
fn a_child_is_called_by_its_label_and_told_by_the_name_of_all() {
    let member = Some("mail/s1".to_owned());
    let text = why(&UpstreamStatus { member, ..upstream(Health::Degraded) }, None);
    assert!(text.starts_with("mail/s1 runs, but since"), "{text}");
    assert!(text.contains("`mcplex restart mail`"), "{text}");
}

#[test]
fn durations_have_two_units() {
    let check = |ms, expect: &str| assert_eq!(long(Duration::from_millis(ms)), expect);
    check(250, "250 ms");
    check(12_900, "12 s");
    check(60_000, "1 min");
    check(3_725_000, "1 h 2 min");
    check(180_000_000, "2 d 2 h");
}
