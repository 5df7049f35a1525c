//! The one place that knows every implementation: turns words of the configuration into
//! options. What they are for is joined in `fleet.rs`.

use crate::tokens::Tokens;
use mcplex_admin::audit::{Allowed, Policy};
use mcplex_auth::{Algorithm, Issuer, UrlFault, WebOptions, resource};
use mcplex_config::{Config, Process, Reach, Remote, Server, Supervise};
use mcplex_proto::{
    handshake::EraChoice,
    modern,
    raw::Raw,
    transport::{Grace, LogSink, Transport},
    upstream::UpstreamName,
};
use mcplex_router::{DownReply, IncomingContext, Isolation, Naming, Propagate};
use mcplex_supervisor::{
    Change, EraMemory, Host, HostOptions, OnExitZero, Options, ProbeOptions, Restart, Spec, Starts,
    ThisHost,
};
use mcplex_telemetry::propagators;
use mcplex_transport_http::dial::{self, HttpTransport, Style};
use mcplex_transport_stdio::{Command, StdioTransport, guard::Guard};
use serde_json::json;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// What an upstream is given that no entry describes.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Where what it writes goes.
    pub(crate) log: Arc<dyn LogSink>,
    /// Which era it belongs to.
    pub(crate) verdicts: Arc<dyn EraMemory>,
    /// What gets tokens for it.
    pub(crate) tokens: Tokens,
}

/// Everything the upstream of a server's entry needs to live.
pub(crate) fn spec(
    config: &Config,
    server: &Server,
    name: UpstreamName,
    parts: Parts,
    host: &Host,
    seed: u64,
) -> Spec {
    let Change { transport, options, starts, verdicts } = change(server, name.clone(), parts);
    Spec {
        name,
        member: None,
        transport,
        options,
        capabilities: capabilities(),
        client_info: Raw::of(&json!({
            "name": config.gateway.name,
            "version": env!("CARGO_PKG_VERSION"),
        })),
        starts,
        seed,
        host: host.clone(),
        verdicts,
    }
}

/// When a server's entry wants it to be started.
fn starts(server: &Server) -> Starts {
    match (server.enabled, server.supervise.lazy) {
        (false, _) => Starts::Never,
        (true, true) => Starts::Lazy,
        (true, false) => Starts::Now,
    }
}

/// The host that all upstreams of this process share.
pub(crate) fn host(config: &Config, seed: u64) -> Host {
    Host::new(host_options(&config.host), Arc::new(ThisHost), seed)
}

fn host_options(words: &mcplex_config::Host) -> HostOptions {
    HostOptions {
        max_starts: match words.max_starts {
            0 => HostOptions::starts_of_this_host(),
            most => most,
        },
        starts_per_second: words.starts_per_second,
        starts_burst: words.starts_burst,
        fd_reserve: words.fd_reserve,
    }
}

/// What of it may change while the upstream is there.
pub(crate) fn change(server: &Server, name: UpstreamName, parts: Parts) -> Change {
    let Parts { log, verdicts, tokens } = parts;
    let (transport, may_install): (Arc<dyn Transport>, _) = match &server.reach {
        Reach::Process(process) => {
            let command = command(process, &server.supervise, name);
            let command = Command { log: Some(log), ..command };
            (Arc::new(StdioTransport::new(command)), installs(&process.command))
        }
        // It has no log that could be read.
        Reach::Http(words) => {
            let authorize = tokens.authorize(&server.name, words);
            let remote = remote(words, &server.supervise, name);
            (Arc::new(HttpTransport::new(dial::Remote { authorize, ..remote })), false)
        }
    };
    Change {
        transport,
        options: Options {
            first_handshake_timeout: may_install
                .then_some(server.supervise.first_handshake_timeout),
            tells_trace: propagate(server).trace,
            stderr_tail: server.telemetry.stderr_tail,
            ..options(&server.supervise)
        },
        starts: starts(server),
        verdicts,
    }
}

/// Whether the program may download what it runs.
pub(crate) fn installs(command: &str) -> bool {
    const INSTALLERS: &[&str] = &["npx", "uvx", "bunx", "pnpm", "pipx", "uv", "docker", "podman"];
    // On Windows some of them are batch files.
    let name = Path::new(command).file_stem().and_then(|name| name.to_str());
    name.is_some_and(|name| INSTALLERS.contains(&name))
}

