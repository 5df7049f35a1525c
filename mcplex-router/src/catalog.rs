//! Every tool, prompt and resource, by the name a client sees.
//!
//! A catalog is never changed: when a list changes, a new one is built and takes its place. The
//! answers to the list methods are built with it, so that listing a thousand tools costs a
//! pointer.

use crate::{
    link::Link,
    lists::{Item, Kind, Lists},
    naming::{self, Names, Rule},
    template,
};
use mcplex_proto::{edit, header::HeaderParams, raw::Raw};
use std::{collections::BTreeMap, sync::Arc};

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
    /// The whole result of each list method.
    results: [Raw; 4],
    /// Upstreams that serve resources at all.
    with_resources: Vec<usize>,
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
    pub(crate) fn build(rule: Rule, links: Vec<Arc<Link>>) -> Self {
        let lists: Vec<_> = links.iter().map(|link| link.lists()).collect();
        let (tools, tool_list) = named(Kind::Tools, &rule, &links, &lists);
        let (prompts, prompt_list) = named(Kind::Prompts, &rule, &links, &lists);
        let (resources, resource_list) = join_resources(&links, &lists);
        let templates = all(&lists, Kind::Templates);
        let templates = templates.map(|(upstream, item)| (item.key.clone(), upstream)).collect();
        let template_list = all(&lists, Kind::Templates).map(|(_, item)| item.raw.as_str());
        let template_list = list_result(Kind::Templates, template_list);
        let serves_resources = |&index: &usize| {
            lists[index].info.as_ref().is_some_and(|info| info.can("resources", None))
        };
        let with_resources = (0..lists.len()).filter(serves_resources).collect();
        let results = [tool_list, prompt_list, resource_list, template_list];
        Self { links, rule, tools, prompts, resources, templates, results, with_resources }
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

    /// The result of a list method.
    pub(crate) fn result(&self, kind: Kind) -> Raw {
        self.results[kind as usize].clone()
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

fn join_resources(links: &[Arc<Link>], lists: &[Arc<Lists>]) -> (BTreeMap<String, usize>, Raw) {
    let mut owners = BTreeMap::new();
    let mut shown = Vec::new();
    for (upstream, item) in all(lists, Kind::Resources) {
        let first = *owners.entry(item.key.clone()).or_insert(upstream);
        if first == upstream {
            shown.push(item.raw.as_str());
        } else {
            tracing::warn!(uri = item.key, wins = %links[first].name,
                hidden = %links[upstream].name, "two upstreams list the same resource");
        }
    }
    (owners, list_result(Kind::Resources, shown))
}

fn all(lists: &[Arc<Lists>], kind: Kind) -> impl Iterator<Item = (usize, &Item)> {
    lists
        .iter()
        .enumerate()
        .flat_map(move |(upstream, lists)| lists.of(kind).iter().map(move |item| (upstream, item)))
}

/// The table of a kind whose items clients know by name, and the result that lists them.
fn named(kind: Kind, rule: &Rule, links: &[Arc<Link>], lists: &[Arc<Lists>]) -> (Table, Raw) {
    let upstreams: Vec<_> = links.iter().map(|link| link.name.clone()).collect();
    let own: Vec<Vec<String>> = lists
        .iter()
        .map(|lists| lists.of(kind).iter().map(|item| item.key.clone()).collect())
        .collect();
    let Names { shown, ambiguous, shadowed } = naming::assign(rule, &upstreams, &own);
    for (upstream, name) in shadowed {
        tracing::warn!(upstream = %upstreams[upstream], name, list = kind.member(),
            "a name stands twice and only the first can be reached");
    }
    let mut routes = BTreeMap::new();
    let mut texts = Vec::with_capacity(shown.len());
    for shown in shown {
        let item = &lists[shown.upstream].of(kind)[shown.index];
        let is_renamed = shown.name != item.key;
        let own_name = is_renamed.then(|| Raw::of(&item.key).as_str().into());
        texts.push(if is_renamed {
            edit::with_members(&item.raw, &[(kind.key(), Raw::of(&shown.name).as_str())])
        } else {
            item.raw.clone()
        });
        let header_params = header_params(kind, item);
        let route = Route { upstream: shown.upstream, own_name, header_params };
        routes.insert(shown.name, route);
    }
    (Table { routes, ambiguous }, list_result(kind, texts.iter().map(Raw::as_str)))
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

fn list_result<'a>(kind: Kind, items: impl IntoIterator<Item = &'a str>) -> Raw {
    edit::object([(kind.member(), edit::array(items).as_str())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{naming::Naming, router::UpstreamKey};
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
        }
    }

    fn catalog<const N: usize>(lists: [Lists; N]) -> Catalog {
        let link = |(name, lists)| {
            let link = Link::new(UpstreamKey(1), UpstreamName::new(name).unwrap());
            link.set_lists(lists);
            Arc::new(link)
        };
        let rule = Rule { naming: Naming::OnCollision, separator: "__".to_owned() };
        Catalog::build(rule, ["a", "b"].into_iter().zip(lists).map(link).collect())
    }

    #[test]
    fn a_list_is_the_upstreams_own_bytes_but_for_the_names_that_collide() {
        let catalog = catalog([lists(&["x", "e"], &[], &[]), lists(&["e"], &[], &[])]);
        assert_eq!(
            catalog.result(Kind::Tools).as_str(),
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
        assert_eq!(catalog.result(Kind::Prompts).as_str(), r#"{"prompts":[]}"#);
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
            catalog.result(Kind::Resources).as_str(),
            r#"{"resources":[{"n":1.50,"uri":"x://1","z":0},{"n":1.50,"uri":"x://same","z":0}]}"#
        );
    }

    #[test]
    fn the_only_server_of_resources_gets_the_unknown_ones() {
        assert_eq!(catalog([lists(&[], &[], &[])]).resource("any://thing"), Some(0));
    }
}
