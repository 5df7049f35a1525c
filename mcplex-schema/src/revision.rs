//! The definitions of one revision.

use crate::tasks;
use jsonschema::Validator;
use mcplex_proto::version::{Era, Version};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Complaints about one message that are told; more say the same again.
const MAX_COMPLAINTS: usize = 5;

/// The schema of one revision, and validators for those of its definitions that were asked for.
pub struct Revision {
    version: Version,
    root: Value,
    /// The member of the root that holds the definitions.
    place: &'static str,
    validators: Mutex<BTreeMap<String, Option<Arc<Validator>>>>,
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Revision {
    /// The one of this version.
    ///
    /// # Panics
    /// Never: the schemas inside were read by the tests.
    #[must_use]
    pub fn of(version: Version) -> &'static Self {
        static ALL: [OnceLock<Revision>; 5] = [const { OnceLock::new() }; 5];
        let (place, text) = match version {
            Version::V2024_11_05 => (0, include_str!("../schemas/2024-11-05.json")),
            Version::V2025_03_26 => (1, include_str!("../schemas/2025-03-26.json")),
            Version::V2025_06_18 => (2, include_str!("../schemas/2025-06-18.json")),
            Version::V2025_11_25 => (3, include_str!("../schemas/2025-11-25.json")),
            Version::V2026_07_28 => (4, include_str!("../schemas/2026-07-28.json")),
        };
        ALL[place].get_or_init(|| Self::read(version, text))
    }

    fn read(version: Version, text: &str) -> Self {
        let mut root: Value = serde_json::from_str(text).expect("a schema inside is JSON");
        let place = if root.get("$defs").is_some() { "$defs" } else { "definitions" };
        mend(version, &mut root[place]);
        if let (Version::V2026_07_28, Some(definitions)) = (version, root[place].as_object_mut()) {
            tasks::define(definitions);
        }
        Self { version, root, place, validators: Mutex::default() }
    }

    /// Whether there is such a definition.
    #[must_use]
    pub fn has(&self, definition: &str) -> bool {
        self.root[self.place].get(definition).is_some()
    }

    /// The names of all definitions.
    pub fn definitions(&self) -> impl Iterator<Item = &str> {
        self.root[self.place].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// One definition as a schema.
    #[must_use]
    pub fn definition(&self, name: &str) -> Option<&Value> {
        self.root[self.place].get(name)
    }

    /// The definition of the request or notification with this method.
    #[must_use]
    pub fn of_method(&self, method: &str) -> Option<&str> {
        let all = self.root[self.place].as_object()?;
        all.iter().find_map(|(name, definition)| {
            let is_call = name.ends_with("Request") || name.ends_with("Notification");
            (is_call && definition["properties"]["method"]["const"] == method).then_some(&**name)
        })
    }

    /// What is wrong with a value, as sentences; none means nothing.
    ///
    /// # Panics
    /// When there is no such definition.
    #[must_use]
    pub fn complaints(&self, definition: &str, value: &Value) -> Vec<String> {
        let validator = self.validator(definition);
        let validator = validator.unwrap_or_else(|| {
            panic_no_definition(self.version, definition);
        });
        validator
            .iter_errors(value)
            .take(MAX_COMPLAINTS)
            .map(|error| {
                let said: String = error.to_string().chars().take(300).collect();
                format!(
                    "{} {definition} at {:?}: {said}",
                    self.version,
                    error.instance_path().as_str()
                )
            })
            .collect()
    }

    fn validator(&self, definition: &str) -> Option<Arc<Validator>> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            if !self.has(definition) {
                return None;
            }
            let mut root = self.root.clone();
            root["$ref"] = json!(format!("#/{}/{definition}", self.place));
            let made = jsonschema::options().build(&root);
            Some(Arc::new(made.expect("a schema inside is a schema")))
        };
        validators.entry(definition.to_owned()).or_insert_with(made).clone()
    }
}

#[expect(clippy::panic, reason = "whoever asks for a definition that does not exist has a bug")]
fn panic_no_definition(version: Version, definition: &str) -> ! {
    panic!("{version} has no definition {definition}")
}

/// Some revisions say `integer` where their specification means any number.
fn mend(version: Version, definitions: &mut Value) {
    if !matches!(version, Version::V2025_06_18 | Version::V2025_11_25 | Version::V2026_07_28) {
        return;
    }
    for member in ["minimum", "maximum", "default"] {
        if let Some(bound) = definitions.pointer_mut(&format!("/NumberSchema/properties/{member}"))
        {
            bound["type"] = json!("number");
        }
    }
    // And one says three of the six kinds of JSON where it means all.
    if let Some(kinds) = definitions.pointer_mut("/JSONValue/anyOf/2/type") {
        *kinds = json!(["string", "number", "boolean", "null"]);
    }
    let content = "/ElicitResult/properties/content/additionalProperties";
    let Some(content) = definitions.pointer_mut(content) else { return };
    let types = json!(["string", "number", "boolean"]);
    match content.pointer_mut("/anyOf/1/type") {
        Some(kind) => *kind = types,
        None => content["type"] = types,
    }
}

/// What one era calls the answer that only says that all is well.
pub(crate) fn has_result_type(version: Version) -> bool {
    version.era() == Era::Modern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_of_every_revision_is_a_schema() {
        for version in Version::ALL {
            let revision = Revision::of(version);
            let names: Vec<_> = revision.definitions().map(str::to_owned).collect();
            assert!(names.len() > 70, "{version}");
            for name in names.iter().filter(|name| name.ends_with("Result")) {
                assert!(revision.validator(name).is_some(), "{version} {name}");
            }
        }
    }

    #[test]
    fn methods_lead_to_definitions() {
        let check = |version, method: &str, expect: Option<&str>| {
            assert_eq!(Revision::of(version).of_method(method), expect, "{method}");
        };
        check(Version::V2024_11_05, "tools/call", Some("CallToolRequest"));
        check(Version::V2025_11_25, "notifications/progress", Some("ProgressNotification"));
        check(Version::V2026_07_28, "server/discover", Some("DiscoverRequest"));
        check(Version::V2026_07_28, "ping", None);
    }
}