/// What upstreams are told a client can do: all that can be carried. Whether the client of a call
/// can is known only then, and a request it cannot answer is refused then.
fn capabilities() -> Raw {
    Raw::of(&json!({
        "roots": { "listChanged": true },
        "sampling": { "tools": {}, "context": {} },
        "elicitation": { "form": {}, "url": {} },
        // Some servers show what has a page of its own only to whoever says this.
        "extensions": { (modern::APPS_EXTENSION): { "mimeTypes": ["text/html;profile=mcp-app"] } },
    }))
}

/// The child that a server's entry describes.
pub(crate) fn command(process: &Process, supervise: &Supervise, name: UpstreamName) -> Command {
    Command {
        env: process.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        cwd: process.cwd.clone(),
        max_line: supervise.max_line,
        stderr_lines: supervise.stderr_lines,
        guard: match supervise.guard {
            mcplex_config::Guard::Auto => Guard::of_this_program(grace(supervise)),
            mcplex_config::Guard::Off => None,
        },
        ..Command::new(name, &process.command).with_args(process.args.clone())
    }
}

/// The server elsewhere that a server's entry describes.
fn remote(words: &Remote, supervise: &Supervise, name: UpstreamName) -> dial::Remote {
    dial::Remote {
        headers: words.headers.clone(),
        style: match words.transport {
            mcplex_config::HttpTransport::Auto => Style::Auto,
            mcplex_config::HttpTransport::Http => Style::Streamable,
            mcplex_config::HttpTransport::Sse => Style::Sse,
        },
        max_message: supervise.max_line,
        ..dial::Remote::new(name, &words.url)
    }
}

pub(crate) fn router_options(config: &Config) -> mcplex_router::Options {
    mcplex_router::Options {
        name: config.gateway.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        naming: match config.router.naming {
            mcplex_config::Naming::Prefix => Naming::Prefix,
            mcplex_config::Naming::OnCollision => Naming::OnCollision,
            mcplex_config::Naming::None => Naming::None,
        },
        separator: config.router.separator.clone(),
        list_changed_interval: config.router.list_changed_interval,
        first_list_wait: config.router.first_list_wait,
        single_user: config.router.single_user,
        input_wait: config.router.input_wait,
        suspended: config.router.max_suspended,
        suspended_per_client: config.router.max_suspended_per_client,
        down_reply: match config.router.down_reply {
            mcplex_config::DownReply::Result => DownReply::Result,
            mcplex_config::DownReply::Error => DownReply::Error,
        },
        incoming_context: incoming_context(config),
        ..mcplex_router::Options::default()
    }
}

/// What becomes of the trace that a caller names; `OTEL_PROPAGATORS` may only take away.
fn incoming_context(config: &Config) -> IncomingContext {
    match config.telemetry.incoming_context {
        mcplex_config::IncomingContext::Parent if propagators().trace => IncomingContext::Parent,
        mcplex_config::IncomingContext::Link if propagators().trace => IncomingContext::Link,
        mcplex_config::IncomingContext::Parent
        | mcplex_config::IncomingContext::Link
        | mcplex_config::IncomingContext::Ignore => IncomingContext::Ignore,
    }
}

/// What of a caller's context an upstream gets.
pub(crate) fn propagate(server: &Server) -> Propagate {
    let mcplex_config::Propagate { trace, baggage } = server.telemetry.propagate;
    let ours = propagators();
    Propagate { trace: trace && ours.trace, baggage: baggage && ours.baggage }
}

/// How the children of an upstream are shared out.
pub(crate) fn isolation(words: &Supervise) -> Isolation {
    match words.isolation {
        mcplex_config::Isolation::Shared => Isolation::Shared,
        mcplex_config::Isolation::Session => Isolation::Session { limit: words.session_limit },
        mcplex_config::Isolation::Pool => Isolation::Pool { size: words.pool_size },
    }
}

