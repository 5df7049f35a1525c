//! What mcplex can do in the name of all upstreams, and what it says of itself.

use crate::{asker::RELAYED_EXTENSIONS, link::Link, lists::Lists, options::Options, tasks};
use mcplex_proto::{
    edit, method, modern,
    raw::Raw,
    version::{Era, Version},
};
use std::sync::Arc;

/// How long a client may keep what it discovered, once all upstreams are known: what they can do
/// changes with their programs, and a minute late is soon enough to hear of that.
const DISCOVERY_TTL_MS: u32 = 60_000;

/// What a session is told of tasks: all that its revision has of those of servers.
const TASKS: &str = r#""tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#;

/// What all upstreams together can do.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The `serverInfo` object.
    pub(crate) identity: Raw,
    /// The `instructions` string as JSON.
    instructions: Option<Raw>,
    /// The result of `server/discover`.
    pub(crate) discovery: Raw,
    has: Has,
    /// There is one upstream, and it is stateless too: what we do not know can only be meant for it.
    relays_unknown: bool,
}

/// The capabilities that some upstream has.
#[derive(Debug)]
struct Has {
    tools: bool,
    prompts: bool,
    resources: bool,
    subscribe: bool,
    completions: bool,
    logging: bool,
    /// Somebody makes tasks of calls, which clients of both eras can be told of.
    tasks: bool,
    /// The extensions that are relayed, with what their first owner says of them.
    extensions: Vec<(&'static str, Raw)>,
    /// Nobody is left who has never said what it can do.
    is_final: bool,
}

impl Offer {
    pub(crate) fn of(options: &Options, links: &[Arc<Link>], lists: &[Arc<Lists>]) -> Self {
        let identity = options.identity();
        let instructions = instructions(links, lists);
        let has = Has::of(lists);
        let discovery = has.discovery(&identity, instructions.as_ref());
        let relays_unknown = match lists {
            [only] => only.info.as_ref().is_some_and(|info| info.version.era() == Era::Modern),
            _ => false,
        };
        Self { identity, instructions, discovery, has, relays_unknown }
    }

    /// The answer to `initialize`.
    pub(crate) fn greet(&self, version: Version) -> Raw {
        // All of it, whatever the upstreams have: they come and go after this answer.
        let capabilities = r#"{"logging":{},"completions":{},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"tools":{"listChanged":true}}"#;
        let with_tasks = self.has.tasks && version == Version::V2025_11_25;
        let capabilities = match with_tasks {
            true => &*format!("{},{TASKS}}}", &capabilities[..capabilities.len() - 1]),
            false => capabilities,
        };
        let version = Raw::of(version.as_str());
        let mut members = vec![
            ("protocolVersion", version.as_str()),
            ("capabilities", capabilities),
            ("serverInfo", self.identity.as_str()),
        ];
        if let Some(instructions) = &self.instructions {
            members.push(("instructions", instructions.as_str()));
        }
        edit::object(members)
    }

    /// Whether some upstream makes tasks, of whichever era.
    pub(crate) fn makes_tasks(&self) -> bool {
        self.has.tasks
    }

    /// Whether a stateless client may ask for this: what only legacy revisions know, and what
    /// needs a capability that no upstream has, it may not.
    pub(crate) fn serves(&self, method: &str) -> bool {
        match method {
            method::TOOLS_LIST | method::TOOLS_CALL => self.has.tools,
            method::PROMPTS_LIST | method::PROMPTS_GET => self.has.prompts,
            method::RESOURCES_LIST | method::TEMPLATES_LIST | method::RESOURCES_READ => {
                self.has.resources
            }
            method::COMPLETE => self.has.completions,
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => self.has.tasks,
            method::DISCOVER | method::LISTEN => true,
            other => self.relays_unknown && !method::is_of_other_era(other, Era::Modern),
        }
    }
}

impl Has {
    /// Whoever has never said what it can do may be able to do everything.
    fn of(lists: &[Arc<Lists>]) -> Self {
        let is_final = lists.iter().all(|lists| lists.info.is_some());
        let infos = || lists.iter().filter_map(|lists| lists.info.as_ref());
        let can = |capability: &str, option: Option<&str>| {
            !is_final || infos().any(|info| info.can(capability, option))
        };
        let makes_tasks = infos().any(|info| tasks::are_made(info));
        let extension = |name: &'static str| {
            if name == modern::TASKS_EXTENSION {
                return makes_tasks.then(|| (name, Raw::empty_object()));
            }
            infos().find_map(|info| {
                let all = edit::member(info.capabilities.as_str(), "extensions")?;
                let found = edit::member(all.get(), name)?;
                Some((name, Raw::part(&info.capabilities, found)))
            })
        };
        Self {
            tools: can("tools", None),
            prompts: can("prompts", None),
            resources: can("resources", None),
            subscribe: can("resources", Some("subscribe")),
            completions: !is_final || infos().any(|info| info.completes()),
            logging: can("logging", None),
            tasks: makes_tasks,
            extensions: RELAYED_EXTENSIONS.into_iter().filter_map(extension).collect(),
            is_final,
        }
    }

    fn capabilities(&self) -> Raw {
        let changes = r#"{"listChanged":true}"#;
        let resources = match self.subscribe {
            true => r#"{"subscribe":true,"listChanged":true}"#,
            false => changes,
        };
        let own = [
            ("logging", "{}", self.logging),
            ("completions", "{}", self.completions),
            ("prompts", changes, self.prompts),
            ("resources", resources, self.resources),
            ("tools", changes, self.tools),
        ];
        let own = own.into_iter().filter(|&(_, _, has)| has).map(|(name, value, _)| (name, value));
        let extensions =
            edit::object(self.extensions.iter().map(|(name, raw)| (*name, raw.as_str())));
        let extensions =
            (!self.extensions.is_empty()).then_some(("extensions", extensions.as_str()));
        edit::object(own.chain(extensions))
    }

    fn discovery(&self, identity: &Raw, instructions: Option<&Raw>) -> Raw {
        let versions: Vec<_> = Version::modern().map(Version::as_str).collect();
        let versions = Raw::of(&versions);
        let capabilities = self.capabilities();
        let ttl = if self.is_final { DISCOVERY_TTL_MS } else { 0 };
        let ttl = ttl.to_string();
        let meta = edit::object([(modern::SERVER_INFO, identity.as_str())]);
        let mut members = vec![
            ("resultType", "\"complete\""),
            ("supportedVersions", versions.as_str()),
            ("capabilities", capabilities.as_str()),
        ];
        members.extend(instructions.map(|instructions| ("instructions", instructions.as_str())));
        members.extend([
            ("ttlMs", ttl.as_str()),
            ("cacheScope", "\"private\""),
            ("_meta", meta.as_str()),
        ]);
        edit::object(members)
    }
}

/// The `instructions` of all upstreams, each under its name; of a single one as they are.
fn instructions(links: &[Arc<Link>], lists: &[Arc<Lists>]) -> Option<Raw> {
    let said = links.iter().zip(lists).filter_map(|(link, lists)| {
        Some((&link.name, lists.info.as_ref()?.instructions.as_ref()?))
    });
    let all: Vec<_> = said.collect();
    match &all[..] {
        [] => None,
        [(_, text)] if links.len() == 1 => Some(Raw::of(*text)),
        several => {
            let parts: Vec<_> =
                several.iter().map(|(name, text)| format!("# {name}\n\n{text}")).collect();
            Some(Raw::of(&parts.join("\n\n")))
        }
    }
}
