//! The black box: what is known of every death.

use crate::{
    fake::{FakeHost, Script},
    world::{World, end, pass},
};
use mcplex_proto::{
    transport::Usage,
    upstream::{Health, UpstreamError},
};
use mcplex_supervisor::{Host, HostOptions, Options, Starts};
use std::{sync::Arc, time::Duration};

#[tokio::test(start_paused = true)]
async fn a_death_leaves_all_that_is_known_and_no_secret() {
    let world = World::ready().await;
    pass(Duration::from_secs(20)).await;
    let server = world.server();
    server.whispers(&["loading", "auth failed for api_key=abc123secret"]);
    server.uses(Usage {
        peak_memory: 5 << 20,
        cpu: Duration::from_millis(70),
        out_of_memory: true,
    });
    let call = world
        .call_with("tools/call", r#"{"name":"send","arguments":{"password":"hunter2","to":"me"}}"#);
    world.settle().await;
    server.says(r#"{"jsonrpc":"2.0","method":"x","params":{"token":"s3cr3t"}}"#);
    world.settle().await;
    pass(Duration::from_secs(3)).await;
    server.is_killed(9);
    let error = end(call).await.unwrap_err();
    assert!(!error.to_string().contains("abc123secret"), "{error}");
    let reports = world.events.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((report.upstream.as_str(), report.incarnation), ("up", 1));
    assert_eq!((report.reason.as_str(), report.signal.as_deref()), ("signal", Some("SIGKILL")));
    assert_eq!((report.peak_memory, report.cpu_ms), (Some(5 << 20), Some(70)));
    assert!(report.out_of_memory && report.is_counted);
    assert_eq!(
        report.probable_cause.as_deref(),
        Some("the kernel ended it because memory ran out")
    );
    assert_eq!((report.deaths, report.max_deaths, report.window_ms, report.run), (1, 5, 60_000, 1));
    assert_eq!(report.uptime_ms / 1000, 23);
    assert!(report.retry_after_ms.is_some_and(|wait| wait <= 250));
    let [call] = &report.in_flight[..] else { panic!("{report:?}") };
    assert_eq!((call.method.as_str(), call.name.as_deref()), ("tools/call", Some("send")));
    assert_eq!((call.age_ms / 1000, call.is_suspect), (3, false));
    let texts: Vec<_> =
        report.messages.iter().map(|seen| (seen.is_from_upstream, seen.text.as_str())).collect();
    assert!(texts[2].1.contains("initialize") && !texts[2].0, "{texts:?}");
    assert!(
        texts[5].1.ends_with(r#""arguments":{"password":"[redacted]","to":"me"}}}"#),
        "{texts:?}"
    );
    assert_eq!(
        texts[6],
        (true, r#"{"jsonrpc":"2.0","method":"x","params":{"token":"[redacted]"}}"#)
    );
    assert_eq!(report.messages[6].at_ms - report.messages[5].at_ms, 1);
    assert_eq!(report.stderr[1].text, "auth failed for api_key=[redacted]");
    assert_eq!(report.stderr[1].at_ms, 0, "when it was written");
    let all = format!("{report:?}");
    for secret in ["hunter2", "s3cr3t", "abc123secret"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hung_one_has_used_is_read_before_its_end() {
    let facts = Arc::new(FakeHost::default());
    let host = Host::new(HostOptions::default(), facts.clone(), 1);
    let world = World::of(host, Options::default(), Starts::Now, 7, &[Script::Works]);
    world.until(Health::Ready).await;
    let used = Usage { peak_memory: 7 << 20, cpu: Duration::from_secs(9), out_of_memory: false };
    *facts.used.lock().unwrap() = Some(used);
    world.server().answers_pings(false);
    world.until(Health::Recovering).await;
    let reports = world.events.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(report.reason, "health_timeout");
    assert_eq!((report.peak_memory, report.cpu_ms), (Some(7 << 20), Some(9_000)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_there_at_two_deaths_is_suspect() {
    let world = World::ready().await;
    let poison = r#"{"uri":"file:///poison","_meta":{"progressToken":N}}"#;
    for death in 1..=2 {
        let calls = [
            world.call_with("resources/read", &poison.replace('N', &death.to_string())),
            world.call_with("resources/read", &format!(r#"{{"uri":"file:///{death}"}}"#)),
        ];
        world.settle().await;
        world.server().exits(1);
        let mut safe = Vec::new();
        for call in calls {
            let Err(UpstreamError::Died { safe_to_retry, .. }) = end(call).await else { panic!() };
            safe.push(safe_to_retry);
        }
        assert_eq!(safe, [death == 1, true], "what kills it twice is not to be tried again");
        world.until_that(|status| status.health == Health::Ready).await;
        world.settle().await;
        let sent = world.server().take();
        assert_eq!(sent.len(), 2, "never replayed: {sent:?}");
        let reports = world.events.reports();
        let report = reports.last().unwrap();
        let suspects: Vec<_> =
            report.in_flight.iter().map(|call| (call.name.as_deref(), call.is_suspect)).collect();
        let expect =
            [Some("file:///poison"), Some(if death == 1 { "file:///1" } else { "file:///2" })];
        assert_eq!(suspects, [(expect[0], death == 2), (expect[1], false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trip_says_in_plain_words_what_happened_why_and_what_to_do() {
    let world = World::new(&[Script::DiesInHandshake]);
    let status = world.until(Health::Tripped).await;
    let sentence = "6 deaths in 60 s; the last time it exited with code 1; its last words: Error: no \
                    token; probably it misses a key, a token or other credentials; set what its \
                    documentation asks for in `env` of the server";
    assert_eq!(status.reason.as_deref(), Some(sentence));
    let UpstreamError::Tripped { reason, last, .. } = end(world.call("a")).await.unwrap_err()
    else {
        panic!("it is tripped")
    };
    assert_eq!(&*reason, sentence);
    let last = last.unwrap();
    assert_eq!(
        (last.exit.as_str(), &last.stderr_tail[..]),
        ("it exited with code 1", &["Error: no token".to_owned()][..])
    );
    let reports = world.events.reports();
    let trips: Vec<_> = reports.iter().map(|report| report.trip.is_some()).collect();
    assert_eq!(trips, [false, false, false, false, false, true]);
    assert_eq!(reports[5].trip.as_deref(), Some("6 deaths in 60 s"));
    assert!(reports[5].retry_after_ms.unwrap() >= 60_000);
}

#[tokio::test(start_paused = true)]
async fn a_death_that_we_bring_about_has_its_last_words_too() {
    let world = World::new(&[Script::Mute, Script::Works]);
    world.settle().await;
    // As a process does whose log is read all the time.
    world.server().whispers(&["waiting for a database: connection refused"]);
    world.until(Health::Ready).await;
    assert_eq!(world.events.reason(1), "it did not answer initialize within 30 s");
    let world = World::ready().await;
    world.server().has_listener();
    world.handle.restart().await;
    world.until_that(|status| status.incarnation.0 == 2 && status.health == Health::Ready).await;
    assert!(world.events.reports().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_host_is_reported_and_not_counted() {
    let world = World::new(&[Script::LacksResources, Script::Works]);
    world.until(Health::Ready).await;
    let reports = world.events.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert!(!report.is_counted, "{report:?}");
    assert_eq!((report.deaths, report.trip.as_deref()), (0, None));
}