fn options(words: &Supervise) -> Options {
    Options {
        restart: match words.restart {
            mcplex_config::Restart::Always => Restart::Always,
            mcplex_config::Restart::OnFailure => Restart::OnFailure,
            mcplex_config::Restart::Never => Restart::Never,
        },
        on_exit_0: match words.on_exit_0 {
            mcplex_config::OnExitZero::Restart => OnExitZero::Restart,
            mcplex_config::OnExitZero::Idle => OnExitZero::Idle,
        },
        idle_stop: (!words.idle_stop.is_zero()).then_some(words.idle_stop),
        start_wait: words.start_wait,
        handshake_timeout: words.handshake_timeout,
        // Told by the command and by how it is traced, not by these words.
        first_handshake_timeout: None,
        tells_trace: true,
        stderr_tail: false,
        era: match words.era {
            mcplex_config::Era::Auto => EraChoice::Auto,
            mcplex_config::Era::Legacy => EraChoice::Legacy,
            mcplex_config::Era::Modern => EraChoice::Modern,
            mcplex_config::Era::LegacyFirst => EraChoice::LegacyFirst,
        },
        era_wait: words.era_wait,
        call_timeout: words.call_timeout,
        max_concurrency: words.max_concurrency,
        queue_limit: words.queue_limit,
        queue_wait: words.queue_wait,
        max_deaths: words.max_deaths,
        window: words.window,
        max_run: words.max_run,
        stable_after: words.stable_after,
        backoff_first: words.backoff_first,
        backoff_factor: words.backoff_factor,
        backoff_max: words.backoff_max,
        cooldown_first: words.cooldown_first,
        cooldown_factor: words.cooldown_factor,
        cooldown_max: words.cooldown_max,
        cooldown_permanent: words.cooldown_permanent,
        cooldown_jitter: percent(words.cooldown_jitter),
        cooldown_never: words.cooldown_never,
        probation: words.probation,
        auto_trials: words.auto_trials,
        grace: grace(words),
        close_recheck: words.close_recheck,
        probe: words.probe.then_some(ProbeOptions {
            every: words.probe_every,
            timeout: words.probe_timeout,
            misses: words.probe_misses,
        }),
        write_stall: words.write_stall,
    }
}

fn grace(words: &Supervise) -> Grace {
    Grace { eof: words.grace_eof, term: words.grace_term, kill: words.grace_kill }
}

/// The configuration checks that it is between 0 and 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 0 and 100"
)]
fn percent(part: f64) -> u32 {
    (part.clamp(0.0, 1.0) * 100.0).round() as u32
}

/// What a client over pipes or a socket is told.
pub(crate) fn stdio_options(config: &Config) -> mcplex_transport_stdio::Options {
    mcplex_transport_stdio::Options {
        max_depth: config.gateway.max_depth,
        max_batch: config.gateway.max_batch,
        drain: config.gateway.drain,
        ..mcplex_transport_stdio::Options::default()
    }
}

/// What the HTTP listener is told.
pub(crate) fn http_options(config: &Config) -> mcplex_transport_http::Options {
    let words = &config.gateway;
    mcplex_transport_http::Options {
        path: words.path.clone(),
        sse_path: words.sse_path.clone(),
        allowed_hosts: words.allowed_hosts.clone(),
        allowed_origins: words.allowed_origins.clone(),
        max_body: words.max_body,
        max_bodies: words.max_bodies,
        max_head: words.max_head,
        max_depth: words.max_depth,
        max_batch: words.max_batch,
        max_connections: words.max_connections,
        max_sessions: words.max_sessions,
        max_calls: words.max_calls,
        max_listens: words.max_listens,
        head_timeout: words.head_timeout,
        read_timeout: words.body_timeout,
        write_timeout: words.write_timeout,
        session_idle: words.session_idle,
        drain: words.drain,
        ..mcplex_transport_http::Options::default()
    }
}

/// Whose tokens the endpoint at this address takes.
pub(crate) fn auth_options(
    config: &Config,
    bound: SocketAddr,
) -> Result<resource::Options, UrlFault> {
    let words = &config.auth;
    let here = || format!("http://{bound}{}", config.gateway.path);
    let defaults = resource::Options::new(words.resource.clone().unwrap_or_else(here));
    let issuers: Result<_, _> = words.issuers.iter().map(|text| Issuer::new(text)).collect();
    let named = words.algorithms.iter().filter_map(|name| Algorithm::named(name));
    Ok(resource::Options {
        name: Some(config.gateway.name.clone()),
        issuers: issuers?,
        scopes: words.scopes.clone(),
        audiences: words.audiences.clone(),
        algorithms: if words.algorithms.is_empty() { defaults.algorithms } else { named.collect() },
        skew: words.skew,
        keys_age: words.keys_age,
        keys_pause: words.keys_pause,
        resource: defaults.resource,
    })
}

