//! From options to decisions, without touching anything.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::EnvFilter;

use crate::error::{EndpointError, InstallError};
use crate::options::{Color, LogFormat, Options};
use crate::sampler;

/// What OTLP appends to a base endpoint.
const TRACES_PATH: &str = "/v1/traces";
/// How many request spans may wait.
///
/// The default of OpenTelemetry, 2048, loses most of a flood even to a healthy collector nearby.
const REQUEST_QUEUE: usize = 8192;
/// The most that `OTEL_BSP_MAX_QUEUE_SIZE` may ask for; the queue is allocated at the start.
const REQUEST_QUEUE_MAX: usize = 1 << 20;
/// How long a request span waits for company; the default of OpenTelemetry.
const DELAY: Duration = Duration::from_secs(5);

/// Everything that is decided before anything is done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which events are logged.
    pub(crate) filter: EnvFilter,
    /// JSON, else text.
    pub(crate) json: bool,
    /// Whether text is colored.
    pub(crate) ansi: bool,
    /// Where spans go; none if they are off.
    pub(crate) export: Option<Export>,
    /// What of the environment could not be followed.
    pub(crate) warnings: Vec<Warning>,
}

/// How spans leave.
#[derive(Debug)]
pub(crate) struct Export {
    /// The whole URL.
    pub(crate) endpoint: String,
    /// Whether the URL is a wish of the environment, which may fail, or of the configuration.
    pub(crate) from_env: bool,
    /// Decides about request spans; lifecycle spans are always taken.
    pub(crate) sampler: Sampler,
    /// The name if nothing else names the service.
    pub(crate) default_service: String,
    /// `OTEL_SERVICE_NAME`.
    pub(crate) service: Option<String>,
    /// How long a span waits for company.
    pub(crate) delay: Duration,
    /// How many request spans may wait.
    pub(crate) queue: usize,
}

/// A variable that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Its name; the value may be a secret.
    pub(crate) variable: &'static str,
    /// What is wrong, and what happens instead.
    pub(crate) problem: &'static str,
}

/// Decides.
pub(crate) fn plan(options: &Options, on_terminal: bool) -> Result<Plan, InstallError> {
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(&options.log_filter)
        .map_err(|source| InstallError::LogFilter { filter: options.log_filter.clone(), source })?;
    let json = match options.log_format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let ansi = match options.color {
        Color::Auto => on_terminal && options.variable("NO_COLOR").is_none(),
        Color::Always => true,
        Color::Never => false,
    };
    let mut warnings = Vec::new();
    let export = export(options, &mut warnings)?;
    Ok(Plan { filter, json, ansi, export, warnings })
}

/// Decides whether spans leave, and how.
fn export(options: &Options, warnings: &mut Vec<Warning>) -> Result<Option<Export>, InstallError> {
    let disabled = options.variable("OTEL_SDK_DISABLED");
    if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let Some((endpoint, from_env)) = endpoint(options, warnings)? else { return Ok(None) };
    let usable =
        exporter_is_known(options, warnings) && (!from_env || protocol_is_known(options, warnings));
    if !usable {
        return Ok(None);
    }
    Ok(Some(Export {
        endpoint,
        from_env,
        sampler: sampler::for_requests(options, warnings),
        default_service: options.service_name.clone(),
        service: options.variable("OTEL_SERVICE_NAME").map(str::to_owned),
        delay: number(options, "OTEL_BSP_SCHEDULE_DELAY", warnings)
            .map_or(DELAY, Duration::from_millis),
        queue: number(options, "OTEL_BSP_MAX_QUEUE_SIZE", warnings)
            .and_then(|size| usize::try_from(size).ok())
            .map_or(REQUEST_QUEUE, |size| size.clamp(1, REQUEST_QUEUE_MAX)),
    }))
}

/// Finds the URL for spans, and whether the environment gave it.
fn endpoint(
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Option<(String, bool)>, InstallError> {
    for (variable, path) in
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", TRACES_PATH)]
    {
        let Some(value) = options.variable(variable) else { continue };
        return Ok(match url(value, path) {
            Ok(url) => Some((url, true)),
            Err(error) => {
                let problem = match error {
                    EndpointError::Https => "asks for https, which is not supported; no spans",
                    EndpointError::NotHttp => "is not of the form http://host:port; no spans",
                    EndpointError::Credentials => "holds credentials, use ..._HEADERS; no spans",
                };
                warnings.push(Warning { variable, problem });
                None
            }
        });
    }
    let Some(base) = &options.endpoint else { return Ok(None) };
    let url = url(base.trim(), TRACES_PATH).map_err(InstallError::Endpoint)?;
    Ok(Some((url, false)))
}

/// Checks a URL and appends the path.
fn url(endpoint: &str, path: &str) -> Result<String, EndpointError> {
    let (scheme, rest) = endpoint.split_once("://").ok_or(EndpointError::NotHttp)?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err(EndpointError::Https);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(EndpointError::Credentials);
    }
    let is_http = scheme.eq_ignore_ascii_case("http") && !rest.contains(char::is_whitespace);
    if !is_http || !is_host_and_port(authority) {
        return Err(EndpointError::NotHttp);
    }
    if path.is_empty() {
        return Ok(endpoint.to_owned());
    }
    Ok(format!("{}{path}", endpoint.trim_end_matches('/')))
}

/// Whether this names a host, and a port only if there is such a port.
fn is_host_and_port(authority: &str) -> bool {
    // The last colon of a bare IPv6 address is inside its brackets.
    match authority.rsplit_once(':').filter(|_| !authority.ends_with(']')) {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
        None => !authority.is_empty(),
    }
}

/// Whether spans are to leave over OTLP.
fn exporter_is_known(options: &Options, warnings: &mut Vec<Warning>) -> bool {
    let variable = "OTEL_TRACES_EXPORTER";
    match options.variable(variable) {
        None | Some("otlp") => true,
        Some("none") => false,
        Some(_) => {
            let problem = "names an exporter other than otlp and none; no spans are exported";
            warnings.push(Warning { variable, problem });
            false
        }
    }
}

/// Whether the environment's endpoint speaks what is spoken here.
fn protocol_is_known(options: &Options, warnings: &mut Vec<Warning>) -> bool {
    let variables = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let set = variables.into_iter().find_map(|name| Some((name, options.variable(name)?)));
    match set {
        None | Some((_, "http/protobuf")) => true,
        Some((variable, _)) => {
            let problem = "asks for a protocol other than http/protobuf, the only one supported \
                           (port 4318 of most collectors); no spans are exported";
            warnings.push(Warning { variable, problem });
            false
        }
    }
}

/// Reads a whole number.
fn number(options: &Options, variable: &'static str, warnings: &mut Vec<Warning>) -> Option<u64> {
    let number = options.variable(variable)?.parse().ok();
    if number.is_none() {
        warnings.push(Warning { variable, problem: "is not a whole number; the default holds" });
    }
    number
}

#[cfg(test)]
mod tests;
