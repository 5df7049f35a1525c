//! HTTP headers that repeat parts of a stateless request, so that proxies can act on them.
//!
//! `Mcp-Name` repeats the name of what is asked for, and `Mcp-Param-*` the arguments of a tool whose
//! schema says so with `x-mcp-header`. The body stays the truth: a server compares.

use crate::{edit, error::ErrorObject, method, raw};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeSet, fmt};

/// The annotation in the schema of a property.
pub const ANNOTATION: &str = "x-mcp-header";
/// What the name of such a header begins with, in lower case.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// The largest integer that every reader of JSON keeps exactly: 2^53 - 1.
const MAX_INTEGER: i64 = 9_007_199_254_740_991;
/// Properties deeper than this are not looked for; real schemas stay below ten.
const MAX_DEPTH: usize = 32;

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// A value as it stands in a header: as it is where that is safe, else as Base64 of its UTF-8.
#[must_use]
pub fn encode(value: &str) -> Cow<'_, str> {
    let is_ascii = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let is_trimmed = value.trim_matches(' ').len() == value.len();
    let looks_coded = value.starts_with(OPEN) && value.ends_with(CLOSE);
    if is_ascii && is_trimmed && !looks_coded {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{OPEN}{}{CLOSE}", STANDARD.encode(value)))
}

/// What a header means; `None` when it is said to be Base64 of UTF-8 and is not, or is no text.
#[must_use]
pub fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let inner = value.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE));
    match inner {
        None => Some(Cow::Borrowed(value)),
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned),
    }
}

/// The member of a request's parameters that `Mcp-Name` repeats.
#[must_use]
pub fn name_member(method: &str) -> Option<&'static str> {
    match method {
        method::TOOLS_CALL | method::PROMPTS_GET => Some("name"),
        method::RESOURCES_READ => Some("uri"),
        method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => Some("taskId"),
        _ => None,
    }
}

/// The arguments of one tool that are repeated in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParams(Vec<Param>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Param {
    /// The names of the properties that lead to it.
    path: Vec<String>,
    /// The header's name, in lower case.
    header: String,
    /// The header's name as it was written.
    shown: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Boolean,
}

/// An annotation that breaks the rules: clients have to leave such a tool out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`x-mcp-header` of `{at}` {why}")]
pub struct BadAnnotation {
    /// The path of the property.
    pub at: String,
    /// What is wrong, as a phrase.
    pub why: &'static str,
}

