//! Every tool, prompt and resource, by the name a client sees.
//!
//! A catalog is never changed: when a list changes, a new one is built and takes its place. The
//! answers to the list methods are built once for each revision that asks, so that listing a thousand
//! tools costs a pointer.

use crate::{
    link::Link,
    lists::{Hints, Item, Kind, Lists},
    naming::{self, Names, Rule},
    offer::Offer,
    options::Options,
    tasks, template, words,
};
use mcplex_proto::{
    edit,
    header::HeaderParams,
    raw::Raw,
    version::{Era, Version},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// What clients can see of all upstreams at one moment.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// The upstreams it was made of; its indices lead into this.
    links: Vec<Arc<Link>>,
    rule: Rule,
    tools: Table,
    prompts: Table,
    /// Owner of each listed URI.
    resources: BTreeMap<String, usize>,
    /// Templates with their owners, in order.
    templates: Vec<(String, usize)>,
    /// What each list shows.
    shown: [Vec<Shown>; 4],
    hints: [Hints; 4],
    /// The whole result of each list method, in the words of each revision that asked.
    results: [OnceLock<[Raw; 4]>; Version::ALL.len()],
    /// Upstreams that serve resources at all.
    with_resources: Vec<usize>,
    /// What all of them together can do.
    pub(crate) offer: Offer,
}

/// One item of a list, under the name that clients see and else as its upstream wrote it.
#[derive(Debug)]
struct Shown {
    raw: Raw,
    /// The revision of its upstream.
    version: Version,
    /// Its upstream makes tasks.
    makes_tasks: bool,
}

#[derive(Debug, Default)]
struct Table {
    routes: BTreeMap<String, Route>,
    ambiguous: BTreeMap<String, Vec<String>>,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Index of the upstream in the same catalog.
    pub(crate) upstream: usize,
    /// The name there as JSON, or `None` when it is the one the client used.
    pub(crate) own_name: Option<Arc<str>>,
    /// The arguments that its callers repeat in HTTP headers.
    pub(crate) header_params: Option<Arc<HeaderParams>>,
}

/// A name that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Miss<'a> {
    Unknown,
    /// Several upstreams have it; these names tell them apart.
    Ambiguous(&'a [String]),
}

impl Catalog {
    /// Joins the lists of all upstreams, in this order.
    pub(crate) fn build(options: &Options, links: Vec<Arc<Link>>) -> Self {
        let rule = options.rule();
        let lists: Vec<_> = links.iter().map(|link| link.lists()).collect();
        let (tools, shown_tools) = named(Kind::Tools, &rule, &links, &lists);
        let (prompts, shown_prompts) = named(Kind::Prompts, &rule, &links, &lists);
        let (resources, shown_resources) = join_resources(&links, &lists);
        let templates = all(&lists, Kind::Templates);
        let templates = templates.map(|(upstream, item)| (item.key.clone(), upstream)).collect();
        let shown_templates = all(&lists, Kind::Templates)
            .map(|(upstream, item)| Shown::of(item.raw.clone(), &lists[upstream]))
            .collect();
        let serves_resources = |&index: &usize| {
            lists[index].info.as_ref().is_some_and(|info| info.can("resources", None))
        };
        Self {
            rule,
            tools,
            prompts,
            resources,
            templates,
            shown: [shown_tools, shown_prompts, shown_resources, shown_templates],
            hints: Kind::ALL.map(|kind| hints(kind, &lists)),
            results: Default::default(),
            with_resources: (0..lists.len()).filter(serves_resources).collect(),
            offer: Offer::of(options, &links, &lists),
            links,
        }
    }

    /// All upstreams of this moment, in order.
    pub(crate) fn links(&self) -> &[Arc<Link>] {
        &self.links
    }

    /// The upstream with an index that this catalog gave out.
    pub(crate) fn link(&self, upstream: usize) -> &Arc<Link> {
        &self.links[upstream]
    }

    /// How names are formed.
    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The result of a list method, in the words of a revision.
    pub(crate) fn result(&self, kind: Kind, to: Version) -> Raw {
        let results = &self.results[to as usize];
        results.get_or_init(|| Kind::ALL.map(|kind| self.write(kind, to)))[kind as usize].clone()
    }

    fn write(&self, kind: Kind, to: Version) -> Raw {
        let shown = self.shown[kind as usize].iter();
        let items: Vec<_> =
            shown.map(|shown| words::item(kind, &shown.raw, shown.of_whom(), to)).collect();
        let items = edit::array(items.iter().map(|item| item.as_str()));
        match to.era() {
            Era::Legacy => edit::object([(kind.member(), items.as_str())]),
            Era::Modern => {
                let list = (kind.member(), items.as_str());
                words::cacheable(list, self.hints[kind as usize], &self.offer.identity)
            }
        }
    }

    /// Whether clients would see another list there.
    pub(crate) fn differs(&self, other: &Self, kind: Kind) -> bool {
        let (one, two) = (&self.shown[kind as usize], &other.shown[kind as usize]);
        !one.iter().map(|shown| &shown.raw).eq(two.iter().map(|shown| &shown.raw))
    }

