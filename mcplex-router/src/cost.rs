//! What a call does for its spans and nothing else does, so that a bench can do it alone.

use crate::{
    calls,
    link::Link,
    measure::Watched,
    params::Params,
    router::{Router, UpstreamKey},
    session::DownstreamSession,
    spans,
    target::{Aim, Target},
};
use mcplex_proto::{
    downstream::{Arrival, Client, Principal, Stay},
    id::Id,
    message::{Extra, Message, Outcome, Request},
    method,
    raw::Raw,
    trace,
    upstream::{Incarnation, Reply, UpstreamName},
    version::Version,
};
use std::{fmt, hint, sync::Arc};

/// A call that is made and answered again and again, without anything but its spans.
pub struct Traced {
    session: Arc<DownstreamSession>,
    link: Arc<Link>,
    request: Request,
    reply: Reply,
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").finish_non_exhaustive()
    }
}

/// Nobody.
struct Deaf;

impl Client for Deaf {
    fn send(&self, _: Message, _: Option<&Id>) -> bool {
        false
    }

    fn network(&self) -> &'static str {
        "tcp"
    }
}

impl Traced {
    /// A call of a tool with a small argument.
    ///
    /// # Panics
    /// Never: all that is read is written here.
    #[must_use]
    pub fn new(router: &Router) -> Self {
        let arrival = Arrival { principal: Principal::Anybody, stay: Stay::Long };
        let session = router.downstream(Arc::new(Deaf), arrival);
        let raw = |text: &str| Raw::parse(text.to_owned()).expect("this constant is JSON");
        let request = Request {
            id: Id::from(1),
            method: method::TOOLS_CALL.into(),
            params: Some(raw(r#"{"name":"echo","arguments":{"text":"0123456789abcdef"}}"#)),
            extra: Extra::default(),
        };
        let answer = raw(r#"{"content":[{"type":"text","text":"0123456789abcdef"}]}"#);
        let reply = Reply {
            outcome: Outcome::Result(answer),
            extra: Extra::default(),
            from: Incarnation(1),
        };
        let name = UpstreamName::new("echo").expect("this constant is a name");
        let link = Arc::new(Link::new(UpstreamKey(1), name));
        Self { session, link, request, reply }
    }

    /// Does so many times what one call does for its spans; parameters are read once, because a call
    /// reads them anyway.
    pub fn run(&self, times: u32) {
        let params = Params::read(self.request.params.as_ref());
        let version = Some(Version::LATEST_LEGACY);
        for id in 0..u64::from(times) {
            // The listener and whoever counts calls ask too.
            hint::black_box((trace::is_on(), trace::is_on(), trace::is_on()));
            let server = spans::server(&self.session, &self.request, &params, version);
            let target = Target { link: self.link.clone(), name: None, aim: Aim::Tool, task: None };
            let client = self.client(&server, &params, &target, id);
            let carry = calls::carry(&self.link, client.context());
            hint::black_box((&carry, server.context()));
            spans::answered(&server, &client, &self.reply, true);
            hint::black_box((server, client));
        }
    }

    fn client(
        &self,
        server: &Watched,
        params: &Params<'_>,
        target: &Target<'_>,
        id: u64,
    ) -> Watched {
        let version = Some(Version::LATEST_LEGACY);
        calls::client_span(server, &self.request, params, target, (id, version, None))
    }
}
