//! What the rest of mcplex is told, section by section.

use crate::{supervise::Supervise, unit};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// All settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The endpoint that clients connect to.
    pub gateway: Gateway,
    /// Who may use the endpoint.
    pub auth: Auth,
    /// Where operators reach it over a network.
    pub admin: Admin,
    /// How the upstreams are shown as one.
    pub router: Router,
    /// Logs and spans.
    pub telemetry: Telemetry,
    /// Which calls were made by whom.
    pub audit: Audit,
    /// What is kept of upstreams on disk.
    pub history: History,
    /// How many starts the host bears.
    pub host: Host,
    /// How an upstream is kept alive unless it says otherwise; each [`Server`] has its own copy.
    pub supervise: Supervise,
    /// The upstreams, in the order of the file.
    pub servers: Vec<Server>,
}

/// The section `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The name that clients see.
    #[serde(deserialize_with = "unit::text")]
    pub name: String,
    /// Where the HTTP endpoint listens.
    #[serde(deserialize_with = "unit::address")]
    pub listen: SocketAddr,
    /// Path of the endpoint; begins with a slash.
    #[serde(deserialize_with = "unit::url_path")]
    pub path: String,
    /// Host headers that are accepted besides those of loopback and of `listen`.
    #[serde(deserialize_with = "unit::hosts")]
    pub allowed_hosts: Vec<String>,
    /// Origin headers that are accepted besides those of loopback.
    #[serde(deserialize_with = "unit::origins")]
    pub allowed_origins: Vec<String>,
    /// Path of the stream for clients of revision 2024-11-05, if they are served.
    #[serde(deserialize_with = "unit::optional_url_path")]
    pub sse_path: Option<String>,
    /// The longest body of a request, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub max_body: usize,
    /// How much bodies that are coming in may take together, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub max_bodies: usize,
    /// The longest head of a request, in bytes.
    #[serde(deserialize_with = "unit::head_size")]
    pub max_head: usize,
    /// How often values may stand inside each other in a message.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_depth: usize,
    /// How many messages a batch may have.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_batch: usize,
    /// How many connections may be open at once.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_connections: usize,
    /// How many sessions may be open at once.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_sessions: usize,
    /// How many calls one session may have in flight.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_calls: usize,
    /// How many subscriptions of stateless clients may be open at once.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_listens: usize,
    /// How long a connection may be silent, and a head may take.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub head_timeout: Duration,
    /// How long a body may take.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is written for it.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub write_timeout: Duration,
    /// How long a session without requests or streams is kept.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub session_idle: Duration,
    /// How long calls in flight may go on when mcplex is asked to end.
    #[serde(deserialize_with = "unit::duration")]
    pub drain: Duration,
    /// Whether the file is watched, and applied when it changes.
    pub watch: bool,
    /// Whether operators and attached clients reach it through a socket.
    pub control: bool,
    /// Where is kept what outlives mcplex, if not in the usual place.
    #[serde(deserialize_with = "unit::path")]
    pub state_dir: Option<PathBuf>,
}

/// The section `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whose tokens are taken; nobody is asked for one when there is none.
    #[serde(deserialize_with = "unit::issuers")]
    pub issuers: Vec<String>,
    /// The endpoint as tokens name it, if not by where it listens.
    #[serde(deserialize_with = "unit::resource")]
    pub resource: Option<String>,
    /// What every token must allow.
    #[serde(deserialize_with = "unit::scopes")]
    pub scopes: Vec<String>,
    /// What tokens may name instead of the resource.
    #[serde(deserialize_with = "unit::names")]
    pub audiences: Vec<String>,
    /// The algorithms that signatures may have; all when there is none.
    #[serde(deserialize_with = "unit::algorithms")]
    pub algorithms: Vec<String>,
    /// How far clocks may be apart.
    #[serde(deserialize_with = "unit::duration")]
    pub skew: Duration,
    /// How long keys are used before they are fetched again.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub keys_age: Duration,
    /// How long after a fetch of keys the next one may be.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub keys_pause: Duration,
    /// Whether documents of others may name addresses of private networks.
    pub private_addresses: bool,
}

/// The section `[admin]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where the API and the dashboard of operators listen, if they do.
    #[serde(deserialize_with = "unit::optional_address")]
    pub listen: Option<SocketAddr>,
    /// What operators have to show; one is made where there is none.
    #[serde(deserialize_with = "unit::token")]
    pub token: Option<String>,
    /// Host headers that are accepted besides those of loopback and of `listen`.
    #[serde(deserialize_with = "unit::hosts")]
    pub allowed_hosts: Vec<String>,
    /// Where traces can be looked at, for links.
    #[serde(deserialize_with = "unit::endpoint")]
    pub traces: Option<String>,
}