/// How their keys are fetched.
pub(crate) fn web_options(words: &mcplex_config::Auth) -> WebOptions {
    WebOptions { private_addresses: words.private_addresses, ..WebOptions::default() }
}

/// What is kept of the upstreams' logs.
pub(crate) fn log_limits(config: &Config) -> mcplex_admin::logs::Limits {
    let words = &config.history;
    mcplex_admin::logs::Limits {
        size: words.log_size as u64,
        files: words.log_files,
        total: words.log_total as u64,
    }
}

/// What is kept of the log of mcplex itself.
pub(crate) fn log_file_limits(words: &mcplex_config::Telemetry) -> mcplex_journal::Limits {
    kept(words.log_file_size, words.log_file_age, words.log_file_total)
}

/// What is kept of which calls were made.
pub(crate) fn audit_limits(words: &mcplex_config::Audit) -> mcplex_journal::Limits {
    kept(words.size, words.age, words.total)
}

fn kept(size: usize, age: Duration, total: usize) -> mcplex_journal::Limits {
    mcplex_journal::Limits {
        size: size as u64,
        age: (!age.is_zero()).then_some(age),
        // As many as fit.
        files: usize::MAX,
        total: total as u64,
    }
}

/// What of their arguments may be seen there.
pub(crate) fn audit_policy(words: &mcplex_config::Audit) -> Policy {
    let allowed = |allowed: &mcplex_config::AllowedArgument| Allowed {
        upstream: allowed.upstream.clone(),
        name: allowed.tool.clone(),
        pointer: allowed.pointer.clone(),
    };
    Policy {
        names: match words.arguments {
            mcplex_config::AuditArguments::Names => true,
            mcplex_config::AuditArguments::None => false,
        },
        allow: words.allow.iter().map(allowed).collect(),
    }
}

/// What is kept of their deaths.
pub(crate) fn crash_limits(config: &Config) -> mcplex_admin::crashes::Limits {
    let words = &config.history;
    mcplex_admin::crashes::Limits { reports: words.crash_reports, total: words.crash_total as u64 }
}

/// The longest that ending an upstream may take.
pub(crate) fn longest_end(words: &Supervise) -> Duration {
    words.grace_eof + words.grace_term + words.grace_kill
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_config::Sources;

    #[test]
    fn programs_that_download_what_they_run_are_known() {
        let check = |command, expect| assert_eq!(installs(command), expect, "{command}");
        check("npx", true);
        check("/usr/local/bin/uvx", true);
        check("npx.cmd", true);
        check("node", false);
        check("/opt/npx-server/bin/run", false);
    }

    #[test]
    fn the_defaults_of_the_file_are_those_of_the_crates() {
        let config = Config::load(Sources::default()).unwrap().config;
        assert_eq!(options(&config.supervise), Options::default());
        assert_eq!(isolation(&config.supervise), Isolation::default());
        assert_eq!(host_options(&config.host), HostOptions::default());
        let mcplex_config::Propagate { trace, baggage } = config.telemetry.propagate;
        assert_eq!(Propagate { trace, baggage }, Propagate::default());
        assert_eq!(config.telemetry.stderr_tail, Options::default().stderr_tail);
        let http = mcplex_transport_http::Options::default();
        assert_eq!(format!("{:?}", http_options(&config)), format!("{http:?}"));
        let bound = "127.0.0.1:3100".parse().unwrap();
        let auth = resource::Options {
            name: Some("mcplex".to_owned()),
            ..resource::Options::new("http://127.0.0.1:3100/mcp")
        };
        assert_eq!(format!("{:?}", auth_options(&config, bound).unwrap()), format!("{auth:?}"));
        let web = WebOptions::default();
        assert_eq!(format!("{:?}", web_options(&config.auth)), format!("{web:?}"));
        assert_eq!(audit_policy(&config.audit), Policy::default());
        let router = mcplex_router::Options::default();
        assert_eq!(format!("{:?}", router_options(&config)), format!("{router:?}"));
        let name = UpstreamName::new("a").unwrap();
        assert_eq!(config.supervise.max_line, Command::new(name.clone(), "a").max_line);
        assert_eq!(config.supervise.max_line, dial::Remote::new(name, "http://a").max_message);
        assert_eq!(config.supervise.stderr_lines, Command::STDERR_LINES);
    }
}
