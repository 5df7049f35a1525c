//! Tools as they stand in a list.

use crate::draft::Draft;
use mcplex_proto::{
    edit,
    raw::{self, Raw},
    version::{Era, Version},
};

/// A tool as a client of another revision knows it; `None` when it is that already.
#[must_use]
pub fn tool(tool: &Raw, from: Version, to: Version) -> Option<Raw> {
    inside(tool.as_str(), from, to)
}

/// The same for one that stands in another message.
pub(crate) fn inside(tool: &str, from: Version, to: Version) -> Option<Raw> {
    if from == to {
        return None;
    }
    let mut draft = Draft::read(tool)?;
    if to.era() == Era::Modern {
        // Whether a call becomes a task is the server's decision there, and said with the result.
        draft.remove("execution");
    } else if from.era() == Era::Modern {
        draft.map("outputSchema", |schema| output_schema(schema, to));
        draft.map("inputSchema", without_booleans);
    }
    draft.finish()
}

/// Wraps a schema whose root is no object, as the result is wrapped; older revisions do not read it.
fn output_schema(schema: &str, to: Version) -> Option<String> {
    if to < Version::V2025_06_18 {
        return None;
    }
    let kind = edit::member(schema, "type").and_then(raw::string);
    if kind.as_deref() == Some("object") {
        return without_booleans(schema);
    }
    let inner = match schema {
        "true" => "{}".to_owned(),
        "false" => r#"{"not":{}}"#.to_owned(),
        other => rebased(other, 0).unwrap_or_else(|| other.to_owned()),
    };
    Some(format!(r#"{{"type":"object","properties":{{"result":{inner}}},"required":["result"]}}"#))
}

/// The same schema with objects in the place of `true` and `false` among its properties, which
/// legacy revisions demand.
fn without_booleans(schema: &str) -> Option<String> {
    let mut draft = Draft::read(schema)?;
    draft.map("properties", |properties| {
        let mut properties = Draft::read(properties)?;
        let names: Vec<_> = edit::members(schema)
            .into_iter()
            .flatten()
            .find(|(name, _)| name == "properties")
            .and_then(|(_, value)| edit::members(value.get()))?
            .into_iter()
            .filter(|(_, value)| matches!(value.get(), "true" | "false"))
            .map(|(name, value)| (name.into_owned(), value.get() == "true"))
            .collect();
        for (name, is_true) in &names {
            properties.set(name, if *is_true { "{}" } else { r#"{"not":{}}"# });
        }
        properties.text()
    });
    draft.text()
}

/// Deeper schemas keep their references, which then lead nowhere; real ones stay below ten.
const MAX_DEPTH: usize = 64;

/// A schema whose references to its own root lead to where it stands now; `None` when it has none.
fn rebased(schema: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH || !schema.contains("$ref") {
        return None;
    }
    if edit::elements(schema).is_some() {
        return crate::draft::map_elements(schema, |element| rebased(element, depth + 1));
    }
    let names: Vec<_> = edit::members(schema)?.into_iter().map(|(name, _)| name).collect();
    let mut draft = Draft::read(schema)?;
    for name in &names {
        draft.map(name, |value| {
            if name == "$ref" {
                let target = serde_json::from_str::<String>(value).ok()?;
                let rest = target.strip_prefix('#').filter(|rest| {
                    // `#name` is an anchor, and means the same wherever it stands.
                    rest.is_empty() || rest.starts_with('/')
                })?;
                return Some(Raw::of(&format!("#/properties/result{rest}")).as_str().to_owned());
            }
            rebased(value, depth + 1)
        });
    }
    draft.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Version = Version::V2025_11_25;
    const E: Version = Version::V2026_07_28;

    fn check(from: Version, to: Version, text: &str, expect: Option<&str>) {
        let raw = Raw::parse(text.to_owned()).unwrap();
        let got = tool(&raw, from, to);
        assert_eq!(got.as_ref().map(Raw::as_str), expect);
    }

    #[test]
    fn execution_is_not_known_to_stateless_clients() {
        let text = r#"{"name":"a","execution":{"taskSupport":"optional"},"x":1}"#;
        check(D, E, text, Some(r#"{"name":"a","x":1}"#));
        check(D, D, text, None);
        check(D, E, r#"{"name":"a"}"#, None);
    }

    #[test]
    fn an_output_schema_becomes_an_object_with_the_same_meaning() {
        check(
            E,
            D,
            r##"{"outputSchema":{"type":"array","items":{"$ref":"#/$defs/n"},"$defs":{"n":{"anyOf":[{"$ref":"#"},{"$ref":"#a"},{"$ref":"other.json"}]}}}}"##,
            Some(
                r##"{"outputSchema":{"type":"object","properties":{"result":{"type":"array","items":{"$ref":"#/properties/result/$defs/n"},"$defs":{"n":{"anyOf":[{"$ref":"#/properties/result"},{"$ref":"#a"},{"$ref":"other.json"}]}}}},"required":["result"]}}"##,
            ),
        );
        check(E, D, r#"{"outputSchema":{"type":"object","a":1.0}}"#, None);
        check(E, Version::V2025_03_26, r#"{"outputSchema":{"type":"array"}}"#, None);
    }

    #[test]
    fn booleans_among_properties_become_objects() {
        check(
            E,
            D,
            r#"{"inputSchema":{"type":"object","properties":{"a":true,"b":false,"c":{"x":true}}}}"#,
            Some(
                r#"{"inputSchema":{"type":"object","properties":{"a":{},"b":{"not":{}},"c":{"x":true}}}}"#,
            ),
        );
    }
}
