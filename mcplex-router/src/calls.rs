//! Requests of clients on their way to an upstream.

use crate::{
    catalog::{Catalog, Miss, Route},
    link::Link,
    member::{Flight, Member},
    params::{Params, Rewrite},
    refresh,
    router::DownReply,
    session::{DownstreamSession, uri_of},
    spans::{self, Subject},
};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mcplex_proto::{
    edit,
    error::{ErrorObject, RESOURCE_NOT_FOUND},
    id::Id,
    message::{Extra, Notification, Outcome, Request},
    method,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{Call, Upstream, UpstreamError},
};
use serde_json::{json, value::RawValue};
use std::sync::Arc;
use tracing::Span;

/// "Open these URLs first" (revision 2025-11-25).
const URL_ELICITATION_REQUIRED: i64 = -32042;

/// URLs of one such error that are remembered; people open one or two.
const MAX_ELICITATIONS: usize = 16;

/// A call that is ready to go.
pub(crate) struct Planned {
    call: Call,
    upstream: Arc<dyn Upstream>,
    cancelled: oneshot::Receiver<()>,
    span: Span,
    in_flight: InFlight,
    aim: Aim,
}

/// What has to happen beside the call itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aim {
    Tool,
    Subscribe(String),
    Other,
}

/// Where a request goes, and under which name.
struct Target<'a> {
    link: Arc<Link>,
    /// The upstream's own name as JSON, and the member it replaces.
    name: Option<(&'a RawValue, Arc<str>)>,
    aim: Aim,
}

/// Keeps a call in the tables for as long as somebody waits for it.
struct InFlight {
    session: Arc<DownstreamSession>,
    link: Arc<Link>,
    member: Arc<Member>,
    id: u64,
    about: Id,
    /// The resource whose first subscriber this is, until the upstream agrees.
    subscribes: Option<String>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(uri) = &self.subscribes {
            self.give_up(uri);
        }
        self.session.end(&self.about);
        self.member.lands(self.id);
    }
}

impl InFlight {
    /// The subscription did not come about; whoever joined it meanwhile was told that it had.
    fn give_up(&self, uri: &str) {
        self.link.unsubscribe(uri, self.session.number);
        let member = self.link.member();
        if let (true, Some(upstream)) = (self.link.is_subscribed(uri), member.upstream()) {
            refresh::subscribe(&**upstream, uri);
        }
    }

    /// An error may ask the client to open URLs first; it will want to hear when that is done.
    fn note_elicitations(&self, error: &Raw) {
        let error = ErrorObject::read(error);
        if error.code != URL_ELICITATION_REQUIRED {
            return;
        }
        let elicitations = error.data.as_ref().and_then(|data| data["elicitations"].as_array());
        for elicitation in elicitations.into_iter().flatten().take(MAX_ELICITATIONS) {
            if let Some(id) = elicitation["elicitationId"].as_str() {
                self.link.elicits(id.to_owned(), self.session.number);
            }
        }
    }
}

/// An answer that needs no upstream.
type Local = Result<Raw, ErrorObject>;

/// Finds the upstream of a request and writes the request in its words.
pub(crate) fn plan(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'_>,
    span: &Span,
) -> Result<Planned, Local> {
    let target = find(session, request, params)?;
    let link = &target.link;
    let member = link.member();
    let Some(upstream) = member.upstream().cloned() else {
        return Err(Err(ErrorObject::new(
            mcplex_proto::error::UPSTREAM_UNAVAILABLE,
            format!("Upstream {} is not there yet. The call was not sent; try again.", link.name),
        )));
    };
    let id = upstream.mint();
    let Some(cancelled) = session.begin(&request.id, &member, id) else {
        let why = "a request with this id is being served, or the session is closed";
        return Err(Err(ErrorObject::invalid_request(&why)));
    };
    if let Aim::Subscribe(uri) = &target.aim
        && !link.subscribe(uri, session.number)
    {
        session.end(&request.id);
        return Err(Ok(Raw::empty_object()));
    }
    let client = client_span(span, request, params, &target, id);
    let context = trace::context_of(&client);
    let token = params.token().map(Raw::of);
    let rewrite = Rewrite {
        name: target.name.as_ref().map(|(member, name)| (*member, &**name)),
        token: token.is_some().then_some(id),
        traceparent: context.as_ref().map(TraceContext::to_traceparent),
    };
    let params = params.rewrite(&rewrite).or_else(|| request.params.clone());
    let flight =
        Flight { session: session.me(), about: request.id.clone(), token, progress: f64::MIN };
    member.takes_off(id, flight);
    let subscribes = match &target.aim {
        Aim::Subscribe(uri) => Some(uri.clone()),
        Aim::Tool | Aim::Other => None,
    };
    let about = request.id.clone();
    let in_flight =
        InFlight { session: session.me(), link: target.link, member, id, about, subscribes };
    let call = Call {
        id,
        method: request.method.clone(),
        params,
        extra: request.extra.clone(),
        timeout: None,
        trace: context,
        is_upkeep: false,
    };
    Ok(Planned { call, upstream, cancelled, span: client, in_flight, aim: target.aim })
}

