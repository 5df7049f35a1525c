//! Items of lists as every client can read them.
//!
//! Clients read a list as a whole: one item that no revision knows, and they throw all of it away,
//! with what all other upstreams offer. So an item that does not fit is put right where nothing is
//! lost by it, and else left out.

use crate::lists::Kind;
use mcplex_proto::{edit, raw, raw::Raw, version::Era};
use serde_json::value::RawValue;

/// Members that are strings if they are there.
const STRINGS: [&str; 3] = ["title", "description", "mimeType"];
/// Members that are objects if they are there.
const OBJECTS: [&str; 3] = ["annotations", "execution", "_meta"];
/// Members that are arrays if they are there.
const ARRAYS: [&str; 2] = ["icons", "arguments"];
/// What a tool takes that says nothing of it.
const ANY_ARGUMENTS: &str = r#"{"type":"object"}"#;

/// The item, put right, or why it is left out; `era` is that of its upstream.
pub(crate) fn item(kind: Kind, era: Era, page: &Raw, item: &RawValue) -> Result<Raw, &'static str> {
    let members = edit::members(item.get()).ok_or("it is no object")?;
    let is_null = |value: &RawValue| value.get() == "null";
    let may_be_left_out = |name: &str| {
        let is_tools = kind == Kind::Tools && matches!(name, "inputSchema" | "outputSchema");
        is_tools || [&STRINGS[..], &OBJECTS, &ARRAYS].iter().any(|names| names.contains(&name))
    };
    let has_nulls = members.iter().any(|(name, value)| is_null(value) && may_be_left_out(name));
    let kept = members.iter().filter(|(name, value)| !is_null(value) || !may_be_left_out(name));
    let kept: Vec<(&str, &str)> = kept.map(|(name, value)| (&**name, value.get())).collect();
    let find = |name: &str| kept.iter().find(|(key, _)| *key == name).map(|&(_, value)| value);
    let all = |names: &[&str], first: char| {
        names.iter().all(|name| find(name).is_none_or(|value| value.starts_with(first)))
    };
    if find("name") == Some("\"\"") {
        return Err("its name is empty");
    }
    if !all(&STRINGS, '"') || !all(&OBJECTS, '{') || !all(&ARRAYS, '[') {
        return Err("one of its members is of another kind than any revision knows");
    }
    let plain = if has_nulls { edit::object(kept.iter().copied()) } else { Raw::part(page, item) };
    if kind != Kind::Tools {
        return named(kind, plain, find("name"), find(kind.key()));
    }
    let output = match find("outputSchema") {
        Some(schema) => output(schema, era)?,
        None => None,
    };
    let input = input(find("inputSchema"))?;
    let input = input.as_deref().map(|schema| ("inputSchema", schema));
    let new: Vec<_> =
        input.into_iter().chain(output.map(|schema| ("outputSchema", schema))).collect();
    Ok(if new.is_empty() { plain } else { edit::with_members(&plain, &new) })
}

/// A prompt or a resource with a name; a resource that has none goes by its address.
fn named(
    kind: Kind,
    plain: Raw,
    name: Option<&str>,
    key: Option<&str>,
) -> Result<Raw, &'static str> {
    match (kind, name, key) {
        (Kind::Resources | Kind::Templates, None, Some(address)) => {
            Ok(edit::with_members(&plain, &[("name", address)]))
        }
        (_, Some(name), _) if !name.starts_with('"') => Err("its name is no string"),
        _ => Ok(plain),
    }
}

/// What a tool's schema has to be instead, if it has to be another.
fn input(schema: Option<&str>) -> Result<Option<String>, &'static str> {
    let Some(schema) = schema else { return Ok(Some(ANY_ARGUMENTS.to_owned())) };
    let members = edit::members(schema).ok_or("its `inputSchema` is no object")?;
    let find = |name: &str| members.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
    if find("properties").is_some_and(|value| !value.get().starts_with('{')) {
        return Err("the `properties` of its `inputSchema` are no object");
    }
    let is_strings = |value: &RawValue| {
        let all = edit::elements(value.get());
        all.is_some_and(|all| all.iter().all(|name| name.get().starts_with('"')))
    };
    if find("required").is_some_and(|value| !is_strings(value)) {
        return Err("what its `inputSchema` requires are no names");
    }
    match find("type") {
        None => {
            let typed = [("type", "\"object\"")].into_iter();
            let all = typed.chain(members.iter().map(|(name, value)| (&**name, value.get())));
            Ok(Some(edit::object(all).as_str().to_owned()))
        }
        Some(kind) if raw::string(kind).as_deref() == Some("object") => Ok(None),
        Some(_) => Err("its `inputSchema` is not one of an object"),
    }
}

