//! How long requests take, told when they end.

use crate::audit::Noted;
use mcplex_proto::{
    attr,
    message::{Outcome, Request},
    method,
    metric::{self, Held, Label, Metric},
    peer::{Peer, Place, network_labels},
    trace::TraceContext,
    upstream::{Incarnation, UpstreamName},
    version::Version,
};
use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tracing::Span;

use crate::spans::{self, Later};

/// A request that is watched: its span, and what is measured of it where numbers are kept.
///
/// Both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Written before the span ends, which is behind it.
    _later: Option<Box<Later>>,
    pub(crate) span: Span,
    /// Where the span stands, of one that others hang below; boxed, because requests are copied.
    context: Option<Box<TraceContext>>,
    /// How it ended was written down.
    is_told: AtomicBool,
    /// Requests to upstreams that were made of it.
    tries: AtomicU32,
    measured: Option<Box<Measured>>,
    /// What will be told of it, where that is wanted.
    noted: Option<Box<Noted>>,
}

/// What the number of a request will say.
#[derive(Debug)]
struct Measured {
    metric: Metric,
    since: Duration,
    method: Cow<'static, str>,
    version: Option<Version>,
    network: Option<&'static str>,
    /// Where the upstream is, of a request to one.
    place: Option<Arc<Place>>,
    /// What it is for, once that is known to exist.
    aim: OnceLock<(UpstreamName, Option<String>)>,
    end: OnceLock<End>,
    /// Counted among the requests that are served.
    _active: Held,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    /// With one of the words of [`attr`].
    Failed(&'static str),
    /// With an error of JSON-RPC, which may be no failure of who answers.
    Answered {
        code: i64,
        is_failure: bool,
    },
}

impl Watched {
    /// A request of a client.
    pub(crate) fn asked(
        span: Span,
        request: &Request,
        network: &'static str,
        version: Option<Version>,
    ) -> Self {
        let measure = |since| {
            Box::new(Measured {
                metric: Metric::ServerDuration,
                since,
                method: method::intern(&request.method),
                version,
                network: Some(network),
                place: None,
                aim: OnceLock::new(),
                end: OnceLock::new(),
                _active: Held::new(Metric::RequestActive, &[]),
            })
        };
        Self::new(span, metric::now().map(measure))
    }

    fn new(span: Span, measured: Option<Box<Measured>>) -> Self {
        let (is_told, tries) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { _later: None, span, context: None, is_told, tries, measured, noted: None }
    }

    /// A request whose span stands there, with a link that is written at its end.
    pub(crate) fn within(mut self, context: Option<TraceContext>, later: Option<Later>) -> Self {
        (self.context, self._later) = (context.map(Box::new), later.map(Box::new));
        self
    }

    /// Where the span stands, of one that others hang below.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.context.as_deref()
    }

    /// A request of mcplex itself to an upstream.
    pub(crate) fn own(
        span: Span,
        method: &str,
        upstream: &UpstreamName,
        (version, peer): (Option<Version>, Option<&Peer>),
    ) -> Self {
        let measure = |since| {
            Box::new(Measured {
                metric: Metric::ClientDuration,
                since,
                method: method::intern(method),
                version,
                network: peer.map(|peer| peer.network),
                place: peer.map(|peer| Arc::clone(&peer.place)),
                aim: OnceLock::from((upstream.clone(), None)),
                end: OnceLock::new(),
                _active: Held::default(),
            })
        };
        Self::new(span, metric::now().map(measure))
    }

    /// What is not measured.
    pub(crate) fn unmeasured(span: Span) -> Self {
        Self::new(span, None)
    }

