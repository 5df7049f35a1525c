//! Which upstream a request is for, and under which name it knows what is meant.

use crate::{
    calls::refuse,
    catalog::{Catalog, Miss, Route},
    link::Link,
    measure::Watched,
    member::Member,
    params::Params,
    session::{DownstreamSession, uri_of},
    spans,
    tasks::Role,
};
use mcplex_proto::{
    edit,
    error::{ErrorObject, RESOURCE_NOT_FOUND},
    message::Request,
    method,
    raw::{self, Raw},
    upstream::UpstreamError,
};
use serde_json::{json, value::RawValue};
use std::sync::Arc;

/// Where a request goes, and under which name.
pub(crate) struct Target<'a> {
    pub(crate) link: Arc<Link>,
    /// The upstream's own name as JSON, and the member it replaces.
    pub(crate) name: Option<(&'a RawValue, Arc<str>)>,
    pub(crate) aim: Aim,
    /// The member that alone can answer, and what the call has to do with a task.
    pub(crate) task: Option<(Arc<Member>, Role)>,
}

/// What has to happen beside the call itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Tool,
    Subscribe(String),
    Unsubscribe,
    Other,
}

impl Aim {
    /// Whether a later call builds on this one, or this one on an earlier.
    pub(crate) fn stays(&self) -> bool {
        matches!(self, Self::Subscribe(_) | Self::Unsubscribe)
    }

    /// The resource it subscribes to.
    pub(crate) fn subscribes(&self) -> Option<String> {
        match self {
            Self::Subscribe(uri) => Some(uri.clone()),
            Self::Tool | Self::Unsubscribe | Self::Other => None,
        }
    }
}

/// An answer that needs no upstream.
pub(crate) type Local = Result<Raw, ErrorObject>;

/// Where the request goes; or what to answer when it goes nowhere.
pub(crate) fn find<'a>(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'a>,
    span: &Watched,
) -> Result<Target<'a>, Local> {
    let catalog = session.shared.catalog();
    match &*request.method {
        method::TOOLS_CALL => {
            let (member, name) = params.string("name").map_err(Err)?;
            let route =
                catalog.tool(&name).map_err(|miss| match absent(&catalog, &name, &miss) {
                    Some((link, error)) => {
                        spans::rejected(span, &link.name, &error);
                        refuse(session, &Aim::Tool, &error)
                    }
                    None => Err(unknown("tool", &name, &miss)),
                })?;
            Ok(Target::named(&catalog, route, member, Aim::Tool))
        }
        method::PROMPTS_GET => {
            let (member, name) = params.string("name").map_err(Err)?;
            let route =
                catalog.prompt(&name).map_err(|miss| Err(unknown("prompt", &name, &miss)))?;
            Ok(Target::named(&catalog, route, member, Aim::Other))
        }
        method::RESOURCES_READ => Ok(Target::of(resource(&catalog, params)?, Aim::Other)),
        method::SUBSCRIBE => subscribe(&catalog, params),
        method::UNSUBSCRIBE => unsubscribe(session, &catalog, params),
        method::COMPLETE => complete(&catalog, params),
        other => match catalog.links() {
            // With one upstream there is no doubt who is meant, whatever it is.
            [only] => Ok(Target::of(only, Aim::Other)),
            _ => Err(Err(ErrorObject::method_not_found(other))),
        },
    }
}

impl<'a> Target<'a> {
    fn of(link: &Arc<Link>, aim: Aim) -> Self {
        Self { link: link.clone(), name: None, aim, task: None }
    }

    fn named(catalog: &Catalog, route: &Route, member: &'a RawValue, aim: Aim) -> Self {
        let name = route.own_name.clone().map(|name| (member, name));
        Self { link: catalog.link(route.upstream).clone(), name, aim, task: None }
    }

    /// What the upstream calls it, if that is another name.
    pub(crate) fn own_name(&self) -> Option<String> {
        self.name.as_ref().and_then(|(_, name)| serde_json::from_str(name).ok())
    }

    /// The same as JSON, or the name that the client used.
    pub(crate) fn name_there<'b, 'p: 'b>(&'b self, params: &Params<'p>) -> Option<&'b str> {
        match &self.name {
            Some((_, name)) => Some(name),
            None => params.get("name").map(RawValue::get),
        }
    }

    /// Of a request about a task, which its client and the upstream know by these ids.
    pub(crate) fn of_task(
        link: &Arc<Link>,
        worker: Arc<Member>,
        id: &'a RawValue,
        own: Arc<str>,
    ) -> Self {
        let role = Role::Names(Raw::of(id));
        let task = Some((worker, role));
        Self { link: link.clone(), name: Some((id, own)), aim: Aim::Other, task }
    }
}

/// Why an upstream did not answer, where a name can only be one of an upstream that has never listed
/// any: it tripped before, or is disabled.
fn absent<'a>(
    catalog: &'a Catalog,
    name: &str,
    miss: &Miss<'_>,
) -> Option<(&'a Arc<Link>, UpstreamError)> {
    let is_absent = |link: &&Arc<Link>| {
        link.lists().info.is_none() && catalog.rule().strip_prefix(name, &link.name).is_some()
    };
    let link = catalog.links().iter().find(is_absent).filter(|_| *miss == Miss::Unknown)?;
    let error = UpstreamError::of_status(&link.name, &link.first().upstream()?.status());
    Some((link, error))
}