impl HeaderParams {
    /// Reads the annotations of a tool's `inputSchema`; `None` when there are none.
    ///
    /// # Errors
    /// When one of them breaks the rules.
    pub fn read(schema: &str) -> Result<Option<Self>, BadAnnotation> {
        // Nearly every schema is done with here.
        if !schema.contains(ANNOTATION) {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut path = Vec::new();
        reachable(schema, &mut path, &mut found)?;
        if annotations(schema, 0) > found.len() {
            let why = "is not reached from the root by `properties` alone";
            return Err(BadAnnotation { at: "inputSchema".to_owned(), why });
        }
        let mut names = BTreeSet::new();
        for param in &found {
            if !names.insert(&param.header) {
                let why = "is there twice, and header names are the same in any case";
                return Err(BadAnnotation { at: param.path.join("."), why });
            }
        }
        Ok((!found.is_empty()).then_some(Self(found)))
    }

    /// The headers of a call with these arguments, an object or `None`.
    ///
    /// # Errors
    /// When an argument is of another kind than its schema says.
    pub fn build(&self, arguments: Option<&str>) -> Result<Vec<(String, String)>, ErrorObject> {
        let mut headers = Vec::new();
        for param in &self.0 {
            let Some(value) = param.find(arguments) else { continue };
            let text = param.text(value).ok_or_else(|| param.unfit())?;
            headers.push((format!("Mcp-Param-{}", param.shown), encode(&text).into_owned()));
        }
        Ok(headers)
    }

    /// Compares the headers of a call with its arguments; `header` finds one by its name in lower
    /// case.
    ///
    /// # Errors
    /// -32020 when one is missing or says something else.
    pub fn check<'h>(
        &self,
        arguments: Option<&str>,
        header: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Result<(), ErrorObject> {
        for param in &self.0 {
            let shown = &param.shown;
            let told = header(&format!("{PARAM_PREFIX}{}", param.header));
            let value = param.find(arguments);
            match (value, told) {
                (None, None) => {}
                (Some(_), None) => {
                    let why = format!("Mcp-Param-{shown} is missing");
                    return Err(ErrorObject::header_mismatch(why));
                }
                (None, Some(_)) => {
                    let why = format!("Mcp-Param-{shown} is there, but the body has no such value");
                    return Err(ErrorObject::header_mismatch(why));
                }
                (Some(value), Some(told)) if param.is_same(value, told) => {}
                (Some(_), Some(_)) => {
                    let why = format!("Mcp-Param-{shown} differs from the body");
                    return Err(ErrorObject::header_mismatch(why));
                }
            }
        }
        Ok(())
    }
}

impl Param {
    /// The argument, if it is there and not `null`.
    fn find<'a>(&self, arguments: Option<&'a str>) -> Option<&'a RawValue> {
        let (last, before) = self.path.split_last()?;
        let mut at = arguments?;
        for name in before {
            at = edit::member(at, name)?.get();
        }
        edit::member(at, last).filter(|value| value.get() != "null")
    }

    fn text<'a>(&self, value: &'a RawValue) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Text => raw::string(value),
            Kind::Integer => integer(value.get()).map(|number| Cow::Owned(number.to_string())),
            Kind::Boolean => {
                matches!(value.get(), "true" | "false").then(|| Cow::Borrowed(value.get()))
            }
        }
    }

    fn is_same(&self, value: &RawValue, told: &[u8]) -> bool {
        let Some(told) = decode(told) else { return false };
        match self.kind {
            Kind::Integer => {
                integer(value.get()).is_some_and(|number| integer(&told) == Some(number))
            }
            Kind::Text | Kind::Boolean => self.text(value).is_some_and(|text| text == told),
        }
    }

    fn unfit(&self) -> ErrorObject {
        ErrorObject::invalid_params(format_args!(
            "the argument `{}` does not fit its schema",
            self.path.join(".")
        ))
    }
}

/// An integer within what every reader of JSON keeps exactly, also when it is written as `1.0`.
fn integer(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => {
            whole
        }
        Some(_) => return None,
        None => text,
    };
    let number: i64 = whole.parse().ok()?;
    (-MAX_INTEGER..=MAX_INTEGER).contains(&number).then_some(number)
}

/// Collects the annotated properties that `properties` alone leads to.
fn reachable(
    schema: &str,
    path: &mut Vec<String>,
    found: &mut Vec<Param>,
) -> Result<(), BadAnnotation> {
    let Some(properties) = edit::member(schema, "properties") else { return Ok(()) };
    if path.len() >= MAX_DEPTH {
        return Ok(());
    }
    for (name, property) in edit::members(properties.get()).unwrap_or_default() {
        path.push(name.into_owned());
        if let Some(annotation) = edit::member(property.get(), ANNOTATION) {
            found.push(annotated(annotation, property.get(), path)?);
        }
        reachable(property.get(), path, found)?;
        path.pop();
    }
    Ok(())
}

fn annotated(
    annotation: &RawValue,
    property: &str,
    path: &[String],
) -> Result<Param, BadAnnotation> {
    let bad = |why| BadAnnotation { at: path.join("."), why };
    let shown = raw::string(annotation).ok_or_else(|| bad("is not a string"))?;
    if shown.is_empty() || !shown.bytes().all(is_token) {
        return Err(bad("is not the name of a header"));
    }
    let kind = edit::member(property, "type").and_then(raw::string);
    let kind = match kind.as_deref() {
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("boolean") => Kind::Boolean,
        _ => return Err(bad("stands at a property that is no string, integer or boolean")),
    };
    let header = shown.to_ascii_lowercase();
    Ok(Param { path: path.to_vec(), header, shown: shown.into_owned(), kind })
}