    /// Counts a request that is made of it, from 1.
    pub(crate) fn tries(&self) -> u32 {
        self.tries.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether any was.
    pub(crate) fn has_tried(&self) -> bool {
        self.tries.load(Ordering::Relaxed) > 0
    }

    /// Whether nothing was written down of its end before; the first word counts.
    pub(crate) fn is_first_word(&self) -> bool {
        !self.is_told.swap(true, Ordering::Relaxed)
    }

    /// The request at an upstream that is made of it; the name is the one the upstream knows.
    pub(crate) fn sent(
        &self,
        span: Span,
        upstream: &UpstreamName,
        (asked, name): (Option<&str>, Option<&str>),
        (version, peer): (Option<Version>, Option<&Peer>),
    ) -> Self {
        let measure = |server: &Measured| {
            let aim = |name: Option<&str>| (upstream.clone(), name.map(str::to_owned));
            // It was written before, for the other era.
            let _is_new = server.aim.set(aim(asked)).is_ok();
            Some(Box::new(Measured {
                metric: Metric::ClientDuration,
                since: metric::now()?,
                method: server.method.clone(),
                version,
                network: peer.map(|peer| peer.network),
                place: peer.map(|peer| Arc::clone(&peer.place)),
                aim: OnceLock::from(aim(name)),
                end: OnceLock::new(),
                _active: Held::default(),
            }))
        };
        if let Some(noted) = &self.noted {
            noted.sent();
        }
        Self::new(span, self.measured.as_deref().and_then(measure))
    }

    /// The same request, whose end is told.
    pub(crate) fn noted(mut self, note: impl FnOnce(&Span) -> Option<Box<Noted>>) -> Self {
        self.noted = note(&self.span);
        self
    }

    /// Whether numbers are kept, or its end is told.
    pub(crate) fn is_measured(&self) -> bool {
        self.measured.is_some() || self.noted.is_some()
    }

    /// It is for this upstream, which knows what is meant by this name.
    pub(crate) fn goes_to(
        &self,
        upstream: &UpstreamName,
        own_name: impl FnOnce() -> Option<String>,
    ) {
        if let Some(noted) = &self.noted {
            noted.goes_to(upstream, own_name().as_deref());
        }
    }

    /// This life of the upstream has it.
    pub(crate) fn is_with(&self, incarnation: Incarnation) {
        if let Some(noted) = &self.noted {
            noted.is_with(incarnation);
        }
    }

    /// What the client is told, if it is told anything.
    pub(crate) fn told(&self, outcome: Option<&Outcome>) {
        if let (Some(noted), Some(outcome)) = (&self.noted, outcome) {
            noted.told(outcome);
        }
    }

    /// It was not sent.
    pub(crate) fn refused(&self, error: &'static str) {
        if let Some(noted) = &self.noted {
            noted.ended("rejected", Some(Cow::Borrowed(error)), None);
        }
        self.failed(error);
    }

    /// It has come to what it was for, and its span ends.
    pub(crate) fn is_done(&self) {
        let _is_first = self.is_first_word();
        self.succeeded();
    }

    pub(crate) fn succeeded(&self) {
        self.end(End::Well);
    }

    pub(crate) fn failed(&self, error: &'static str) {
        self.end(End::Failed(error));
    }

    /// It was answered with an error.
    pub(crate) fn answered(&self, code: i64, is_failure: bool) {
        self.end(End::Answered { code, is_failure });
    }

    fn end(&self, end: End) {
        if let Some(noted) = &self.noted {
            let (outcome, error, code) = end.told();
            noted.ended(outcome, error, code);
        }
        if let Some(measured) = &self.measured {
            // The first word counts, as for the span: what follows is how it is told.
            let _is_first = measured.end.set(end).is_ok();
        }
    }
}

impl Drop for Watched {
    /// Whoever waited for it may have left, and what was to come of it was dropped with that: the
    /// number and the audit log then say the same.
    fn drop(&mut self) {
        if !self.span.is_disabled() {
            spans::given_up(self);
        }
    }
}

impl End {
    /// In the words of the audit log.
    fn told(self) -> (&'static str, Option<Cow<'static, str>>, Option<i64>) {
        match self {
            Self::Well => ("ok", None, None),
            Self::Failed(error @ attr::ERROR_CANCELLED) => ("cancelled", Some(error.into()), None),
            Self::Failed(error) => ("error", Some(error.into()), None),
            Self::Answered { code, .. } => ("error", Some(code.to_string().into()), Some(code)),
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let end = self.end.get().copied().unwrap_or(End::Failed(attr::ERROR_CANCELLED));
        let code = match end {
            End::Answered { code, .. } => Some(metric::code_label(code)),
            End::Well | End::Failed(_) => None,
        };
        let error = match end {
            End::Well => None,
            End::Failed(error) => Some(error),
            End::Answered { is_failure, .. } => code.as_deref().filter(|_| is_failure),
        };
        let (upstream, name) = match self.aim.get() {
            Some((upstream, name)) => (Some(upstream.as_str()), name.as_deref()),
            None => (None, Some(attr::ERROR_OTHER)),
        };
        let is_tool = self.method == method::TOOLS_CALL;
        let is_prompt = self.method == method::PROMPTS_GET;
        // What is not in the specification is whatever a client likes to write.
        let method = match &self.method {
            Cow::Borrowed(known) => known,
            Cow::Owned(_) => attr::ERROR_OTHER,
        };
        let [network, protocol, of_protocol] = network_labels(self.network);
        let place = self.place.as_deref();
        let port = place.and_then(|place| place.port).map(|port| port.to_string());
        let labels: [Label<'_>; 13] = [
            (attr::MCP_METHOD_NAME, Some(method)),
            (attr::GEN_AI_TOOL_NAME, name.filter(|_| is_tool)),
            (attr::GEN_AI_PROMPT_NAME, name.filter(|_| is_prompt)),
            (attr::GEN_AI_OPERATION_NAME, is_tool.then_some("execute_tool")),
            (attr::MCP_PROTOCOL_VERSION, self.version.map(Version::as_str)),
            network,
            protocol,
            of_protocol,
            (attr::SERVER_ADDRESS, place.and_then(|place| place.host.as_deref())),
            (attr::SERVER_PORT, port.as_deref()),
            (attr::RPC_RESPONSE_STATUS_CODE, code.as_deref()),
            (attr::ERROR_TYPE, error),
            (attr::UPSTREAM_NAME, upstream),
        ];
        metric::since(self.metric, self.since, &labels);
    }
}
