use super::*;

fn route(method: &Method, path: &str) -> Result<Route, u16> {
    Route::of(method, &path.parse().unwrap()).map_err(|(code, _)| code.as_u16())
}

#[test]
fn a_path_says_what_is_asked_for() {
    let get = |path| route(&Method::GET, path);
    let post = |path| route(&Method::POST, path);
    let name = || "a-b".to_owned();
    assert_eq!(get("/v1/status"), Ok(Route::Status));
    assert_eq!(get("/api/v1/status"), Ok(Route::Status));
    assert_eq!(
        get("/v1/upstreams/a-b/logs?lines=7&follow=1"),
        Ok(Route::Logs { upstream: name(), lines: 7, follow: true })
    );
    assert_eq!(get("/v1/tools"), Ok(Route::Tools { by_upstream: false }));
    assert_eq!(get("/v1/tools?by=upstream"), Ok(Route::Tools { by_upstream: true }));
    assert_eq!(get("/v1/upstreams/a-b"), Ok(Route::Upstream { upstream: name() }));
    assert_eq!(get("/v1/crashes?upstream=a-b"), Ok(Route::Crashes { upstream: Some(name()) }));
    assert_eq!(get("/v1/crashes/a-b/2"), Ok(Route::Crash { upstream: name(), number: 2 }));
    assert_eq!(
        post("/v1/upstreams/a-b/stop?wait=0"),
        Ok(Route::Act { upstream: name(), verb: Verb::Stop, waits: false })
    );
    for (value, waits) in [("1", true), ("true", true), ("0", false), ("false", false)] {
        let path = format!("/v1/upstreams/a-b/stop?wait={value}");
        let wanted = Route::Act { upstream: name(), verb: Verb::Stop, waits };
        assert_eq!(route(&Method::POST, &path), Ok(wanted));
    }
    let huge = format!("/v1/crashes/a-b/{}", "9".repeat(40));
    assert_eq!(get(&huge), Ok(Route::Crash { upstream: name(), number: usize::MAX }));
    let path = format!("/v1/upstreams/{}/why", crate::client::escaped("a/s1"));
    assert_eq!(get(&path), Ok(Route::Why { upstream: "a/s1".to_owned() }));
    assert_eq!(post("/v1/reload"), Ok(Route::Reload));
    assert_eq!(post("/v1/reset"), Ok(Route::ActOnAll { verb: Verb::Reset, waits: true }));
    // One may be called like this.
    let upstream = "why".to_owned();
    assert_eq!(get("/v1/upstreams/why/why"), Ok(Route::Why { upstream }));
}

#[test]
fn what_changes_something_is_posted() {
    assert_eq!(route(&Method::GET, "/v1/upstreams/a/stop"), Err(405));
    assert_eq!(route(&Method::POST, "/v1/status"), Err(405));
    for nothing in ["/v1/nothing", "/v1/upstreams/a/dance", "/v1", "/v1/status/", "/api/api/v1"] {
        assert_eq!(route(&Method::GET, nothing), Err(404), "{nothing}");
        assert_eq!(route(&Method::POST, nothing), Err(404), "{nothing}");
    }
    assert_eq!(route(&Method::GET, "/v1/crashes/a/x"), Err(400));
}

#[test]
fn only_monitors_and_the_bare_page_need_no_token() {
    let open = TABLE.iter().filter(|entry| entry.is_open).map(|entry| entry.path);
    assert_eq!(open.collect::<Vec<_>>(), ["/", "/healthz", "/readyz"]);
    assert!(Route::is_open(&"/healthz?x=1".parse().unwrap()));
    assert!(!Route::is_open(&"/metrics".parse().unwrap()));
}
