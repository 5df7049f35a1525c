//! Where a signal goes over OTLP, and in which form.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Scheme;

use super::ways::Signal;
use super::{Warning, read};
use crate::error::{EndpointError, InstallError};
use crate::options::{Options, Protocol};

/// How long one export may take, with all its attempts; the default of OpenTelemetry.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A place that takes one signal over OTLP.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The whole URL as it is shown, without what stands after a `?`; of gRPC without the method.
    pub(crate) endpoint: String,
    /// What is asked there.
    pub(crate) uri: Uri,
    /// Whether it is a wish of the environment, which may fail, or of the configuration.
    pub(crate) from_env: bool,
    pub(crate) protocol: Protocol,
    /// What goes with each request; the values are secrets.
    pub(crate) headers: HeaderMap,
    /// How long one export may take, with all its attempts.
    pub(crate) timeout: Duration,
    /// Whether bodies are compressed.
    pub(crate) gzip: bool,
    /// Files about trust; of no meaning without TLS.
    pub(crate) trust: Trust,
}

/// Files about trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Who may have signed the certificate of the collector, instead of whom the system trusts.
    pub(crate) roots: Option<PathBuf>,
    /// The certificate that this side shows.
    pub(crate) certificate: Option<PathBuf>,
    /// The key of it.
    pub(crate) key: Option<PathBuf>,
}

