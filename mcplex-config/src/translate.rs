//! What figment says, in words for the person who wrote the file.

use crate::{ConfigError, load::Layers, suggest::nearest, variables::written};
use figment::{
    Error,
    error::{Actual, Kind},
};

/// The keys of a server, each as it could be written.
const SERVER_EXAMPLES: [(&str, &str); 10] = [
    ("name", "name = \"files\""),
    ("command", "command = \"npx\""),
    ("args", "args = [\"-y\", \"some-server\"]"),
    ("env", "env = { API_TOKEN = \"${API_TOKEN}\" }"),
    ("cwd", "cwd = \"/srv/notes\""),
    ("url", "url = \"https://mcp.example/mcp\""),
    ("headers", "headers = { Authorization = \"Bearer ${TOKEN}\" }"),
    ("transport", "transport = \"http\""),
    ("auth", "auth = { issuer = \"https://login.example\", client_id = \"mcplex\" }"),
    ("enabled", "enabled = false"),
];

impl Layers {
    /// The error with key, place and hint; `path` and `label` say which table was read.
    pub(crate) fn translate(&self, error: &Error, path: &[&str], label: &str) -> Box<ConfigError> {
        let steps: Vec<&str> = error.path.iter().map(String::as_str).collect();
        let full = [path, &steps].concat();
        let key = [&[label], &steps[..]].concat().join(".");
        let secret =
            matches!(steps.first(), Some(&"env" | &"args" | &"headers" | &"url" | &"auth"));
        let (what, hint) = match &error.kind {
            Kind::UnknownField(found, known) => {
                let short =
                    if let ["servers", _] = path { self.default(&["supervise"]) } else { None };
                let short = short.and_then(figment::value::Value::into_dict).unwrap_or_default();
                let words = known.iter().copied().chain(short.keys().map(String::as_str));
                let hint = match nearest(found, words) {
                    Some(meant) => format!("did you mean `{label}.{meant}`?"),
                    None => format!("remove it; the keys here are {}", known.join(", ")),
                };
                (format!("`{key}` is not a setting"), hint)
            }
            Kind::MissingField(field) => {
                let what = format!("`{key}` has no `{field}`");
                (what, self.hint(&[&full[..], &[field]].concat()))
            }
            Kind::UnknownVariant(found, known) => {
                let known: Vec<_> = known.iter().map(|known| format!("{known:?}")).collect();
                let known = known.join(", ");
                let what = format!("`{key}`: expected one of {known}, found {found:?}");
                (what, self.hint(&full))
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                let (expected, found) = (plain(expected), actual(found, secret));
                (format!("`{key}`: expected {expected}, found {found}"), self.hint(&full))
            }
            other @ (Kind::Message(_)
            | Kind::InvalidLength(..)
            | Kind::DuplicateField(_)
            | Kind::ISizeOutOfRange(_)
            | Kind::USizeOutOfRange(_)
            | Kind::Unsupported(_)
            | Kind::UnsupportedKey(..)) => (format!("`{key}`: {other}"), self.hint(&full)),
        };
        ConfigError::new(what, self.place(&full, &key), hint)
    }

    /// What could stand there instead.
    fn hint(&self, path: &[&str]) -> String {
        if let ["servers", _, "supervise", key] = path {
            return self.hint(&["supervise", key]);
        }
        if let ["servers", _, key, ..] = path {
            let example = SERVER_EXAMPLES.iter().find(|(known, _)| known == key);
            if let Some((_, example)) = example {
                return format!("write it like `{example}`");
            }
            if self.default(&["supervise", key]).is_some() {
                return self.hint(&["supervise", key]);
            }
        }
        match (path, self.default(path)) {
            ([_, key], Some(default)) => {
                format!("the default is `{key} = {}`", written(&default))
            }
            ([section], Some(_)) => format!("write it as a table `[{section}]`"),
            (_, _) => "write it like `[[servers]]` in the reference of settings".to_owned(),
        }
    }
}

/// Serde's word for a type, in a person's.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "path string" => "a path",
        "a sequence" => "a list of texts",
        "a map" => "a table of texts",
        _ if expected.starts_with("struct ") => "a table",
        _ if expected.starts_with("enum ") => "a text",
        _ => expected,
    }
}

/// What was found; of what may be a secret only the type.
fn actual(found: &Actual, secret: bool) -> String {
    match found {
        Actual::Bool(_) if secret => "true or false without quotes".to_owned(),
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) if secret => {
            "a number without quotes".to_owned()
        }
        Actual::Str(_) if secret => "a text".to_owned(),
        Actual::Bool(truth) => truth.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Char(letter) => format!("\"{letter}\""),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Unit | Actual::Option => "nothing".to_owned(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        Actual::Bytes(_)
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else".to_owned(),
    }
}
