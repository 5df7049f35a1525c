//! The file, read and parsed but not yet understood.

use crate::{ConfigError, Place, claude, seed, twice::Twice};
use figment::{
    providers::{Format as _, Json, Toml},
    value::Dict,
};
use std::path::PathBuf;
use toml_edit::ImDocument;

/// The file with settings.
#[derive(Clone, Debug)]
pub enum Document {
    /// A file that must exist; JSON if its name ends in `.json`, TOML otherwise.
    Path(PathBuf),
    /// A text that stands for a file.
    Text {
        /// What errors call it.
        name: String,
        /// What would be in it.
        text: String,
        /// How it is written.
        format: Format,
    },
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The form of `default.toml`.
    Toml,
    /// The same tables as JSON, or the `mcpServers` of a desktop client.
    Json,
}

/// A document whose syntax is right, in the form of `default.toml`.
#[derive(Debug)]
pub(crate) struct Parsed {
    name: String,
    /// Knows the lines; figment keeps none.
    toml: Option<ImDocument<String>>,
    pub(crate) settings: Dict,
}

impl Document {
    pub(crate) fn read(self, warnings: &mut Vec<String>) -> Result<Parsed, Box<ConfigError>> {
        let (name, text, format) = match self {
            Self::Text { name, text, format } => (name, text, format),
            Self::Path(path) => {
                let json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
                let format = if json { Format::Json } else { Format::Toml };
                let name = path.display().to_string();
                match std::fs::read_to_string(&path) {
                    Ok(text) => (name, text, format),
                    Err(cause) => return Err(unreadable(name, cause)),
                }
            }
        };
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let mut parsed = match format {
            Format::Toml => Parsed::toml(name, text)?,
            Format::Json => Parsed::json(name, &text)?,
        };
        claude::convert(&mut parsed, warnings)?;
        seed::convert(&mut parsed, warnings)?;
        Ok(parsed)
    }
}

impl Parsed {
    fn toml(name: String, text: String) -> Result<Self, Box<ConfigError>> {
        let hint = "correct the syntax; texts need quotes, tables look like `[gateway]`";
        let settings = Toml::from_str::<Dict>(&text);
        match (ImDocument::parse(text.clone()), settings) {
            (Ok(toml), Ok(settings)) => Ok(Self { name, toml: Some(toml), settings }),
            (Err(error), _) => {
                let mut place = Place::whole(name);
                place.line = error.span().map(|span| line(&text, span.start));
                let said = error.message().replace('\n', ", ");
                Err(ConfigError::new(format!("this is not TOML: {said}"), place, hint))
            }
            // One parser stands behind both, so this is a value that TOML knows and we do not.
            (Ok(_), Err(error)) => Err(ConfigError::new(
                format!("this cannot be read: {}", error.message().replace('\n', ", ")),
                Place::whole(name),
                hint,
            )),
        }
    }

    fn json(name: String, text: &str) -> Result<Self, Box<ConfigError>> {
        let parsed = Json::from_str::<Dict>(text)
            .and_then(|settings| Ok((settings, Json::from_str::<Twice>(text)?)));
        match parsed {
            Ok((settings, Twice(None))) => Ok(Self { name, toml: None, settings }),
            Ok((_, Twice(Some(key)))) => {
                let what = format!("`{key}` is written twice in one object");
                let place = Place { source: name, line: None, key: Some(key) };
                Err(ConfigError::new(what, place, "remove or rename one of the two"))
            }
            Err(error) => {
                let place = Place { source: name, line: Some(error.line()), key: None };
                let said = error.to_string();
                let said = said.split(" at line ").next().unwrap_or_default();
                let what = format!("this is not a JSON object: {said}");
                let hint = "correct the syntax; JSON knows no comments and no comma at the end";
                Err(ConfigError::new(what, place, hint))
            }
        }
    }

    /// What the file is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where `path` stands; of a list element the number is a step of the path.
    pub(crate) fn place(&self, path: &[&str], key: &str) -> Place {
        let line = self.toml.as_ref().and_then(|toml| {
            let mut item = toml.as_item();
            let mut start = None;
            for step in path {
                let key = item.as_table_like().and_then(|table| table.get_key_value(step));
                let element = step.parse::<usize>().ok().and_then(|step| item.get(step));
                let (span, next) = match (key, element) {
                    (Some((key, next)), _) => (key.span().or_else(|| next.span()), next),
                    (None, Some(next)) => (next.span(), next),
                    (None, None) => break,
                };
                start = span.map(|span| span.start).or(start);
                item = next;
            }
            start.map(|start| line(toml.raw(), start))
        });
        Place { source: self.name.clone(), line, key: Some(key.to_owned()) }
    }
}

/// The number of the line that holds the byte at `at`.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn unreadable(name: String, cause: std::io::Error) -> Box<ConfigError> {
    use std::io::ErrorKind;
    let (what, hint) = if cause.kind() == ErrorKind::NotFound {
        ("there is no such file", "check the path, or leave it out to start the built-in demo")
    } else if cause.kind() == ErrorKind::InvalidData {
        ("the file is not UTF-8 text", "save it as UTF-8")
    } else {
        ("the file cannot be read", "check that it is a file and that you may read it")
    };
    let mut error = ConfigError::new(what, Place::whole(name), hint);
    error.cause = Some(cause);
    error
}
