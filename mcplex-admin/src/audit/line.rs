//! What a line looks like.

use super::{Entry, Policy, Refusal};
use mcplex_journal::Words;
use mcplex_proto::{
    attr,
    audit::{Arguments, Audited},
    method,
    redact::redact,
};
use serde::Serialize;
use serde_json::Value;
use std::time::SystemTime;

/// The members of the line of a call, in their order, with what they say.
pub const FIELDS: &[(&str, &str)] = &[
    ("time", "when it ended, in RFC 3339 and UTC"),
    ("outcome", "`ok`, `error`, `rejected` (nothing was sent to an upstream) or `cancelled`"),
    ("error", "what kind of error: `error.type` as in traces, or the code as text"),
    ("code", "the code of JSON-RPC it was answered with"),
    (
        "method",
        "`tools/call`, `prompts/get`, `resources/read` and whatever else is for an upstream",
    ),
    ("name", "the tool, prompt or task, as the client calls it"),
    ("resource", "the URI of the resource"),
    ("upstream", "the server it was for; absent when nobody has what was called"),
    ("upstream_name", "the tool or prompt, as the server calls it"),
    (
        "incarnation",
        "the life of the server that answered, or that had it when it died, was too slow or \
         was given up; absent when none had it",
    ),
    ("attempts", "how often it was made for the server: 2 when that came back in another era"),
    ("principal", "`pipe`, `anybody`, or issuer and subject of the token; never the token"),
    ("session", "the number of the session; absent for requests of 2026-07-28"),
    ("client", "what the client says it is called"),
    ("client_version", "and its version"),
    ("duration_us", "from the request to its answer, in microseconds"),
    ("bytes_in", "its parameters as JSON"),
    ("bytes_out", "its result or error as JSON; 0 when nobody wanted it any more"),
    ("trace_id", "its trace, if it is traced here or by the client"),
    ("arguments", "of each argument its name with `kind` and `size`"),
    ("values", "the values that `audit.allow` names, by their pointers"),
];

/// The members of the line of those who were not let in.
pub const REFUSAL_FIELDS: &[(&str, &str)] = &[
    ("time", "when"),
    ("outcome", "`rejected`"),
    ("error", "`mcplex.unauthorized`"),
    ("status", "the status of HTTP, 401 or 403"),
    ("why", "one sentence"),
    ("principal", "whose token it was, where its signature is good"),
    (
        "count",
        "how many there were since the line before; at most one line a second, which tells of the last \
         one that is known by name, or else of the last one",
    ),
];

/// The members of the line that stands where others are missing.
pub const GAP_FIELDS: &[(&str, &str)] = &[
    ("time", "when the log went on"),
    ("outcome", "`lost`"),
    ("count", "how many lines are missing here, because the disk was full or too slow"),
];

#[derive(Serialize)]
struct CallLine<'a> {
    time: String,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    attempts: u32,
    principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_version: Option<&'a str>,
    duration_us: u64,
    bytes_in: usize,
    bytes_out: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Value>,
}

#[derive(Serialize)]
struct RefusalLine {
    time: String,
    outcome: &'static str,
    error: &'static str,
    status: u16,
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    count: u64,
}

#[derive(Serialize)]
struct GapLine {
    time: String,
    outcome: &'static str,
    count: u64,
}

/// Writes lines, and leaves out what is not to be seen.
#[derive(Debug)]
pub(super) struct Pen {
    policy: Policy,
    /// When something was written last.
    last: SystemTime,
}

impl Pen {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, last: SystemTime::UNIX_EPOCH }
    }

    fn call(&self, at: SystemTime, call: &Audited, line: &mut Vec<u8>) {
        // Names and URIs are what clients make of them.
        let clean = |text: &Option<String>| text.as_deref().map(|text| redact(text).into_owned());
        let (name, uri, own) = (clean(&call.name), clean(&call.uri), clean(&call.own_name));
        let (client, version) = (clean(&call.client), clean(&call.client_version));
        let upstream = call.upstream.as_ref().map(|name| name.as_str());
        let arguments = call.arguments.as_ref();
        let has_own = matches!(&*call.method, method::TOOLS_CALL | method::PROMPTS_GET);
        let values = |arguments: &Arguments| {
            self.policy.values(upstream?, call.own_name.as_deref()?, arguments)
        };
        write(
            line,
            &CallLine {
                time: written(at),
                outcome: call.outcome,
                error: call.error.as_deref(),
                code: call.code,
                method: &call.method,
                name: name.as_deref(),
                resource: uri.as_deref(),
                upstream,
                upstream_name: own.as_deref().filter(|_| has_own && upstream.is_some()),
                incarnation: call.incarnation.map(|incarnation| incarnation.0),
                attempts: call.attempts,
                principal: call.principal.to_string(),
                session: call.session,
                client: client.as_deref(),
                client_version: version.as_deref(),
                duration_us: u64::try_from(call.duration.as_micros()).unwrap_or(u64::MAX),
                bytes_in: call.bytes_in,
                bytes_out: call.bytes_out,
                trace_id: call.trace_id.as_deref(),
                arguments: arguments.and_then(|arguments| self.policy.outline(arguments)),
                values: arguments.and_then(values),
            },
        );
    }
}

impl Words for Pen {
    type Entry = Entry;

    fn write(&mut self, entry: Entry, line: &mut Vec<u8>) {
        match entry {
            Entry::Call { at, call } => {
                self.last = at;
                self.call(at, &call, line);
            }
            Entry::Refusal { at, refusal: Refusal { status, why, principal, count } } => {
                self.last = at;
                let refusal = RefusalLine {
                    time: written(at),
                    outcome: "rejected",
                    error: attr::ERROR_UNAUTHORIZED,
                    status,
                    why,
                    principal: principal.map(|principal| principal.to_string()),
                    count,
                };
                write(line, &refusal);
            }
        }
    }

    fn gap(&mut self, missing: u64, line: &mut Vec<u8>) {
        let time = written(self.last.max(super::wall_clock()));
        write(line, &GapLine { time, outcome: "lost", count: missing });
    }
}

fn written(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}

fn write(line: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(line, value).expect("plain data is JSON, and a buffer takes it");
}
