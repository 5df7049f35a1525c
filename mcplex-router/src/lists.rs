//! What one upstream offers: its four lists, read page by page.

use crate::{
    fit,
    hop::Introduction,
    spans::{self, To, Why},
};
use mcplex_proto::{
    edit,
    error::{ErrorObject, METHOD_NOT_FOUND},
    handshake::ServerInfo,
    message::{Extra, Outcome},
    method,
    raw::{self, Raw},
    upstream::{Call, Traced, Upstream, UpstreamError},
    version::Era,
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

/// Pages of one list that are followed; an upstream that always names a next page is a loop.
const MAX_PAGES: usize = 1000;

/// One of the lists that every upstream may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// What a method lists, if it lists anything.
    pub(crate) fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The method that lists it.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => method::TOOLS_LIST,
            Self::Prompts => method::PROMPTS_LIST,
            Self::Resources => method::RESOURCES_LIST,
            Self::Templates => method::TEMPLATES_LIST,
        }
    }

    /// The member of the result that holds the list.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The capability without which the list is not asked for.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }
}

/// Everything one upstream offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) items: [Vec<Item>; 4],
    /// How long each may be kept, as the upstream said.
    pub(crate) hints: [Hints; 4],
    /// What it said of itself; `None` before its first connect.
    pub(crate) info: Option<Arc<ServerInfo>>,
}

impl Lists {
    /// Whether a client would see any difference.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let said = |lists: &Self| {
            lists.info.as_ref().map(|info| {
                let ServerInfo { version, capabilities, implementation, instructions } = &**info;
                (*version, capabilities.clone(), implementation.clone(), instructions.clone())
            })
        };
        self.items == other.items && said(self) == said(other)
    }

    pub(crate) fn of(&self, kind: Kind) -> &[Item] {
        &self.items[kind as usize]
    }
}

/// How long a list may be kept by whoever reads it, and for whom.
///
/// A legacy upstream says nothing of it, which means not at all and for nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) ttl_ms: u64,
    pub(crate) is_public: bool,
}

impl Hints {
    /// What can be said of everything as long as nothing has been added.
    pub(crate) const LOOSEST: Self = Self { ttl_ms: u64::MAX, is_public: true };

    /// What can be said of two lists in one.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self { ttl_ms: self.ttl_ms.min(other.ttl_ms), is_public: self.is_public && other.is_public }
    }

    fn read(members: &[edit::Member<'_>]) -> Self {
        let find =
            |name: &str| members.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
        let ttl_ms = find("ttlMs").and_then(|value| value.get().parse().ok());
        let scope = find("cacheScope").and_then(raw::string);
        Self { ttl_ms: ttl_ms.unwrap_or(0), is_public: scope.as_deref() == Some("public") }
    }
}

/// One tool, prompt, resource or template, as its upstream wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name, URI or URI template.
    pub(crate) key: String,
    pub(crate) raw: Raw,
}

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("{method} was refused: {} (code {})", .error.message, .error.code)]
    Refused { method: &'static str, error: ErrorObject },
    #[error("the answer to {method} has no array {member:?}")]
    Malformed { method: &'static str, member: &'static str },
}

/// One list as it was read.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Item>,
    pub(crate) hints: Hints,
}

/// How lists are asked for.
#[derive(Debug)]
pub(crate) struct Asking {
    /// How long a page may take.
    pub(crate) timeout: Duration,
    /// What our requests say to stateless upstreams.
    pub(crate) own: Introduction,
    /// What the requests belong to.
    pub(crate) why: Why,
    /// Whether they say so.
    pub(crate) tells_trace: bool,
}

/// Reads one list to its last page.
pub(crate) async fn fetch(
    upstream: &dyn Upstream,
    info: &ServerInfo,
    kind: Kind,
    how: &Asking,
) -> Result<Listed, ListError> {
    let mut listed = Listed { items: Vec::new(), hints: Hints::LOOSEST };
    if !info.can(kind.capability(), None) {
        return Ok(listed);
    }
    let method = kind.method();
    let mut cursor: Option<String> = None;
    let mut cursors = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let id = upstream.mint();
        let peer = upstream.peer();
        let version = Some(info.version);
        let to = To { upstream: upstream.name(), peer: peer.as_deref(), version };
        let span = spans::own(method, id, to, how.why);
        let mut params = page_params(info, &how.own, cursor.as_deref());
        if let Some(context) = span.context().filter(|_| how.tells_trace) {
            params = Some(context.written_into(&params.unwrap_or_else(Raw::empty_object)));
        }
        let call = Call {
            id,
            method: Cow::Borrowed(method),
            params,
            extra: Extra::default(),
            timeout: Some(how.timeout),
            trace: span.context().cloned().map(|sent| Traced { sent, asked: None }),
            is_upkeep: true,
            era: info.version.era(),
        };
        let answer = upstream.call(call).await;
        match &answer {
            Ok(reply) => spans::ended_there(&span, &reply.outcome),
            Err(error) => spans::unanswered(&span, error, peer.is_some()),
        }
        drop(span);
        let page = match answer?.outcome {
            Outcome::Result(page) => page,
            Outcome::Error(raw) => {
                let error = ErrorObject::read(&raw);
                // Many servers have resources and no templates.
                if kind == Kind::Templates && error.code == METHOD_NOT_FOUND {
                    return Ok(listed);
                }
                return Err(ListError::Refused { method, error });
            }
        };
        let (next, hints) = take_page(&page, kind, info.version.era(), &mut listed.items)?;
        listed.hints = listed.hints.and(hints);
        cursor = next;
        match &cursor {
            None => return Ok(listed),
            Some(next) if !cursors.insert(next.clone()) => {
                tracing::warn!(upstream = %upstream.name(), method,
                    "a cursor came twice; the list is taken to end there");
                return Ok(listed);
            }
            Some(_) => {}
        }
    }
    tracing::warn!(upstream = %upstream.name(), method, pages = MAX_PAGES,
        "the list has more pages than are read; the rest is left out");
    Ok(listed)
}

fn page_params(info: &ServerInfo, own: &Introduction, cursor: Option<&str>) -> Option<Raw> {
    let cursor = cursor.map(Raw::of);
    let members = cursor.as_ref().map(|cursor| ("cursor", cursor.as_str()));
    match info.version.era() {
        Era::Legacy => members.map(|cursor| edit::object([cursor])),
        Era::Modern => Some(own.params(members.as_slice())),
    }
}

/// Adds the items of a page; gives the cursor of the next one, and how long the page may be kept.
/// An empty cursor is a cursor.
pub(crate) fn take_page(
    page: &Raw,
    kind: Kind,
    era: Era,
    items: &mut Vec<Item>,
) -> Result<(Option<String>, Hints), ListError> {
    let malformed = || ListError::Malformed { method: kind.method(), member: kind.member() };
    let members = edit::members(page.as_str()).ok_or_else(malformed)?;
    let find = |name| members.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
    let list = find(kind.member()).and_then(|list| edit::elements(list.get()));
    for element in list.ok_or_else(malformed)? {
        let key = edit::member(element.get(), kind.key()).and_then(raw::string);
        let Some(key) = key else {
            tracing::warn!(list = kind.member(), "an item without a name was left out");
            continue;
        };
        match fit::item(kind, era, page, element) {
            Ok(raw) => items.push(Item { key: key.into_owned(), raw }),
            Err(why) => tracing::warn!(list = kind.member(), %key, why,
                "an item that clients could not read was left out"),
        }
    }
    let next = find("nextCursor").and_then(raw::string).map(Cow::into_owned);
    Ok((next, Hints::read(&members)))
}
