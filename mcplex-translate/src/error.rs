//! Errors of calls.

use mcplex_proto::{
    error::{
        ErrorObject, HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CLIENT_CAPABILITY,
        RESOURCE_NOT_FOUND, UNSUPPORTED_VERSION, URL_ELICITATION_REQUIRED,
    },
    raw::Raw,
    version::{Era, Version},
};
use serde_json::{Value, json};

/// URLs of one error that are read; people open one or two.
const MAX_URLS: usize = 16;

/// The error of a call as a client of another revision knows it; `None` when it is that already.
///
/// `can_declare` says whether a capability that the upstream misses is one that the client could
/// declare; only then it is the client's to hear of.
#[must_use]
pub fn to_client(error: &Raw, from: Version, to: Version, can_declare: bool) -> Option<Raw> {
    let object = ErrorObject::read(error);
    let is_modern = to.era() == Era::Modern;
    let new = match object.code {
        RESOURCE_NOT_FOUND if is_modern => ErrorObject { code: INVALID_PARAMS, ..object },
        MISSING_CLIENT_CAPABILITY if is_modern && can_declare => return None,
        // Between mcplex and the upstream; to the client they would speak of its own request.
        HEADER_MISMATCH | UNSUPPORTED_VERSION | MISSING_CLIENT_CAPABILITY
            if from.era() == Era::Modern || is_modern =>
        {
            internal(&object)
        }
        // The range is the specification's, and a stateless client may know only what is defined.
        -32099..=-32020 if is_modern => internal(&object),
        _ => return None,
    };
    Some(Raw::of(&new))
}

/// -32603 with what was said in its data.
fn internal(said: &ErrorObject) -> ErrorObject {
    let mut data = json!({ "code": said.code, "message": said.message });
    if let Some(inner) = &said.data {
        data["data"] = inner.clone();
    }
    ErrorObject {
        code: INTERNAL_ERROR,
        message: format!("The upstream refused the call: {}", said.message),
        data: Some(json!({ "upstreamError": data })),
    }
}

/// An error that asks to open URLs first, as the result of a tool, for clients of revisions that do
/// not know it; `None` for every other error.
#[must_use]
pub fn urls_as_result(error: &Raw) -> Option<Raw> {
    let object = ErrorObject::read(error);
    if object.code != URL_ELICITATION_REQUIRED {
        return None;
    }
    let mut lines = vec![object.message.clone()];
    for elicitation in elicitations(&object) {
        let said = |name: &str| elicitation[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!("{} {}", said("message"), said("url")).trim().to_owned());
    }
    Some(Raw::of(&json!({
        "content": [{ "type": "text", "text": lines.join("\n") }],
        "isError": true,
    })))
}

/// The elicitations such an error carries, as they stand in it.
#[must_use]
pub fn elicitations(error: &ErrorObject) -> Vec<&Value> {
    let data = error.data.as_ref().and_then(|data| data["elicitations"].as_array());
    data.into_iter().flatten().take(MAX_URLS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Version = Version::V2025_11_25;
    const E: Version = Version::V2026_07_28;

    fn code(code: i64, from: Version, to: Version, can_declare: bool) -> i64 {
        let error = Raw::of(&ErrorObject::new(code, "no"));
        let new = to_client(&error, from, to, can_declare);
        ErrorObject::read(new.as_ref().unwrap_or(&error)).code
    }

    #[test]
    fn a_stateless_client_reads_only_codes_its_revision_defines() {
        let check = |before: i64, after: i64| assert_eq!(code(before, D, E, false), after);
        check(-32002, -32602);
        check(-32042, -32603);
        check(-32050, -32603);
        check(-32020, -32603);
        check(-32000, -32000);
        check(-32601, -32601);
        check(7, 7);
    }

    #[test]
    fn what_was_between_us_and_the_upstream_stays_there() {
        assert_eq!(code(-32020, E, E, false), -32603);
        assert_eq!(code(-32022, E, D, false), -32603);
        assert_eq!(code(-32021, E, E, true), -32021);
        assert_eq!(code(-32021, E, E, false), -32603);
        assert_eq!(code(-32021, E, D, true), -32603);
        // A legacy server may mean anything by it.
        assert_eq!(code(-32022, D, D, false), -32022);
    }

    #[test]
    fn urls_are_told_in_words() {
        let mut error = ErrorObject::new(URL_ELICITATION_REQUIRED, "Sign in first.");
        error.data = Some(json!({ "elicitations": [
            { "mode": "url", "elicitationId": "1", "url": "https://a.example/x", "message": "Open" },
        ] }));
        let result = urls_as_result(&Raw::of(&error)).unwrap();
        assert!(result.as_str().contains(r#"Sign in first.\nOpen https://a.example/x"#));
        assert!(urls_as_result(&Raw::of(&ErrorObject::new(-32603, "no"))).is_none());
    }
}
