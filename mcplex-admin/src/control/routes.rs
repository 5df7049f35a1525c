//! The table of what can be asked: it serves requests, and the description is made from it.

use super::Problem;
use crate::{
    act::Done,
    calls::{Ended, Figures},
    crashes::Summary,
    events::Event,
    operator::{Reloaded, Setting, Verb},
    status::{Snapshot, UpstreamStatus},
};
use hyper::{Method, StatusCode, Uri};
use mcplex_proto::{report::CrashReport, upstream::Health};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

mod given;

pub(super) use given::{Given, Parameter};

/// Lines of a log unless told otherwise; a screen and a half.
const LINES: usize = 50;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Page,
    Calls { upstream: Option<String> },
    Tools { by_upstream: bool },
    Health,
    Readiness,
    Metrics,
    Description,
    Status,
    Upstreams,
    Upstream { upstream: String },
    Configuration,
    Timeline { upstream: Option<String> },
    Events,
    Act { upstream: String, verb: Verb, waits: bool },
    ActOnAll { verb: Verb, waits: bool },
    Reload,
    Why { upstream: String },
    Logs { upstream: String, lines: usize, follow: bool },
    Crashes { upstream: Option<String> },
    Crash { upstream: String, number: usize },
}

/// One line of the table.
pub(super) struct Entry {
    /// Whether it changes something, and so is asked for with POST and not with GET.
    pub(super) is_post: bool,
    /// Its path; what stands in braces is a name of a parameter.
    pub(super) path: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Its parameters after the question mark, each with what it may be and what it means.
    pub(super) query: &'static [(&'static str, Parameter, &'static str)],
    /// Whether monitors may ask it without a token.
    pub(super) is_open: bool,
    /// What it answers.
    pub(super) answer: Kind,
    /// Another status that has the same body, and when.
    pub(super) also: Option<(u16, &'static str)>,
    make: fn(&Given<'_>) -> Result<Route, Wrong>,
}

/// What an answer consists of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// JSON that looks like this.
    Json(fn() -> Value),
    /// Plain text.
    Text,
    /// Server-sent events.
    Events,
    /// A page for a browser.
    Page,
}

type Wrong = (StatusCode, Problem);

const UPSTREAM: (&str, Parameter, &str) = ("upstream", Parameter::Name, "Only of this upstream.");
const WAIT: (&str, Parameter, &str) =
    ("wait", Parameter::Flag, "0 answers at once; otherwise when it has had its effect.");

const GET: Entry = Entry {
    is_post: false,
    path: "",
    summary: "",
    query: &[],
    is_open: false,
    answer: Kind::Text,
    also: None,
    make: |_| Ok(Route::Health),
};

const POST: Entry = Entry { is_post: true, ..GET };

/// All that can be asked. Of two lines that fit a path the first one is meant.
pub(super) static TABLE: &[Entry] = &[
    Entry {
        path: "/",
        summary: "The dashboard; it asks all else, for which it needs the token.",
        is_open: true,
        answer: Kind::Page,
        make: |_| Ok(Route::Page),
        ..GET
    },
    Entry {
        path: "/healthz",
        summary: "Answers while the process turns.",
        is_open: true,
        make: |_| Ok(Route::Health),
        ..GET
    },
    Entry {
        path: "/readyz",
        summary: "200 once every upstream that starts with mcplex has come up or failed; 503 before.",
        is_open: true,
        answer: Kind::Json(|| json!({ "ready": true, "starting": 0 })),
        also: Some((503, "Some are still starting for the first time.")),
        make: |_| Ok(Route::Readiness),
        ..GET
    },
    Entry {
        path: "/metrics",
        summary: "Metrics as Prometheus reads them.",
        make: |_| Ok(Route::Metrics),
        ..GET
    },
    Entry {
        path: "/api/v1/openapi.json",
        summary: "This description.",
        answer: Kind::Json(|| json!({ "openapi": "3.1.0" })),
        make: |_| Ok(Route::Description),
        ..GET
    },
    Entry {
        path: "/api/v1/status",
        summary: "The process and all its upstreams.",
        answer: Kind::Json(|| {
            let upstreams = vec![UpstreamStatus::default()];
            super::to_value(&Snapshot { upstreams, ..Snapshot::default() })
        }),
        make: |_| Ok(Route::Status),
        ..GET
    },
    Entry {
        path: "/api/v1/upstreams",
        summary: "All upstreams, in the order of the configuration.",
        answer: Kind::Json(|| json!([UpstreamStatus::default()])),
        make: |_| Ok(Route::Upstreams),
        ..GET
    },
    Entry {
        path: "/api/v1/upstreams/{upstream}",
        summary: "One upstream, by its name or by that of one of its members, such as `mail/2`.",
        answer: Kind::Json(|| json!(UpstreamStatus::default())),
        make: |given| Ok(Route::Upstream { upstream: given.part(0) }),
        ..GET
    },
    Entry {
        path: "/api/v1/upstreams/{upstream}/why",
        summary: "One paragraph: how it is, since when, why, what comes next, what to do.",
        answer: Kind::Json(|| json!({ "text": "" })),
        make: |given| Ok(Route::Why { upstream: given.part(0) }),
        ..GET
    },
    Entry {
        path: "/api/v1/upstreams/{upstream}/logs",
        summary: "The last lines of its log.",
        query: &[
            ("lines", Parameter::Number, "How many; 50 unless it is said."),
            ("follow", Parameter::Flag, "1 goes on with each line that comes."),
        ],
        make: |given| {
            let lines = given.word("lines").map_or(Ok(LINES), |text| given.number(&text))?;
            let follow = given.flag("follow", false)?;
            Ok(Route::Logs { upstream: given.part(0), lines, follow })
        },
        ..GET
    },
    Entry {
        path: "/api/v1/upstreams/{upstream}/{verb}",
        summary: "Starts, stops, restarts or resets it; the verb is one of these.",
        query: &[WAIT],
        answer: Kind::Json(|| {
            let [upstream, verb, what] = ["", "", ""].map(str::to_owned);
            json!(Done { upstream, verb, what, status: UpstreamStatus::default() })
        }),
        make: |given| {
            let (upstream, verb) = (given.part(0), given.verb(1)?);
            Ok(Route::Act { upstream, verb, waits: given.flag("wait", true)? })
        },
        ..POST
    },
    Entry {
        path: "/api/v1/crashes",
        summary: "The crash reports that are kept, newest first.",
        query: &[UPSTREAM],
        answer: Kind::Json(|| json!([Summary::default()])),
        make: |given| Ok(Route::Crashes { upstream: given.word("upstream") }),
        ..GET
    },
    Entry {
        path: "/api/v1/crashes/{upstream}/{number}",
        summary: "A crash report; 1 is the newest of that upstream.",
        answer: Kind::Json(|| json!(CrashReport::default())),
        make: |given| {
            let number = given.number(&given.part(1))?;
            Ok(Route::Crash { upstream: given.part(0), number })
        },
        ..GET
    },
    Entry {
        path: "/api/v1/timeline",
        summary: "The last events of each upstream, oldest first.",
        query: &[UPSTREAM],
        answer: Kind::Json(|| json!([Event::default()])),
        make: |given| Ok(Route::Timeline { upstream: given.word("upstream") }),
        ..GET
    },
    Entry {
        path: "/api/v1/events",
        summary: "Each event as it happens: `changed` and `died` with an event of the timeline, \
                  `missed` with the count of those that came too fast for whoever reads. With \
                  `Last-Event-ID` it begins with what is kept of those since.",
        answer: Kind::Events,
        make: |_| Ok(Route::Events),
        ..GET
    },
    Entry {
        path: "/api/v1/calls",
        summary: "The last 500 calls of tools, newest first.",
        query: &[UPSTREAM],
        answer: Kind::Json(|| json!([Ended::default()])),
        make: |given| Ok(Route::Calls { upstream: given.word("upstream") }),
        ..GET
    },
    Entry {
        path: "/api/v1/tools",
        summary: "Figures of each tool that was called, by name, from the start on.",
        query: &[(
            "by",
            Parameter::Word("upstream"),
            "`upstream` puts the tools of each upstream together.",
        )],
        answer: Kind::Json(|| json!([Figures::default()])),
        make: |given| Ok(Route::Tools { by_upstream: given.is_word("by", "upstream")? }),
        ..GET
    },
    Entry {
        path: "/api/v1/configuration",
        summary: "Every setting with its value and where it came from; secrets are hidden.",
        answer: Kind::Json(|| json!([Setting::default()])),
        make: |_| Ok(Route::Configuration),
        ..GET
    },
    Entry {
        path: "/api/v1/reload",
        summary: "Reads the configuration again, and applies what differs.",
        answer: Kind::Json(|| json!(Reloaded::default())),
        make: |_| Ok(Route::Reload),
        ..POST
    },
    Entry {
        path: "/api/v1/{verb}",
        summary: "Starts, stops, restarts or resets all upstreams for which that makes sense.",
        query: &[WAIT],
        answer: Kind::Json(|| json!({ "outcomes": [{ "upstream": "" }] })),
        make: |given| {
            Ok(Route::ActOnAll { verb: given.verb(0)?, waits: given.flag("wait", true)? })
        },
        ..POST
    },
];

impl Route {
    /// What a request asks for. The control socket has it without `/api`.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Result<Self, Wrong> {
        // The same without its body, which is left out by whoever sends the answer.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let mut wanted = None;
        for entry in TABLE {
            let Some(parts) = entry.fits(uri.path()) else { continue };
            let given = Given { parts, query: uri.query().unwrap_or_default() };
            let route = (entry.make)(&given);
            if route.as_ref().is_err_and(|(code, _)| *code == StatusCode::NOT_FOUND) {
                continue;
            }
            if *method == entry.method() {
                return route;
            }
            wanted = wanted.or_else(|| Some(entry.method()));
        }
        let Some(wanted) = wanted else { return Err(nothing_at(uri.path())) };
        let message = format!("{} is asked for with {wanted}", uri.path());
        Err((StatusCode::METHOD_NOT_ALLOWED, Problem::new("wrong-method", message)))
    }

