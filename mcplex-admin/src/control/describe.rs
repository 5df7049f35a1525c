//! The description of what can be asked, in the words of OpenAPI 3.1, made from the table.

use super::{
    Problem,
    routes::{Entry, Kind, Parameter, TABLE},
};
use crate::operator::Verb;
use serde_json::{Map, Value, json};

/// The whole description.
pub(super) fn openapi() -> Value {
    let mut paths = Map::new();
    for entry in TABLE {
        let method = entry.method().as_str().to_ascii_lowercase();
        let at = paths.entry(entry.path).or_insert_with(|| json!({}));
        at[method] = operation(entry);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mcplex for operators",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators can see and do. Members may be added; none is removed \
                            within a version of the path.",
        },
        "paths": paths,
        "security": [{ "token": [] }],
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": schema(&json!({ "error": Problem::default() })) },
        },
    })
}

fn operation(entry: &Entry) -> Value {
    let mut parameters: Vec<Value> = parts(entry.path)
        .map(|name| {
            let schema = match name {
                "verb" => json!({ "type": "string", "enum": Verb::ALL.map(Verb::as_str) }),
                "number" => json!({ "type": "integer", "minimum": 1 }),
                _ => json!({ "type": "string" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    parameters.extend(entry.query.iter().map(|(name, kind, meaning)| {
        let schema = match kind {
            Parameter::Name => json!({ "type": "string" }),
            Parameter::Number => json!({ "type": "integer", "minimum": 0 }),
            Parameter::Flag => json!({ "type": "string", "enum": ["0", "1", "false", "true"] }),
            Parameter::Word(word) => json!({ "type": "string", "enum": [word] }),
        };
        json!({ "name": name, "in": "query", "description": meaning, "schema": schema })
    }));
    let content = match entry.answer {
        Kind::Json(sample) => json!({ "application/json": { "schema": schema(&sample()) } }),
        Kind::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Kind::Page => json!({ "text/html": { "schema": { "type": "string" } } }),
        Kind::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let error = json!({
        "description": "What went wrong.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut operation = json!({
        "summary": entry.summary,
        "parameters": parameters,
        "responses": { "200": { "description": entry.summary, "content": content }, "default": error },
    });
    if let Some((status, when)) = entry.also {
        let content = operation["responses"]["200"]["content"].clone();
        operation["responses"][status.to_string()] =
            json!({ "description": when, "content": content });
    }
    if entry.is_open {
        operation["security"] = json!([]);
    }
    operation
}

/// The names of the parameters in a path.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|step| step.strip_prefix('{')?.strip_suffix('}'))
}

/// What a value looks like; what it leaves open may be anything.
fn schema(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => {
            json!({ "type": "array", "items": items.first().map_or_else(|| json!({}), schema) })
        }
        Value::Object(members) => {
            let properties: Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), schema(value))).collect();
            // Whatever is known of one is known of all.
            let required: Vec<_> = members.keys().collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fmt::Write as _, path::Path};

    /// The page of the same for people.
    fn page() -> String {
        let mut page = "# The API of operators\n\n\
            Written by a test from the table that serves it; `MCPLEX_BLESS=1 cargo test -p mcplex-admin` \
            renews it.\n\n\
            It listens where `admin.listen` says, and the control socket has the same under `/v1`. Every \
            request over the network needs `Authorization: Bearer TOKEN` but for those that are marked; \
            [operating](../guide/operating.md) says where the token is. \
            `GET /api/v1/openapi.json` describes all of it for programs.\n\n\
            | request | answer | what |\n| --- | --- | --- |\n"
            .to_owned();
        for entry in TABLE {
            let (method, path, summary) = (entry.method(), entry.path, entry.summary);
            let answer = match entry.answer {
                Kind::Json(_) => "JSON",
                Kind::Text => "text",
                Kind::Events => "events",
                Kind::Page => "page",
            };
            let open = if entry.is_open { " (no token)" } else { "" };
            writeln!(page, "| `{method} {path}`{open} | {answer} | {summary} |")
                .expect("a text takes everything");
        }
        page.push_str("\n## Parameters after the question mark\n\n| request | parameter | what |\n| --- | --- | --- |\n");
        for entry in TABLE {
            for (name, _, meaning) in entry.query {
                writeln!(page, "| `{} {}` | `{name}` | {meaning} |", entry.method(), entry.path)
                    .expect("a text takes everything");
            }
        }
        page.push_str(
            "\nWhat goes wrong is answered with a fitting status and \
             `{\"error\": {\"kind\", \"message\", \"hint\", \"status\"}}`.\n",
        );
        page
    }

    #[test]
    fn the_page_is_what_is_served() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/admin-api.md");
        if std::env::var_os("MCPLEX_BLESS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), page());
    }

    #[test]
    fn a_schema_names_every_member() {
        let sample = json!({ "a": [{ "b": 1 }], "c": null, "d": true });
        let expect = json!({ "type": "object", "properties": {
            "a": { "type": "array", "items": {
                "type": "object", "properties": { "b": { "type": "integer" } }, "required": ["b"] } },
            "c": {},
            "d": { "type": "boolean" },
        }, "required": ["a", "c", "d"] });
        assert_eq!(schema(&sample), expect);
    }

    #[test]
    fn each_line_of_the_table_is_described_once() {
        let described = openapi();
        let paths = described["paths"].as_object().unwrap();
        let count: usize = paths.values().map(|at| at.as_object().unwrap().len()).sum();
        assert_eq!(count, TABLE.len());
    }
}
