//! What a client says it can do.

use crate::draft::Draft;
use mcplex_proto::raw::Raw;

/// The capabilities of a session as a stateless request declares them: without what that era does
/// not have.
#[must_use]
pub fn to_modern(capabilities: &Raw) -> Raw {
    let Some(mut draft) = Draft::read(capabilities.as_str()) else { return Raw::empty_object() };
    draft.remove("tasks");
    draft.map("roots", |roots| {
        let mut roots = Draft::read(roots)?;
        roots.remove("listChanged");
        roots.text()
    });
    draft.finish().unwrap_or_else(|| capabilities.clone())
}

/// Only the members that are named, as they are.
#[must_use]
pub fn only(capabilities: &Raw, names: &[&str]) -> Raw {
    let Some(mut draft) = Draft::read(capabilities.as_str()) else { return Raw::empty_object() };
    let members = mcplex_proto::edit::members(capabilities.as_str()).unwrap_or_default();
    for (name, _) in members.iter().filter(|(name, _)| !names.contains(&&**name)) {
        draft.remove(name);
    }
    draft.finish().unwrap_or_else(|| capabilities.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw {
        Raw::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn what_only_sessions_have_is_left_out() {
        let legacy =
            raw(r#"{"roots":{"listChanged":true},"sampling":{"tools":{}},"tasks":{},"x":1}"#);
        assert_eq!(to_modern(&legacy).as_str(), r#"{"roots":{},"sampling":{"tools":{}},"x":1}"#);
        assert_eq!(to_modern(&raw("{}")).as_str(), "{}");
        assert_eq!(to_modern(&raw("null")).as_str(), "{}");
    }

    #[test]
    fn what_is_not_named_is_left_out() {
        let all = raw(r#"{"roots":{},"extensions":{"a/b":{}},"x":1}"#);
        assert_eq!(only(&all, &["roots", "x"]).as_str(), r#"{"roots":{},"x":1}"#);
    }
}
