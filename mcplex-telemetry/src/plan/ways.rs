//! Which ways out a signal takes.

use super::endpoint::{self, Names, names};
use super::{Warning, Way};
use crate::error::InstallError;
use crate::options::Options;

/// The variables of one signal, and where OTLP puts it.
pub(super) struct Signal {
    pub(super) exporter: &'static str,
    pub(super) names: Names,
    /// What HTTP appends to a base endpoint.
    pub(super) path: &'static str,
    /// What gRPC calls.
    pub(super) method: &'static str,
    /// Whether an endpoint alone is enough for it to leave.
    is_on: bool,
    /// Whether somebody may come and read it.
    can_be_read: bool,
}

/// Spans.
pub(super) const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    names: names!("TRACES"),
    path: "/v1/traces",
    method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    is_on: true,
    can_be_read: false,
};

/// Metrics.
pub(super) const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    names: names!("METRICS"),
    path: "/v1/metrics",
    method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    is_on: true,
    can_be_read: true,
};

/// Log records, which are on stderr anyway.
pub(super) const LOGS: Signal = Signal {
    exporter: "OTEL_LOGS_EXPORTER",
    names: names!("LOGS"),
    path: "/v1/logs",
    method: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    is_on: false,
    can_be_read: false,
};

/// Which ways out the environment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Over OTLP, if there is an endpoint.
    pub(super) otlp: bool,
    /// Whether it was named, so that the usual endpoint is meant if none is given.
    pub(super) is_named: bool,
    /// As lines on stderr.
    pub(super) console: bool,
    /// As text; `None` leaves it to the options.
    pub(super) prometheus: Option<bool>,
}

/// Reads which ways out are wanted; several are told apart by commas.
pub(super) fn wanted(options: &Options, signal: &Signal, warnings: &mut Vec<Warning>) -> Wanted {
    let variable = signal.exporter;
    let nothing = Wanted { otlp: false, is_named: false, console: false, prometheus: None };
    let Some(names) = options.variable(variable) else {
        return Wanted { otlp: signal.is_on, ..nothing };
    };
    let mut wanted = Wanted { prometheus: Some(false), ..nothing };
    for name in names.split(',').map(str::trim) {
        match name {
            // It switches on what leaves; what can be read is for the options to say.
            "otlp" => {
                (wanted.otlp, wanted.is_named) = (true, true);
                wanted.prometheus = wanted.prometheus.filter(|is_wanted| *is_wanted);
            }
            "console" => wanted.console = true,
            "none" => {}
            "prometheus" if signal.can_be_read => wanted.prometheus = Some(true),
            _ => {
                let problem = match signal.can_be_read {
                    true => {
                        "names an exporter other than otlp, console, prometheus and none; it is \
                         skipped"
                    }
                    false => "names an exporter other than otlp, console and none; it is skipped",
                };
                warnings.push(Warning { variable, problem });
            }
        }
    }
    wanted
}

/// Finds the ways out; none if the signal does not leave.
pub(super) fn way(
    options: &Options,
    signal: &Signal,
    wanted: Wanted,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Way>, InstallError> {
    let otlp = match wanted.otlp {
        true => endpoint::target(options, signal, wanted.is_named, warnings)?,
        false => None,
    };
    let way = Way { otlp, console: wanted.console };
    Ok((way.otlp.is_some() || way.console).then_some(way))
}