    /// Finds the upstream of a tool.
    pub(crate) fn tool(&self, name: &str) -> Result<&Route, Miss<'_>> {
        self.tools.find(name)
    }

    /// The arguments of a tool that its callers repeat in HTTP headers.
    pub(crate) fn header_params(&self, name: &str) -> Option<Arc<HeaderParams>> {
        self.tools.routes.get(name)?.header_params.clone()
    }

    /// Finds the upstream of a prompt.
    pub(crate) fn prompt(&self, name: &str) -> Result<&Route, Miss<'_>> {
        self.prompts.find(name)
    }

    /// Finds the upstream of a resource: who lists it, else whose template fits, else the only
    /// one that serves resources.
    pub(crate) fn resource(&self, uri: &str) -> Option<usize> {
        let by_template =
            || self.templates.iter().find(|(template, _)| template::matches(template, uri));
        let only = || match self.with_resources[..] {
            [only] => Some(only),
            _ => None,
        };
        self.resources
            .get(uri)
            .copied()
            .or_else(|| by_template().map(|&(_, upstream)| upstream))
            .or_else(only)
    }

    /// Finds the upstream of a template, or of a resource that is completed like one.
    pub(crate) fn template(&self, uri_template: &str) -> Option<usize> {
        let exact = self.templates.iter().find(|(template, _)| template == uri_template);
        exact.map(|&(_, upstream)| upstream).or_else(|| self.resource(uri_template))
    }
}

impl Table {
    fn find(&self, name: &str) -> Result<&Route, Miss<'_>> {
        self.routes.get(name).ok_or_else(|| match self.ambiguous.get(name) {
            Some(names) => Miss::Ambiguous(names),
            None => Miss::Unknown,
        })
    }
}

impl Shown {
    /// The revision of its upstream, and whether that makes tasks.
    fn of_whom(&self) -> (Version, bool) {
        (self.version, self.makes_tasks)
    }

    fn of(raw: Raw, lists: &Lists) -> Self {
        let version = lists.info.as_ref().map_or(Version::LATEST_LEGACY, |info| info.version);
        let makes_tasks = lists.info.as_ref().is_some_and(|info| tasks::are_made(info));
        Self { raw, version, makes_tasks }
    }
}

/// How long a client may keep a list: as long as each upstream says, and not at all while one may
/// still bring more.
fn hints(kind: Kind, lists: &[Arc<Lists>]) -> Hints {
    let mut all = Hints::LOOSEST;
    for lists in lists {
        match &lists.info {
            None => all = Hints::default(),
            Some(info) if info.can(kind.capability(), None) => {
                all = all.and(lists.hints[kind as usize]);
            }
            Some(_) => {}
        }
    }
    if all == Hints::LOOSEST { Hints::default() } else { all }
}

fn join_resources(
    links: &[Arc<Link>],
    lists: &[Arc<Lists>],
) -> (BTreeMap<String, usize>, Vec<Shown>) {
    let mut owners = BTreeMap::new();
    let mut shown = Vec::new();
    for (upstream, item) in all(lists, Kind::Resources) {
        let first = *owners.entry(item.key.clone()).or_insert(upstream);
        if first == upstream {
            shown.push(Shown::of(item.raw.clone(), &lists[upstream]));
        } else {
            tracing::warn!(uri = item.key, wins = %links[first].name,
                hidden = %links[upstream].name, "two upstreams list the same resource");
        }
    }
    (owners, shown)
}

fn all(lists: &[Arc<Lists>], kind: Kind) -> impl Iterator<Item = (usize, &Item)> {
    lists
        .iter()
        .enumerate()
        .flat_map(move |(upstream, lists)| lists.of(kind).iter().map(move |item| (upstream, item)))
}

/// The table of a kind whose items clients know by name, and what its list shows.
fn named(
    kind: Kind,
    rule: &Rule,
    links: &[Arc<Link>],
    lists: &[Arc<Lists>],
) -> (Table, Vec<Shown>) {
    let upstreams: Vec<_> = links.iter().map(|link| link.name.clone()).collect();
    let own: Vec<Vec<String>> = lists
        .iter()
        .map(|lists| lists.of(kind).iter().map(|item| item.key.clone()).collect())
        .collect();
    let Names { shown, ambiguous, aliases, shadowed } = naming::assign(rule, &upstreams, &own);
    for (upstream, name) in shadowed {
        tracing::warn!(upstream = %upstreams[upstream], name, list = kind.member(),
            "a name stands twice and only the first can be reached");
    }
    let mut routes = BTreeMap::new();
    let mut list = Vec::with_capacity(shown.len());
    for shown in shown {
        let item = &lists[shown.upstream].of(kind)[shown.index];
        let is_renamed = shown.name != item.key;
        let own_name = is_renamed.then(|| Raw::of(&item.key).as_str().into());
        let raw = if is_renamed {
            edit::with_members(&item.raw, &[(kind.key(), Raw::of(&shown.name).as_str())])
        } else {
            item.raw.clone()
        };
        list.push(Shown::of(raw, &lists[shown.upstream]));
        let header_params = header_params(kind, item);
        let route = Route { upstream: shown.upstream, own_name, header_params };
        routes.insert(shown.name, route);
    }
    for (own, shown) in aliases {
        let route = routes.get(&shown).cloned();
        // It leads there under its own name as well, which needs no change on the way.
        let route = route.map(|route| Route { own_name: None, ..route });
        if let Some(route) = route.filter(|_| !routes.contains_key(&own)) {
            routes.insert(own, route);
        }
    }
    (Table { routes, ambiguous }, list)
}