/// The same of what a tool gives. JSON Schema writes that anything will do, or nothing, as a word, and
/// no revision of MCP has that at the root.
fn output(schema: &str, era: Era) -> Result<Option<&'static str>, &'static str> {
    match (schema, era) {
        ("true", Era::Modern) => Ok(Some("{}")),
        ("false", Era::Modern) => Ok(Some(r#"{"not":{}}"#)),
        (schema, Era::Modern) if schema.starts_with('{') => Ok(None),
        (schema, Era::Legacy) if type_of(schema).as_deref() == Some("object") => Ok(None),
        _ => Err("its `outputSchema` is no schema of an object"),
    }
}

fn type_of(schema: &str) -> Option<String> {
    edit::member(schema, "type").and_then(raw::string).map(|kind| kind.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(kind: Kind, era: Era, text: &str) -> Result<String, &'static str> {
        let page = Raw::parse(format!("[{text}]")).unwrap();
        let element = edit::elements(page.as_str()).unwrap()[0];
        item(kind, era, &page, element).map(|raw| raw.as_str().to_owned())
    }

    #[test]
    fn what_fits_stays_as_it_was_written() {
        for (kind, text) in [
            (Kind::Tools, r#"{ "inputSchema":{"type":"object","x":1.50},"name":"t","new":null}"#),
            (Kind::Prompts, r#"{"name":"p","arguments":[ ]}"#),
            (Kind::Resources, r#"{"uri":"x://1","name":"one","annotations":{}}"#),
        ] {
            assert_eq!(fitted(kind, Era::Legacy, text).as_deref(), Ok(text));
        }
        let schema =
            r#"{"name":"t","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}}"#;
        assert_eq!(fitted(Kind::Tools, Era::Modern, schema).as_deref(), Ok(schema));
    }

    #[test]
    fn what_loses_nothing_by_it_is_put_right() {
        let check = |text: &str, expect: &str| {
            assert_eq!(fitted(Kind::Tools, Era::Legacy, text).as_deref(), Ok(expect));
            assert_eq!(fitted(Kind::Tools, Era::Legacy, expect).as_deref(), Ok(expect));
        };
        let right = r#"{"inputSchema":{"type":"object"},"name":"t"}"#;
        check(r#"{"name":"t"}"#, right);
        check(r#"{"name":"t","inputSchema":null,"description":null}"#, right);
        check(
            r#"{"name":"t","inputSchema":{"properties":{"a":{}}}}"#,
            r#"{"name":"t","inputSchema":{"type":"object","properties":{"a":{}}}}"#,
        );
    }

    #[test]
    fn a_schema_that_is_a_word_becomes_an_object() {
        for (word, object) in [("true", "{}"), ("false", r#"{"not":{}}"#)] {
            let text = format!(
                r#"{{"name":"t","inputSchema":{{"type":"object"}},"outputSchema":{word}}}"#
            );
            let expect = text.replace(word, object);
            assert_eq!(fitted(Kind::Tools, Era::Modern, &text), Ok(expect));
        }
    }

    #[test]
    fn a_resource_without_a_name_goes_by_its_address() {
        let check = |kind: Kind, text: &str, expect: &str| {
            assert_eq!(fitted(kind, Era::Legacy, text).as_deref(), Ok(expect));
        };
        check(
            Kind::Resources,
            r#"{"uri":"x://\u00e9"}"#,
            r#"{"name":"x://\u00e9","uri":"x://\u00e9"}"#,
        );
        let template = r#"{"name":"x:{a}","uriTemplate":"x:{a}"}"#;
        check(Kind::Templates, template, template);
        let bare = fitted(Kind::Templates, Era::Modern, r#"{"uriTemplate":"x:{a}"}"#).unwrap();
        assert!(bare.contains(r#""name":"x:{a}""#), "{bare}");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        for rest in [
            r#""inputSchema":{"type":"string"}"#,
            r#""inputSchema":5"#,
            r#""inputSchema":{"type":"object","required":"x"}"#,
            r#""inputSchema":{"type":"object","required":[1]}"#,
            r#""inputSchema":{"properties":[]}"#,
            r#""description":5"#,
            r#""annotations":5"#,
            r#""icons":{}"#,
            r#""outputSchema":5"#,
            r#""outputSchema":true"#,
        ] {
            let text = format!(r#"{{"name":"t",{rest}}}"#);
            assert!(fitted(Kind::Tools, Era::Legacy, &text).is_err(), "{text}");
        }
        assert!(fitted(Kind::Resources, Era::Legacy, r#"{"uri":"x://1","name":5}"#).is_err());
        assert!(fitted(Kind::Prompts, Era::Legacy, r#"{"name":""}"#).is_err());
        assert!(fitted(Kind::Prompts, Era::Legacy, "5").is_err());
    }
}