fn unknown(what: &str, name: &str, miss: &Miss<'_>) -> ErrorObject {
    match miss {
        Miss::Unknown => ErrorObject::invalid_params(format_args!("unknown {what} {name:?}")),
        Miss::Ambiguous(names) => ErrorObject::invalid_params(format_args!(
            "several upstreams have a {what} {name:?}; call one of {}",
            names.join(", ")
        )),
    }
}

fn resource<'a>(catalog: &'a Catalog, params: &Params<'_>) -> Result<&'a Arc<Link>, Local> {
    let (_, uri) = params.string("uri").map_err(Err)?;
    catalog.resource(&uri).map(|upstream| catalog.link(upstream)).ok_or_else(|| {
        let mut error = ErrorObject::new(RESOURCE_NOT_FOUND, "Resource not found");
        error.data = Some(json!({ "uri": uri }));
        Err(error)
    })
}

/// Whether the upstream said that it has something; what it never said it has not.
fn can(link: &Link, capability: &str, option: Option<&str>) -> bool {
    link.lists().info.as_ref().is_some_and(|info| info.can(capability, option))
}

/// An upstream hears of a resource's first subscriber, and of no other.
fn subscribe<'a>(catalog: &Catalog, params: &Params<'a>) -> Result<Target<'a>, Local> {
    let link = resource(catalog, params)?;
    if !can(link, "resources", Some("subscribe")) {
        return Err(Err(ErrorObject::new(
            mcplex_proto::error::METHOD_NOT_FOUND,
            format!("Upstream {} has no subscriptions", link.name),
        )));
    }
    Ok(Target::of(link, Aim::Subscribe(uri_of(params).unwrap_or_default())))
}

/// An upstream hears when the last subscriber of a resource goes.
fn unsubscribe<'a>(
    session: &DownstreamSession,
    catalog: &Catalog,
    params: &Params<'a>,
) -> Result<Target<'a>, Local> {
    let link = resource(catalog, params)?;
    let uri = uri_of(params).unwrap_or_default();
    let has_member = link.member(link.home(session.place)).is_some();
    // What rests with the member of a session goes with it: none is made to be told that.
    if link.unsubscribe(&uri, &session.subscriber(None)) && has_member {
        Ok(Target::of(link, Aim::Unsubscribe))
    } else {
        Err(Ok(Raw::empty_object()))
    }
}

fn complete<'a>(catalog: &Catalog, params: &Params<'a>) -> Result<Target<'a>, Local> {
    let reference = params.get("ref").and_then(|value| edit::members(value.get()));
    let member = |name: &str| {
        let found = reference.iter().flatten().find(|(key, _)| key == name);
        found.and_then(|&(_, value)| Some((value, raw::string(value)?)))
    };
    let bad = |why: &str| Err(ErrorObject::invalid_params(why));
    let target = match member("type").as_ref().map(|(_, kind)| &**kind) {
        Some("ref/prompt") => {
            let (value, name) = member("name").ok_or_else(|| bad("`ref.name` must be a string"))?;
            let route =
                catalog.prompt(&name).map_err(|miss| Err(unknown("prompt", &name, &miss)))?;
            Target::named(catalog, route, value, Aim::Other)
        }
        Some("ref/resource") => {
            let (_, uri) = member("uri").ok_or_else(|| bad("`ref.uri` must be a string"))?;
            let upstream = catalog.template(&uri).ok_or_else(|| bad("`ref.uri` is not known"))?;
            Target::of(catalog.link(upstream), Aim::Other)
        }
        _ => return Err(bad("`ref.type` must be ref/prompt or ref/resource")),
    };
    let argument = params.get("argument").and_then(|value| edit::members(value.get()));
    let is_string = |name: &str| {
        let mut all = argument.iter().flatten();
        all.any(|(key, value)| key == name && value.get().starts_with('"'))
    };
    if !is_string("name") || !is_string("value") {
        return Err(bad("`argument.name` and `argument.value` must be strings"));
    }
    if target.link.lists().info.as_ref().is_some_and(|info| info.completes()) {
        return Ok(target);
    }
    // Clients were told that completions exist, because some upstream may have them.
    Err(Ok(Raw::of(&json!({ "completion": { "values": [] } }))))
}

/// Whether a request names something that no upstream has listed.
pub(crate) fn leads_nowhere(catalog: &Catalog, request: &Request, params: &Params<'_>) -> bool {
    let text = |name| params.get(name).and_then(raw::string);
    match &*request.method {
        method::TOOLS_CALL => {
            text("name").is_some_and(|name| catalog.tool(&name) == Err(Miss::Unknown))
        }
        method::PROMPTS_GET => {
            text("name").is_some_and(|name| catalog.prompt(&name) == Err(Miss::Unknown))
        }
        method::RESOURCES_READ | method::SUBSCRIBE => {
            text("uri").is_some_and(|uri| catalog.resource(&uri).is_none())
        }
        _ => false,
    }
}