/// The arguments of a tool that are repeated in headers; none where its annotations break the rules,
/// because clients leave those out too.
fn header_params(kind: Kind, item: &Item) -> Option<Arc<HeaderParams>> {
    if kind != Kind::Tools {
        return None;
    }
    let schema = edit::member(item.raw.as_str(), "inputSchema")?;
    HeaderParams::read(schema.get()).ok().flatten().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::UpstreamKey;
    use mcplex_proto::{handshake::ServerInfo, upstream::UpstreamName, version::Version};

    fn lists(tools: &[&str], resources: &[&str], templates: &[&str]) -> Lists {
        let items = |kind: Kind, texts: &[&str]| -> Vec<Item> {
            texts
                .iter()
                .map(|&key| Item {
                    key: key.to_owned(),
                    raw: Raw::parse(format!("{{\"n\":1.50,\"{}\":\"{key}\",\"z\":0}}", kind.key()))
                        .unwrap(),
                })
                .collect()
        };
        let info = ServerInfo {
            version: Version::LATEST_LEGACY,
            capabilities: Raw::parse(r#"{"tools":{},"resources":{}}"#.to_owned()).unwrap(),
            implementation: Raw::empty_object(),
            instructions: None,
        };
        Lists {
            items: [
                items(Kind::Tools, tools),
                Vec::new(),
                items(Kind::Resources, resources),
                items(Kind::Templates, templates),
            ],
            info: Some(Arc::new(info)),
            ..Lists::default()
        }
    }

    fn catalog<const N: usize>(lists: [Lists; N]) -> Catalog {
        let link = |(name, lists)| {
            let link = Link::new(UpstreamKey(1), UpstreamName::new(name).unwrap());
            link.set_lists(lists);
            Arc::new(link)
        };
        Catalog::build(&Options::default(), ["a", "b"].into_iter().zip(lists).map(link).collect())
    }

    #[test]
    fn a_list_is_the_upstreams_own_bytes_but_for_the_names_that_collide() {
        let catalog = catalog([lists(&["x", "e"], &[], &[]), lists(&["e"], &[], &[])]);
        assert_eq!(
            catalog.result(Kind::Tools, Version::LATEST_LEGACY).as_str(),
            r#"{"tools":[{"n":1.50,"name":"x","z":0},{"n":1.50,"name":"a__e","z":0},{"n":1.50,"name":"b__e","z":0}]}"#
        );
        assert_eq!(
            catalog.tool("x"),
            Ok(&Route { upstream: 0, own_name: None, header_params: None })
        );
        let route = catalog.tool("b__e").unwrap();
        assert_eq!((route.upstream, route.own_name.as_deref()), (1, Some("\"e\"")));
        let names = ["a__e".to_owned(), "b__e".to_owned()];
        assert_eq!(catalog.tool("e"), Err(Miss::Ambiguous(&names)));
        assert_eq!(catalog.tool("nothing"), Err(Miss::Unknown));
        assert_eq!(
            catalog.result(Kind::Prompts, Version::LATEST_LEGACY).as_str(),
            r#"{"prompts":[]}"#
        );
    }

    #[test]
    fn a_resource_is_found_by_list_then_by_template() {
        let one = lists(&[], &["x://1", "x://same"], &[]);
        let two = lists(&[], &["x://same"], &["x://{id}", "y://{id}"]);
        let catalog = catalog([one, two]);
        assert_eq!(catalog.resource("x://1"), Some(0));
        assert_eq!(catalog.resource("x://same"), Some(0));
        assert_eq!(catalog.resource("x://2"), Some(1));
        assert_eq!(catalog.resource("z://2"), None);
        assert_eq!(catalog.template("y://{id}"), Some(1));
        assert_eq!(
            catalog.result(Kind::Resources, Version::LATEST_LEGACY).as_str(),
            r#"{"resources":[{"n":1.50,"uri":"x://1","z":0},{"n":1.50,"uri":"x://same","z":0}]}"#
        );
    }

    #[test]
    fn the_only_server_of_resources_gets_the_unknown_ones() {
        assert_eq!(catalog([lists(&[], &[], &[])]).resource("any://thing"), Some(0));
    }
}