/// A character of a token of RFC 9110.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// How many annotations there are anywhere in a schema.
fn annotations(value: &str, depth: usize) -> usize {
    if depth > 2 * MAX_DEPTH {
        return 0;
    }
    if let Some(members) = edit::members(value) {
        // A property may have that name; what it holds then is a schema and no string.
        let is_one =
            |name: &str, value: &RawValue| name == ANNOTATION && value.get().starts_with('"');
        let own = members.iter().filter(|(name, value)| is_one(name, value)).count();
        let inside = |(_, value): &edit::Member<'_>| annotations(value.get(), depth + 1);
        return own + members.iter().map(inside).sum::<usize>();
    }
    let elements = edit::elements(value).unwrap_or_default();
    elements.iter().map(|element| annotations(element.get(), depth + 1)).sum()
}

/// A schema without any such annotation; `None` when it has none.
///
/// For one whose annotations break the rules: clients leave out a tool that has such a schema.
#[must_use]
pub fn without_annotations(schema: &str) -> Option<String> {
    if !schema.contains(ANNOTATION) {
        return None;
    }
    let mut out = String::with_capacity(schema.len());
    stripped(schema, Inside::Schema, 0, &mut out);
    (out != schema).then_some(out)
}

/// What the names of an object's members are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Keywords.
    Schema,
    /// Free, and what they name are schemas.
    Names,
}

fn stripped(value: &str, inside: Inside, depth: usize, out: &mut String) {
    const NAMES: [&str; 5] =
        ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
    let is_annotation = |name: &str, value: &RawValue| {
        let is_schema = value.get().starts_with('{') || matches!(value.get(), "true" | "false");
        name == ANNOTATION && !(inside == Inside::Names && is_schema)
    };
    if depth > 2 * MAX_DEPTH || !value.contains(ANNOTATION) {
        out.push_str(value);
    } else if let Some(members) = edit::members(value) {
        out.push('{');
        let kept = members.iter().filter(|(name, value)| !is_annotation(name, value));
        for (at, (name, value)) in kept.enumerate() {
            let names = inside == Inside::Schema && NAMES.contains(&&**name);
            let within = if names { Inside::Names } else { Inside::Schema };
            out.push_str(if at > 0 { "," } else { "" });
            out.push_str(raw::Raw::of(name).as_str());
            out.push(':');
            stripped(value.get(), within, depth + 1, out);
        }
        out.push('}');
    } else if let Some(elements) = edit::elements(value) {
        out.push('[');
        for (at, element) in elements.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            stripped(element.get(), Inside::Schema, depth + 1, out);
        }
        out.push(']');
    } else {
        out.push_str(value);
    }
}

