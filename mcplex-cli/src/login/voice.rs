//! How `mcplex login` and `mcplex logout` say what happens: to a person, or in lines of JSON.

use crate::exit::{Failure, print};
use serde_json::{Map, Value, json};

/// Says what becomes of one upstream's login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice<'a> {
    pub(crate) upstream: &'a str,
    /// Whether a program reads it.
    pub(crate) is_json: bool,
}

impl Voice<'_> {
    /// Says how it stands: `text` to a person, and the word and these members to a program.
    pub(crate) fn say(&self, text: &str, state: &str, more: Value) -> Result<(), Failure> {
        if !self.is_json {
            return print(text);
        }
        let mut all = Map::new();
        all.insert("upstream".to_owned(), json!(self.upstream));
        all.insert("state".to_owned(), json!(state));
        if let Value::Object(more) = more {
            all.extend(more);
        }
        print(&format!("{}\n", Value::Object(all)))
    }

    /// What came of a command: its failure is told to a program as well.
    pub(crate) fn ending(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let Err(failure) = outcome else { return Ok(()) };
        if self.is_json {
            let error = json!({
                "message": failure.sentence(),
                "hint": failure.hint(),
                "code": failure.code() as u8,
            });
            self.say("", "failed", json!({ "error": error }))?;
        }
        Err(failure)
    }
}
