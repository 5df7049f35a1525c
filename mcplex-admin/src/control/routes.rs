//! What a request asks for.

use super::Problem;
use crate::{operator::Verb, status::UpstreamStatus};
use hyper::{Method, StatusCode, Uri};
use mcplex_proto::upstream::Health;
use percent_encoding::percent_decode_str;

/// Lines of a log unless told otherwise; a screen and a half.
const LINES: usize = 50;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Status,
    Act { upstream: String, verb: Verb, waits: bool },
    ActOnAll { verb: Verb, waits: bool },
    Reload,
    Why { upstream: String },
    Logs { upstream: String, lines: usize, follow: bool },
    Crashes { upstream: Option<String> },
    Crash { upstream: String, number: usize },
}

impl Route {
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, (StatusCode, Problem)> {
        let query = |wanted: &str| {
            let pairs = uri.query().unwrap_or_default().split('&');
            pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == wanted)
        };
        let flag = |key, default: bool| query(key).map_or(default, |(_, value)| value == "1");
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| {
                let message = format!("{text:?} is no number");
                (StatusCode::BAD_REQUEST, Problem::new("bad-request", message))
            })
        };
        let verb = |word: &str| Verb::ALL.into_iter().find(|verb| verb.as_str() == word);
        let path: Vec<&str> = uri.path().split('/').skip(1).collect();
        let is_get = method == Method::GET;
        let (route, needs_get) = match path[..] {
            ["v1", "status"] => (Self::Status, true),
            ["v1", "reload"] => (Self::Reload, false),
            ["v1", "crashes"] => {
                let upstream = query("upstream").map(|(_, name)| plain(name));
                (Self::Crashes { upstream }, true)
            }
            ["v1", "crashes", name, last] => {
                (Self::Crash { upstream: plain(name), number: number(last)? }, true)
            }
            ["v1", "upstreams", name, "why"] => (Self::Why { upstream: plain(name) }, true),
            ["v1", "upstreams", name, "logs"] => {
                let lines = query("lines").map_or(Ok(LINES), |(_, text)| number(text))?;
                let (upstream, follow) = (plain(name), flag("follow", false));
                (Self::Logs { upstream, lines, follow }, true)
            }
            ["v1", "upstreams", name, word] if verb(word).is_some() => {
                let verb = verb(word).expect("it was just looked up");
                let (upstream, waits) = (plain(name), flag("wait", true));
                (Self::Act { upstream, verb, waits }, false)
            }
            ["v1", word] if verb(word).is_some() => {
                let verb = verb(word).expect("it was just looked up");
                (Self::ActOnAll { verb, waits: flag("wait", true) }, false)
            }
            _ => {
                let message = format!("there is nothing at {}", uri.path());
                return Err((StatusCode::NOT_FOUND, Problem::new("not-found", message)));
            }
        };
        let is_allowed = if needs_get { is_get } else { method == Method::POST };
        if !is_allowed {
            let wanted = if needs_get { "GET" } else { "POST" };
            let message = format!("{} is asked for with {wanted}", uri.path());
            let problem = Problem::new("wrong-method", message);
            return Err((StatusCode::METHOD_NOT_ALLOWED, problem));
        }
        Ok(route)
    }
}

/// A name as it was before it became a part of a path.
fn plain(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

/// Whether a verb for all means this one.
///
/// What somebody stopped stays stopped unless all are to be started, and nobody who is well is
/// bothered by a start.
pub(super) fn is_meant(verb: Verb, upstream: &UpstreamStatus) -> bool {
    let is_off = upstream.health == Health::Stopped;
    match verb {
        Verb::Start => upstream.is_enabled && (is_off || upstream.health == Health::Idle),
        Verb::Stop | Verb::Restart | Verb::Reset => !is_off,
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            get("/v1/upstreams/a-b/logs?lines=7&follow=1"),
            Ok(Route::Logs { upstream: name(), lines: 7, follow: true })
        );
        assert_eq!(get("/v1/crashes?upstream=a-b"), Ok(Route::Crashes { upstream: Some(name()) }));
        assert_eq!(get("/v1/crashes/a-b/2"), Ok(Route::Crash { upstream: name(), number: 2 }));
        assert_eq!(
            post("/v1/upstreams/a-b/stop?wait=0"),
            Ok(Route::Act { upstream: name(), verb: Verb::Stop, waits: false })
        );
        let path = format!("/v1/upstreams/{}/why", crate::client::escaped("a/s1"));
        assert_eq!(get(&path), Ok(Route::Why { upstream: "a/s1".to_owned() }));
        assert_eq!(post("/v1/reload"), Ok(Route::Reload));
        assert_eq!(post("/v1/reset"), Ok(Route::ActOnAll { verb: Verb::Reset, waits: true }));
    }

    #[test]
    fn what_changes_something_is_posted() {
        assert_eq!(route(&Method::GET, "/v1/upstreams/a/stop"), Err(405));
        assert_eq!(route(&Method::POST, "/v1/status"), Err(405));
        assert_eq!(route(&Method::GET, "/v1/nothing"), Err(404));
        assert_eq!(route(&Method::GET, "/v1/crashes/a/x"), Err(400));
    }
}
