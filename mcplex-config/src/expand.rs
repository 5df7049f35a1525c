//! `${NAME}` in the texts of a file.

use crate::{ConfigError, document::Parsed, server};
use figment::value::{Dict, Value};
use std::collections::BTreeMap;

/// The file's settings with every `${NAME}` replaced.
///
/// Names of servers are left alone, for errors and spans say them before and after; so are
/// servers that are not started, whose secrets need not be there.
pub(crate) fn expand(
    parsed: &Parsed,
    variables: &BTreeMap<&str, &str>,
) -> Result<Dict, Box<ConfigError>> {
    let mut settings = parsed.settings.clone();
    for (section, value) in &mut settings {
        if let (Value::Array(_, tables), "servers") = (&mut *value, section.as_str()) {
            for (index, table) in tables.iter_mut().enumerate() {
                let label = server::label(index, table);
                let Value::Dict(_, table) = table else { continue };
                if table.get("enabled").and_then(Value::to_bool) == Some(false) {
                    continue;
                }
                for (key, value) in table.iter_mut().filter(|(key, _)| *key != "name") {
                    let path = ["servers".to_owned(), index.to_string(), key.clone()];
                    walk(value, &path, &|path| label.clone() + "." + &path[2..].join("."))
                        .in_file(parsed, variables)?;
                }
            }
        } else {
            walk(value, std::slice::from_ref(section), &|path| path.join("."))
                .in_file(parsed, variables)?;
        }
    }
    Ok(settings)
}

/// The texts below a value, each with its path and the name of its setting.
struct Texts<'a>(Vec<(&'a mut String, Vec<String>, String)>);

fn walk<'a>(
    value: &'a mut Value,
    path: &[String],
    name: &dyn Fn(&[String]) -> String,
) -> Texts<'a> {
    let below = |step: String| [path, &[step]].concat();
    match value {
        Value::String(_, text) => Texts(vec![(text, path.to_vec(), name(path))]),
        Value::Dict(_, table) => Texts(
            table.iter_mut().flat_map(|(key, v)| walk(v, &below(key.clone()), name).0).collect(),
        ),
        Value::Array(_, list) => Texts(
            list.iter_mut()
                .enumerate()
                .flat_map(|(index, v)| walk(v, &below(index.to_string()), name).0)
                .collect(),
        ),
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => Texts(Vec::new()),
    }
}

impl Texts<'_> {
    fn in_file(
        self,
        parsed: &Parsed,
        variables: &BTreeMap<&str, &str>,
    ) -> Result<(), Box<ConfigError>> {
        for (text, path, key) in self.0 {
            *text = replace(text, variables).map_err(|problem| {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let (what, hint) = problem.words();
                ConfigError::new(format!("`{key}`: {what}"), parsed.place(&path, &key), hint)
            })?;
        }
        Ok(())
    }
}

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Unset(String),
    NotAName(String),
    Open,
}

impl Problem {
    fn words(&self) -> (String, String) {
        match self {
            Self::Unset(name) => (
                format!("the variable `{name}` is not set"),
                format!("set {name}, or write `${{{name}:-}}` if it may be missing"),
            ),
            Self::NotAName(name) => (
                format!("`{name}` is not the name of a variable"),
                "names have letters, digits and `_`; write `$${` for a literal `${`".to_owned(),
            ),
            Self::Open => (
                "a `${` has no `}`".to_owned(),
                "close it, or write `$${` for a literal `${`".to_owned(),
            ),
        }
    }
}

fn replace(text: &str, variables: &BTreeMap<&str, &str>) -> Result<String, Problem> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            done = done + before + "${";
            rest = after;
            continue;
        }
        let (inside, after) = after.split_once('}').ok_or(Problem::Open)?;
        let (name, fallback) = match inside.split_once(":-") {
            Some((name, fallback)) => (name, Some(fallback)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Problem::NotAName(name.to_owned()));
        }
        let value = match (variables.get(name).copied(), fallback) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(fallback)) => fallback,
            (None, None) => return Err(Problem::Unset(name.to_owned())),
        };
        done = done + before + value;
        rest = after;
    }
    Ok(done + rest)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{Problem, replace};
    use std::collections::BTreeMap;

    #[test]
    fn texts_are_expanded_once() {
        let variables = BTreeMap::from([("A", "x"), ("EMPTY", ""), ("SELF", "${SELF}")]);
        for (text, expanded) in [
            ("plain $A {A}", Ok("plain $A {A}")),
            ("<${A}${A}>", Ok("<xx>")),
            ("$${A} $$${A}", Ok("${A} $${A}")),
            ("${SELF}", Ok("${SELF}")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-d} ${NO:-d e} ${A:-d} ${NO:-}", Ok("d d e x ")),
            ("${NO}", Err(Problem::Unset("NO".into()))),
            ("${input:token}", Err(Problem::NotAName("input:token".into()))),
            ("${}", Err(Problem::NotAName(String::new()))),
            ("${A", Err(Problem::Open)),
        ] {
            assert_eq!(replace(text, &variables), expanded.map(str::to_owned), "{text}");
        }
    }
}