impl fmt::Display for HeaderParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|param| &*param.shown).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_goes_as_base64_and_comes_back() {
        let check = |value: &str, expect: &str| {
            assert_eq!(encode(value), expect);
            assert_eq!(decode(expect.as_bytes()).as_deref(), Some(value));
        };
        check("us-west 1", "us-west 1");
        check("", "");
        check("ä", "=?base64?w6Q=?=");
        check(" a", "=?base64?IGE=?=");
        check("a\nb", "=?base64?YQpi?=");
        check("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?=");
    }

    #[test]
    fn only_the_exact_marks_are_marks() {
        assert_eq!(decode(b" a\t").as_deref(), Some("a"));
        assert_eq!(decode(b"=?BASE64?YQ==?=").as_deref(), Some("=?BASE64?YQ==?="));
        assert_eq!(decode(b"=?base64?YQ==").as_deref(), Some("=?base64?YQ=="));
        assert_eq!(decode(b"=?base64?!!?="), None);
        assert_eq!(decode(b"\xff"), None);
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "n":{"type":"integer","x-mcp-header":"N"},
        "deep":{"type":"object","properties":{"flag":{"type":"boolean","x-mcp-header":"Flag"}}},
        "other":{"type":"string"}}}"#;

    #[test]
    fn headers_repeat_the_arguments_that_are_there() {
        let params = HeaderParams::read(SCHEMA).unwrap().unwrap();
        let arguments = r#"{"region":"ü","n":3.0,"deep":{"flag":true},"other":"x"}"#;
        let headers = params.build(Some(arguments)).unwrap();
        let expect = [
            ("Mcp-Param-Region", "=?base64?w7w=?="),
            ("Mcp-Param-N", "3"),
            ("Mcp-Param-Flag", "true"),
        ];
        assert_eq!(headers, expect.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(params.build(Some(r#"{"region":null}"#)).unwrap().is_empty());
        assert!(params.build(None).unwrap().is_empty());
        assert!(params.build(Some(r#"{"n":"x"}"#)).is_err());
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let params = HeaderParams::read(SCHEMA).unwrap().unwrap();
        let check = |arguments: &str, headers: &[(&str, &str)], is_fine: bool| {
            let find = |name: &str| {
                let found = headers.iter().find(|(header, _)| *header == name);
                found.map(|(_, value)| value.as_bytes())
            };
            let checked = params.check(Some(arguments), find);
            assert_eq!(checked.is_ok(), is_fine, "{arguments} {headers:?}");
        };
        check("{}", &[], true);
        check(r#"{"region":"a"}"#, &[("mcp-param-region", "a")], true);
        check(r#"{"region":"a"}"#, &[("mcp-param-region", "A")], false);
        check(r#"{"region":"a"}"#, &[], false);
        check("{}", &[("mcp-param-region", "a")], false);
        check(r#"{"n":7}"#, &[("mcp-param-n", "7.0")], true);
        check(r#"{"region":"ü"}"#, &[("mcp-param-region", "=?base64?w7w=?=")], true);
        check(r#"{"region":"ü"}"#, &[("mcp-param-region", "=?base64?w7w?=")], false);
    }

    #[test]
    fn a_schema_is_the_same_without_its_annotations() {
        let check = |text: &str, expect: Option<&str>| {
            let clean = without_annotations(text);
            assert_eq!(clean.as_deref(), expect, "{text}");
            assert_eq!(HeaderParams::read(clean.as_deref().unwrap_or(text)), Ok(None), "{text}");
        };
        check(r#"{"type":"object"}"#, None);
        check(
            r#"{ "properties":{"a":{"type":"number","x-mcp-header":"A B","x":1.50}},"z":null}"#,
            Some(r#"{"properties":{"a":{"type":"number","x":1.50}},"z":null}"#),
        );
        check(
            r#"{"properties":{"a":{"items":{"x-mcp-header":"A"}},"b":{"x-mcp-header":5}}}"#,
            Some(r#"{"properties":{"a":{"items":{}},"b":{}}}"#),
        );
        check(
            r#"{"anyOf":[{"x-mcp-header":"A","type":"string"},true]}"#,
            Some(r#"{"anyOf":[{"type":"string"},true]}"#),
        );
        // A property may have that name.
        let named = r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#;
        check(named, None);
    }

    #[test]
    fn annotations_that_break_the_rules_are_told() {
        let check = |property: &str, is_fine: bool| {
            let schema = format!(r#"{{"properties":{{"a":{property}}}}}"#);
            assert_eq!(HeaderParams::read(&schema).is_ok(), is_fine, "{property}");
        };
        check(r#"{"type":"string","x-mcp-header":"A"}"#, true);
        check(r#"{"type":"number","x-mcp-header":"A"}"#, false);
        check(r#"{"type":"string","x-mcp-header":""}"#, false);
        check(r#"{"type":"string","x-mcp-header":"a b"}"#, false);
        check(r#"{"type":"string","x-mcp-header":1}"#, false);
        check(r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#, false);
        let twice = r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#;
        assert!(HeaderParams::read(twice).is_err());
    }
}