impl fmt::Debug for Admin {
    /// Leaves out the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("listen", &self.listen)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("traces", &self.traces)
            .finish_non_exhaustive()
    }
}

/// The section `[router]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// When a name gets its upstream as a prefix.
    pub naming: Naming,
    /// What stands between prefix and name.
    #[serde(deserialize_with = "unit::separator")]
    pub separator: String,
    /// How a tool call is answered while its upstream is down.
    pub down_reply: DownReply,
    /// The shortest time between two `list_changed` of one list.
    #[serde(deserialize_with = "unit::duration")]
    pub list_changed_interval: Duration,
    /// How long a list waits for servers that are still starting.
    #[serde(deserialize_with = "unit::duration")]
    pub first_list_wait: Duration,
    /// Whether all clients that prove nothing are of one person.
    pub single_user: bool,
    /// How long a question to a stateless client may stay unanswered.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub input_wait: Duration,
    /// How many calls of stateless clients may wait for answers at once.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_suspended: usize,
    /// The same of one client.
    #[serde(deserialize_with = "unit::positive_count")]
    pub max_suspended_per_client: usize,
}

/// When a name gets its upstream as a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Always.
    Prefix,
    /// Where two upstreams use the same name.
    OnCollision,
    /// Never; of two equal names the first is shown.
    None,
}

/// How a tool call is answered while its upstream is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownReply {
    /// As a tool result with `isError`.
    Result,
    /// As a JSON-RPC error.
    Error,
}

/// The section `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Where spans are sent, if the file says so; the standard variables are read elsewhere.
    #[serde(deserialize_with = "unit::endpoint")]
    pub endpoint: Option<String>,
    /// What is spoken there.
    pub protocol: OtlpProtocol,
    /// Whether numbers are kept for who reads them as text of Prometheus.
    pub prometheus: bool,
    /// The name under which spans and metrics appear.
    #[serde(deserialize_with = "unit::text")]
    pub service_name: String,
    /// What is logged: a level or directives.
    #[serde(deserialize_with = "unit::text")]
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The file the log goes to as well; one that is not absolute is below the state folder.
    #[serde(deserialize_with = "unit::file")]
    pub log_file: Option<PathBuf>,
    /// How long that file may become, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub log_file_size: usize,
    /// How long it is written before the next begins; zero is for ever.
    #[serde(deserialize_with = "unit::duration")]
    pub log_file_age: Duration,
    /// How much it and its older ones may take, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub log_file_total: usize,
    /// What becomes of the trace that a caller says its request belongs to.
    pub incoming_context: IncomingContext,
    /// What of a caller's context upstreams get; each [`Server`] has its own copy.
    #[serde(deserialize_with = "unit::propagate")]
    pub propagate: Propagate,
    /// Whether the span of a death has what the upstream wrote last; each [`Server`] has its own copy.
    pub stderr_tail: bool,
}

/// The section `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Where every call gets a line, if it does; one that is not absolute is below the state folder.
    #[serde(deserialize_with = "unit::file")]
    pub file: Option<PathBuf>,
    /// What is written of arguments that `allow` does not name.
    pub arguments: AuditArguments,
    /// Whose values are written.
    #[serde(deserialize_with = "unit::allowed")]
    pub allow: Vec<AllowedArgument>,
    /// How long one file may become, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub size: usize,
    /// How long one file is written before the next begins; zero is for ever.
    #[serde(deserialize_with = "unit::duration")]
    pub age: Duration,
    /// How much all of them may take, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub total: usize,
}

/// What the audit log has of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditArguments {
    /// Their names, kinds and sizes.
    Names,
    /// Nothing.
    None,
}

/// An argument whose value may stand in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedArgument {
    /// Whose tool or prompt.
    pub upstream: String,
    /// Its name there; `*` is all.
    pub tool: String,
    /// A JSON pointer into the arguments.
    pub pointer: String,
}

/// What becomes of the trace that a caller says its request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncomingContext {
    /// The request goes on in it.
    Parent,
    /// The request begins a trace of its own, with a link to it.
    Link,
    /// The request begins a trace of its own.
    Ignore,
}

/// What of a caller's context goes on to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagate {
    /// The trace: `traceparent` and `tracestate`.
    pub trace: bool,
    /// What the caller says of itself: `baggage`.
    pub baggage: bool,
}

/// How one upstream is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// What of a caller's context it gets.
    pub propagate: Propagate,
    /// Whether the span of its death has what it wrote last.
    pub stderr_tail: bool,
}

/// The section `[history]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long one file of a log may become, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub log_size: usize,
    /// How many files are kept of one log.
    #[serde(deserialize_with = "unit::positive_count")]
    pub log_files: usize,
    /// How much all logs may take, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub log_total: usize,
    /// How many crash reports are kept of each upstream.
    #[serde(deserialize_with = "unit::positive_count")]
    pub crash_reports: usize,
    /// How much all crash reports may take, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub crash_total: usize,
}

