//! Spans of requests that change something; those that only look are made by the dozen, by pages
//! and monitors, and are nobody's cause.

use super::routes::Route;
use hyper::{Request, StatusCode};
use mcplex_proto::{
    attr,
    trace::{self, TraceContext},
};
use tracing::{Span, field::Empty};

/// The span of a request, if it changes something.
pub(super) fn of<B>(request: &Request<B>) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    let is_on = tracing::span_enabled!(target: attr::TARGET_OPERATOR, tracing::Level::INFO);
    let Some(route) = is_on.then(|| Route::path_of(method, request.uri())).flatten() else {
        return Span::none();
    };
    let span = tracing::info_span!(
        target: attr::TARGET_OPERATOR,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = format!("{method} {route}"),
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::HTTP_REQUEST_METHOD } = method.as_str(),
        { attr::HTTP_ROUTE } = route,
        { attr::URL_PATH } = path,
        { attr::URL_SCHEME } = "http",
        { attr::HTTP_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
    );
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let caller =
        text("traceparent").and_then(|parent| TraceContext::parse(parent, text("tracestate")));
    caller.iter().for_each(|caller| trace::set_parent(&span, caller));
    span
}

/// Writes down how it was answered; what the operator did wrong is no failure of ours.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.record(attr::HTTP_RESPONSE_STATUS_CODE, status.as_u16());
    if status.is_server_error() {
        span.record(attr::ERROR_TYPE, status.as_str());
        span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    }
}
