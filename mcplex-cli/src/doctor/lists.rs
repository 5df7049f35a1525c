//! Reads the lists of a server as a gateway would, page by page, and counts.

use mcplex_proto::{
    edit,
    error::{ErrorObject, METHOD_NOT_FOUND},
    handshake::ServerInfo,
    message::{Extra, Outcome},
    method, modern,
    raw::{self, Raw},
    upstream::{Call, Upstream, UpstreamError},
    version::Era,
};
use std::{borrow::Cow, time::Duration};

/// How long one page may take; a gateway waits longer, and a person who looks does not.
const PAGE: Duration = Duration::from_secs(15);

/// How many pages of one list are read; past it the count says "and more".
const PAGES: usize = 100;

/// What can be listed: the capability, the method, the member, and the word for one of them.
const LISTS: [(&str, &str, &str, &str); 4] = [
    ("tools", method::TOOLS_LIST, "tools", "tool"),
    ("prompts", method::PROMPTS_LIST, "prompts", "prompt"),
    ("resources", method::RESOURCES_LIST, "resources", "resource"),
    ("resources", method::TEMPLATES_LIST, "resourceTemplates", "template"),
];

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// `12 tools, 1 prompt`.
    pub(crate) counts: Vec<String>,
    /// What went wrong, one sentence each.
    pub(crate) failures: Vec<String>,
    /// Whether there is anything at all.
    pub(crate) is_empty: bool,
}

impl Listed {
    pub(crate) fn sentence(&self) -> String {
        if self.counts.is_empty() { "nothing".to_owned() } else { self.counts.join(", ") }
    }
}

/// Reads all lists that a server says it has.
pub(crate) async fn read(upstream: &dyn Upstream, info: &ServerInfo, client: &Raw) -> Listed {
    let mut listed = Listed { is_empty: true, ..Listed::default() };
    for (capability, method, member, word) in LISTS {
        if !info.can(capability, None) {
            continue;
        }
        match one(upstream, info, client, method, member).await {
            Ok((count, is_whole)) => {
                listed.is_empty &= count == 0;
                let s = if count == 1 { "" } else { "s" };
                let more = if is_whole { "" } else { " and more" };
                if count > 0 || word == "tool" {
                    listed.counts.push(format!("{count} {word}{s}{more}"));
                }
                if !is_whole && count == 0 {
                    // What has a hundred pages and nothing on them has no end.
                    listed.is_empty = false;
                    listed
                        .failures
                        .push(format!("{method} has {PAGES} pages with nothing on them"));
                }
            }
            Err(why) => {
                listed.is_empty = false;
                listed.failures.push(why);
            }
        }
    }
    listed
}

/// How many there are, and whether all were counted.
async fn one(
    upstream: &dyn Upstream,
    info: &ServerInfo,
    client: &Raw,
    method: &'static str,
    member: &str,
) -> Result<(usize, bool), String> {
    let (mut count, mut cursor) = (0, None::<String>);
    for _ in 0..PAGES {
        let call = Call {
            id: upstream.mint(),
            method: Cow::Borrowed(method),
            params: params(info, client, cursor.as_deref()),
            extra: Extra::default(),
            timeout: Some(PAGE),
            trace: None,
            is_upkeep: true,
            era: info.version.era(),
        };
        let reply = upstream.call(call).await.map_err(|error| failed(method, &error))?;
        let page = match reply.outcome {
            Outcome::Result(page) => page,
            Outcome::Error(error) => {
                let error = ErrorObject::read(&error);
                // Many servers have resources and no templates.
                if method == method::TEMPLATES_LIST && error.code == METHOD_NOT_FOUND {
                    return Ok((count, true));
                }
                return Err(format!(
                    "{method} was refused: {} (code {})",
                    error.message, error.code
                ));
            }
        };
        let list = edit::member(page.as_str(), member).and_then(|list| edit::elements(list.get()));
        let list = list.ok_or_else(|| format!("the answer to {method} has no array {member:?}"))?;
        count += list.len();
        let next = edit::member(page.as_str(), "nextCursor").and_then(raw::string);
        match next.map(Cow::into_owned) {
            // One that comes twice would come for ever.
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok((count, true)),
        }
    }
    Ok((count, false))
}

fn failed(method: &str, error: &UpstreamError) -> String {
    if let UpstreamError::Timeout { timeout, .. } = error {
        return format!("{method} was not answered within {} s", timeout.as_secs());
    }
    format!("{method} failed: {error}")
}

/// A stateless server reads in each request who asks.
fn params(info: &ServerInfo, client: &Raw, cursor: Option<&str>) -> Option<Raw> {
    let cursor = cursor.map(Raw::of);
    let cursor = cursor.as_ref().map(|cursor| ("cursor", cursor.as_str()));
    match info.version.era() {
        Era::Legacy => cursor.map(|cursor| edit::object([cursor])),
        Era::Modern => {
            let meta = edit::object([
                (modern::PROTOCOL_VERSION, &*format!("\"{}\"", info.version)),
                (modern::CLIENT_INFO, client.as_str()),
                (modern::CLIENT_CAPABILITIES, "{}"),
            ]);
            Some(edit::object([("_meta", meta.as_str())].into_iter().chain(cursor)))
        }
    }
}
