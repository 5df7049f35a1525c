//! Where a signal goes, and whether it goes by OTLP at all.

use super::Warning;
use crate::error::{EndpointError, InstallError};
use crate::options::Options;

/// The variables of one signal, and what OTLP appends to a base endpoint for it.
pub(super) struct Signal {
    endpoint: &'static str,
    exporter: &'static str,
    protocol: &'static str,
    path: &'static str,
    /// Whether somebody may come and read it.
    can_be_read: bool,
}

/// Spans.
pub(super) const TRACES: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    exporter: "OTEL_TRACES_EXPORTER",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    path: "/v1/traces",
    can_be_read: false,
};

/// Metrics.
pub(super) const METRICS: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    exporter: "OTEL_METRICS_EXPORTER",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    path: "/v1/metrics",
    can_be_read: true,
};

/// Which ways out the environment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Over OTLP, if there is an endpoint.
    pub(super) otlp: bool,
    /// As text; `None` leaves it to the options.
    pub(super) prometheus: Option<bool>,
}

/// Finds the URL for a signal, and whether the environment gave it.
pub(super) fn find(
    options: &Options,
    signal: &Signal,
    warnings: &mut Vec<Warning>,
) -> Result<Option<(String, bool)>, InstallError> {
    for (variable, path) in [(signal.endpoint, ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", signal.path)] {
        let Some(value) = options.variable(variable) else { continue };
        return Ok(match url(value, path) {
            Ok(url) => Some((url, true)),
            Err(error) => {
                let problem = match error {
                    EndpointError::Https => {
                        "asks for https, which is not supported; nothing is sent"
                    }
                    EndpointError::NotHttp => {
                        "is not of the form http://host:port; nothing is sent"
                    }
                    EndpointError::Credentials => {
                        "holds credentials, use ..._HEADERS; nothing is sent"
                    }
                };
                warnings.push(Warning { variable, problem });
                None
            }
        });
    }
    let Some(base) = &options.endpoint else { return Ok(None) };
    let url = url(base.trim(), signal.path).map_err(InstallError::Endpoint)?;
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

/// Reads which ways out are wanted; several are told apart by commas.
pub(super) fn exporters(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> Wanted {
    let variable = signal.exporter;
    let Some(names) = options.variable(variable) else {
        return Wanted { otlp: true, prometheus: None };
    };
    let mut wanted = Wanted { otlp: false, prometheus: Some(false) };
    for name in names.split(',').map(str::trim) {
        match name {
            // It switches on what leaves; what can be read is for the options to say.
            "otlp" => {
                wanted.otlp = true;
                wanted.prometheus = wanted.prometheus.filter(|is_wanted| *is_wanted);
            }
            "none" => {}
            "prometheus" if signal.can_be_read => wanted.prometheus = Some(true),
            _ => {
                let problem = match signal.can_be_read {
                    true => "names an exporter other than otlp, prometheus and none; it is skipped",
                    false => "names an exporter other than otlp and none; it is skipped",
                };
                warnings.push(Warning { variable, problem });
            }
        }
    }
    wanted
}

/// Whether the environment's endpoint speaks what is spoken here.
pub(super) fn is_spoken(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> bool {
    let variables = [signal.protocol, "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let set = variables.into_iter().find_map(|name| Some((name, options.variable(name)?)));
    match set {
        None | Some((_, "http/protobuf")) => true,
        Some((variable, _)) => {
            let problem = "asks for a protocol other than http/protobuf, the only one supported \
                           (port 4318 of most collectors); nothing is sent";
            warnings.push(Warning { variable, problem });
            false
        }
    }
}