/// The variable of one signal before that of all.
pub(super) type Pair = [&'static str; 2];

/// The variables about OTLP.
pub(super) struct Names {
    pub(super) endpoint: Pair,
    pub(super) protocol: Pair,
    pub(super) headers: Pair,
    pub(super) timeout: Pair,
    pub(super) compression: Pair,
    pub(super) insecure: Pair,
    pub(super) roots: Pair,
    pub(super) certificate: Pair,
    pub(super) key: Pair,
}

/// Names the variables of a signal.
macro_rules! names {
    ($signal:literal) => {
        names!($signal:
            endpoint "ENDPOINT", protocol "PROTOCOL", headers "HEADERS", timeout "TIMEOUT",
            compression "COMPRESSION", insecure "INSECURE", roots "CERTIFICATE",
            certificate "CLIENT_CERTIFICATE", key "CLIENT_KEY")
    };
    ($signal:literal: $( $field:ident $what:literal ),+) => {
        $crate::plan::endpoint::Names { $( $field: [
            concat!("OTEL_EXPORTER_OTLP_", $signal, "_", $what),
            concat!("OTEL_EXPORTER_OTLP_", $what),
        ] ),+ }
    };
}
pub(super) use names;

/// Finds where a signal goes; none if nobody says it, or says it in a way that cannot be followed.
pub(super) fn target(
    options: &Options,
    signal: &Signal,
    is_named: bool,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Target>, InstallError> {
    let given = read::first(options, signal.names.endpoint);
    let configured = options.endpoint.as_deref().filter(|_| given.is_none());
    let protocol = match configured {
        // A protocol of the environment is that of an endpoint of the environment.
        Some(_) => options.protocol,
        None if given.is_none() && !is_named => return Ok(None),
        None => match protocol(options, signal, warnings) {
            Some(protocol) => protocol,
            None => return Ok(None),
        },
    };
    let place = match (given, configured) {
        (Some((variable, text)), _) => {
            let is_base = variable == signal.names.endpoint[1];
            match place(options, signal, text, is_base, protocol) {
                Ok(place) => place,
                Err(error) => {
                    warnings.push(Warning { variable, problem: error.as_warning() });
                    return Ok(None);
                }
            }
        }
        (None, Some(text)) => {
            place(options, signal, text.trim(), true, protocol).map_err(InstallError::Endpoint)?
        }
        (None, None) => {
            let usual = match protocol {
                Protocol::Grpc => "http://localhost:4317",
                Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318",
            };
            place(options, signal, usual, true, protocol).map_err(InstallError::Endpoint)?
        }
    };
    let (endpoint, uri) = place;
    let file = |names| read::first(options, names).map(|(_, path)| PathBuf::from(path));
    Ok(Some(Target {
        endpoint,
        uri,
        from_env: configured.is_none(),
        protocol,
        headers: headers(options, signal, warnings),
        timeout: timeout(options, signal, warnings),
        gzip: gzip(options, signal, warnings),
        trust: Trust {
            roots: file(signal.names.roots),
            certificate: file(signal.names.certificate),
            key: file(signal.names.key),
        },
    }))
}

/// Reads what an endpoint of the environment speaks.
fn protocol(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> Option<Protocol> {
    let Some((variable, name)) = read::first(options, signal.names.protocol) else {
        return Some(Protocol::HttpProtobuf);
    };
    let found = Protocol::named(name);
    if found.is_none() {
        let problem = "is neither http/protobuf, http/json nor grpc; nothing is sent";
        warnings.push(Warning { variable, problem });
    }
    found
}

/// Checks an endpoint; returns it as it is shown, and what is asked there.
fn place(
    options: &Options,
    signal: &Signal,
    text: &str,
    is_base: bool,
    protocol: Protocol,
) -> Result<(String, Uri), EndpointError> {
    let is_grpc = protocol == Protocol::Grpc;
    let text = match text.contains("://") {
        true => text.to_owned(),
        // Only gRPC knows places without a scheme, and then a variable says what is meant.
        false if is_grpc => {
            let insecure = read::first(options, signal.names.insecure);
            let is_plain = insecure.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
            format!("{}://{text}", if is_plain { "http" } else { "https" })
        }
        false => return Err(EndpointError::NotHttp),
    };
    let (_, rest) = text.split_once("://").ok_or(EndpointError::NotHttp)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(EndpointError::Credentials);
    }
    if !is_host_and_port(authority) {
        return Err(EndpointError::NotHttp);
    }
    // Some collectors are given a key there.
    let (plain, query) = text.find('?').map_or((&*text, ""), |at| text.split_at(at));
    let place = match is_base && !is_grpc {
        true => format!("{}{}", plain.trim_end_matches('/'), signal.path),
        false => plain.to_owned(),
    };
    let shown = if query.is_empty() { place.clone() } else { format!("{place}?…") };
    let uri: Uri = format!("{place}{query}").parse().map_err(|_| EndpointError::NotHttp)?;
    let is_http = matches!(uri.scheme(), Some(it) if *it == Scheme::HTTP || *it == Scheme::HTTPS);
    if !is_http {
        return Err(EndpointError::NotHttp);
    }
    if !is_grpc {
        return Ok((shown, uri));
    }
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(signal.method.parse().map_err(|_| EndpointError::NotHttp)?);
    let uri = Uri::from_parts(parts).map_err(|_| EndpointError::NotHttp)?;
    Ok((shown, uri))
}

/// Whether this names a host, and a port only if there is such a port.
fn is_host_and_port(authority: &str) -> bool {
    // The last colon of a bare IPv6 address is inside its brackets.
    match authority.rsplit_once(':').filter(|_| !authority.ends_with(']')) {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
        None => !authority.is_empty(),
    }
}

/// Reads what goes with each request.
fn headers(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> HeaderMap {
    let Some((variable, list)) = read::first(options, signal.names.headers) else {
        return HeaderMap::new();
    };
    let header = |(name, value): (String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let found: Option<HeaderMap> =
        read::pairs(list).and_then(|pairs| pairs.into_iter().map(header).collect());
    found.unwrap_or_else(|| {
        let problem = "is not of the form name=value,name=value; no header is sent";
        warnings.push(Warning { variable, problem });
        HeaderMap::new()
    })
}

/// Reads how long an export may take.
fn timeout(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> Duration {
    let found = signal.names.timeout.into_iter();
    let mut found = found.filter_map(|name| read::milliseconds(options, name, warnings));
    found.next().unwrap_or(TIMEOUT)
}

/// Reads whether bodies are compressed.
fn gzip(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> bool {
    match read::first(options, signal.names.compression) {
        Some((_, value)) if value.eq_ignore_ascii_case("gzip") => true,
        Some((variable, value)) if !value.eq_ignore_ascii_case("none") => {
            let problem = "is neither gzip nor none; nothing is compressed";
            warnings.push(Warning { variable, problem });
            false
        }
        Some(_) | None => false,
    }
}