    /// With which methods a path may be asked for.
    pub(crate) fn methods_of(uri: &Uri) -> &'static str {
        match Self::of(&Method::POST, uri) {
            Err((StatusCode::METHOD_NOT_ALLOWED, _)) => "GET, HEAD",
            Ok(_) | Err(_) => "POST",
        }
    }

    /// The path of what a request changes, with the names of its parameters; nothing of one that only
    /// looks.
    pub(crate) fn path_of(method: &Method, uri: &Uri) -> Option<&'static str> {
        let fits = |entry: &&Entry| entry.is_post && entry.fits(uri.path()).is_some();
        TABLE.iter().filter(|_| *method == Method::POST).find(fits).map(|entry| entry.path)
    }

    /// Whether everybody may ask this.
    pub(crate) fn is_open(uri: &Uri) -> bool {
        TABLE.iter().any(|entry| entry.is_open && entry.fits(uri.path()).is_some())
    }
}

impl Entry {
    pub(super) fn method(&self) -> Method {
        if self.is_post { Method::POST } else { Method::GET }
    }

    /// What stands in a path for the parameters of this one.
    fn fits(&self, path: &str) -> Option<Vec<String>> {
        let path = path.strip_prefix("/api").unwrap_or(path);
        let own = self.path.strip_prefix("/api").unwrap_or(self.path);
        let mut parts = Vec::new();
        let mut rest = path.split('/');
        for step in own.split('/') {
            let given = rest.next()?;
            if step.starts_with('{') {
                parts.push(plain(given));
            } else if step != given {
                return None;
            }
        }
        rest.next().is_none().then_some(parts)
    }
}

fn nothing_at(path: &str) -> Wrong {
    let message = format!("there is nothing at {path}");
    (StatusCode::NOT_FOUND, Problem::new("not-found", message))
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
mod tests;