/// The section `[host]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// How many upstreams may be starting at once; 0 is two per processor.
    pub max_starts: usize,
    /// How many starts may begin per second in the long run; at least 1.
    #[serde(deserialize_with = "unit::positive_number")]
    pub starts_per_second: u32,
    /// How many may begin at once after a quiet time; at least 1.
    #[serde(deserialize_with = "unit::positive_number")]
    pub starts_burst: u32,
    /// How many file descriptors must be free for a start to begin.
    pub fd_reserve: usize,
}

/// What is spoken to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OtlpProtocol {
    /// OTLP over HTTP, as protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// OTLP over HTTP, as JSON.
    #[serde(rename = "http/json")]
    HttpJson,
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// One table of `[[servers]]`: an upstream.
#[derive(Clone, PartialEq, Debug)]
pub struct Server {
    /// 1 to 64 letters, digits, `_` and `-`; unique.
    pub name: String,
    /// What it is.
    pub reach: Reach,
    /// Whether it is started at all; texts of a server that is not keep their `${NAME}`.
    pub enabled: bool,
    /// How it is kept alive: `[supervise]` with its own table over it.
    pub supervise: Supervise,
    /// How it is traced: `[telemetry]` with its own table over it.
    pub telemetry: Tracing,
}

/// How an upstream is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It is a program that mcplex starts.
    Process(Process),
    /// It runs elsewhere.
    Http(Remote),
}

/// A program that mcplex starts.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// A path, or a name that is looked for in PATH.
    pub command: String,
    /// What it is started with.
    pub args: Vec<String>,
    /// Variables on top of the environment of mcplex.
    pub env: BTreeMap<String, String>,
    /// Where it is started, if not in the directory of mcplex.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Process {
    /// Leaves out the values of `args` and `env`, which are where secrets are passed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// A server that runs elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// `http://` or `https://`, without a name and password.
    pub url: String,
    /// What goes with every request.
    pub headers: BTreeMap<String, String>,
    /// Which of the two transports over HTTP it has.
    pub transport: HttpTransport,
    /// How tokens are got for it, if they are.
    pub auth: Option<RemoteAuth>,
}

impl Remote {
    /// The address without its query, which may be a secret.
    #[must_use]
    pub fn shown_url(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or_default()
    }
}

impl fmt::Debug for Remote {
    /// Leaves out the values of `headers` and the query, which are where secrets are passed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.shown_url())
            .field("headers", &self.headers.keys())
            .field("transport", &self.transport)
            .field("auth", &self.auth)
            .finish()
    }
}

/// How tokens of OAuth are got for a server.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteAuth {
    /// Who hands them out; nobody else is told what follows. A login may learn it from the server.
    pub issuer: Option<String>,
    /// Our name there, if somebody has arranged one.
    pub client_id: Option<String>,
    /// Where a document about us lies, for issuers that read such.
    pub client_document: Option<String>,
    /// What shows that it is ours.
    pub client_secret: Option<String>,
    /// Where the secret is sent.
    pub secret_in: SecretPlace,
    /// What shows it otherwise: a key in PEM.
    pub private_key: Option<String>,
    /// The name under which its public half is known.
    pub key_id: Option<String>,
    /// On whose behalf tokens are asked for.
    pub grant: TokenGrant,
    /// The first refresh token; a newer one is kept beside the configuration.
    pub refresh_token: Option<String>,
    /// What tokens are to allow.
    pub scopes: Vec<String>,
}

impl fmt::Debug for RemoteAuth {
    /// Leaves out what must not be seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAuth")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("client_document", &self.client_document)
            .field("grant", &self.grant)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Where a client's secret is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretPlace {
    /// In the header (`client_secret_basic`).
    #[default]
    Header,
    /// In the form (`client_secret_post`).
    Form,
}

/// On whose behalf tokens are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenGrant {
    /// That of mcplex itself.
    #[default]
    ClientCredentials,
    /// That of a person who agreed earlier.
    RefreshToken,
    /// That of a person who agrees by `mcplex login`.
    Login,
}

impl TokenGrant {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client-credentials",
            Self::RefreshToken => "refresh-token",
            Self::Login => "login",
        }
    }
}

impl Default for RemoteAuth {
    /// What holds for a server whose file says nothing: whoever logs in decides.
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_document: None,
            client_secret: None,
            secret_in: SecretPlace::default(),
            private_key: None,
            key_id: None,
            grant: TokenGrant::Login,
            refresh_token: None,
            scopes: Vec::new(),
        }
    }
}

/// Which of the two transports over HTTP a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpTransport {
    /// Streamable HTTP; HTTP+SSE where that is refused.
    #[default]
    Auto,
    /// Streamable HTTP alone.
    Http,
    /// HTTP+SSE alone.
    Sse,
}