fn client_span(
    server: &Span,
    request: &Request,
    params: &Params<'_>,
    target: &Target<'_>,
    id: u64,
) -> Span {
    if server.is_disabled() {
        return Span::none();
    }
    let renamed = target.name.as_ref().and_then(|(_, name)| serde_json::from_str(name).ok());
    let name: Option<String> = renamed
        .or_else(|| params.get("name").and_then(raw::string).map(std::borrow::Cow::into_owned));
    let uri = uri_of(params);
    let is_tool = target.aim == Aim::Tool;
    let subject = Subject {
        tool: name.as_deref().filter(|_| is_tool),
        prompt: name.as_deref().filter(|_| !is_tool),
        uri: uri.as_deref(),
    };
    spans::client(server, &request.method, subject, id, &target.link.name)
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

/// Where the request goes; or what to answer when it goes nowhere.
fn find<'a>(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'a>,
) -> Result<Target<'a>, Local> {
    let catalog = session.shared.catalog();
    match &*request.method {
        method::TOOLS_CALL => {
            let (member, name) = params.string("name").map_err(Err)?;
            let route =
                catalog.tool(&name).map_err(|miss| match absent(&catalog, &name, &miss) {
                    Some(error) => tool_refusal(session, &error),
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
        Self { link: link.clone(), name: None, aim }
    }

    fn named(catalog: &Catalog, route: &Route, member: &'a RawValue, aim: Aim) -> Self {
        let name = route.own_name.clone().map(|name| (member, name));
        Self { link: catalog.link(route.upstream).clone(), name, aim }
    }
}

/// Why an upstream did not answer, where a name can only be one of an upstream that has never listed
/// any: it tripped before, or is disabled.
fn absent(catalog: &Catalog, name: &str, miss: &Miss<'_>) -> Option<UpstreamError> {
    let is_absent = |link: &&Arc<Link>| {
        link.lists().info.is_none() && catalog.rule().strip_prefix(name, &link.name).is_some()
    };
    let link = catalog.links().iter().find(is_absent).filter(|_| *miss == Miss::Unknown)?;
    Some(UpstreamError::of_status(&link.name, &link.member().upstream()?.status()))
}

fn tool_refusal(session: &DownstreamSession, error: &UpstreamError) -> Local {
    match session.shared.options().down_reply {
        DownReply::Result => Ok(error.to_tool_result()),
        DownReply::Error => Err(error.to_client()),
    }
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
    if link.unsubscribe(&uri, session.number) {
        Ok(Target::of(link, Aim::Other))
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
    if can(&target.link, "completions", None) {
        return Ok(target);
    }
    // Clients were told that completions exist, because some upstream may have them.
    Err(Ok(Raw::of(&json!({ "completion": { "values": [] } }))))
}

impl Planned {
    /// Waits for the answer; `None` when the client cancelled and wants none.
    pub(crate) async fn run(self, server: &Span) -> Option<(Outcome, Extra)> {
        let Self { call, upstream, cancelled, span, mut in_flight, aim } = self;
        let answer = match select(upstream.call(call), cancelled).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Ok(()), _)) => {
                spans::cancelled(server, &span);
                return None;
            }
            // The session was dropped; nobody is left to answer.
            Either::Right((Err(oneshot::Canceled), _)) => return None,
        };
        match answer.as_ref().map(|reply| &reply.outcome) {
            Ok(Outcome::Result(_)) => in_flight.subscribes = None,
            Ok(Outcome::Error(error)) => in_flight.note_elicitations(error),
            Err(_) => {}
        }
        match answer {
            Ok(reply) => {
                spans::answered(server, &span, &reply);
                Some((reply.outcome, reply.extra))
            }
            Err(error) => {
                let refusal = in_flight.refusal(&error, &aim);
                spans::failed(server, &span, &error, &refusal);
                Some((refusal, Extra::default()))
            }
        }
    }
}

impl InFlight {
    /// What a client reads when its upstream gave no answer.
    fn refusal(&self, error: &UpstreamError, aim: &Aim) -> Outcome {
        let reply = self.session.shared.options().down_reply;
        match (aim, reply) {
            (Aim::Tool, DownReply::Result) => Outcome::Result(error.to_tool_result()),
            (Aim::Tool | Aim::Subscribe(_) | Aim::Other, _) => {
                Outcome::Error(Raw::of(&error.to_client()))
            }
        }
    }
}

/// Tells an upstream that an answer is no longer wanted.
pub(crate) fn cancel(upstream: &dyn Upstream, id: u64, reason: Option<&Raw>) {
    let id = id.to_string();
    let mut members = vec![("requestId", &*id)];
    if let Some(reason) = reason {
        members.push(("reason", reason.as_str()));
    }
    let params = edit::object(members);
    upstream.send(None, Notification::new(method::CANCELLED, Some(params)).into());
}
