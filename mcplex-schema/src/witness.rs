//! All messages of one connection, both ways.

use crate::judge::{self, Asked, Side};
use mcplex_proto::{
    modern::PROTOCOL_VERSION,
    version::{Era, Version},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Requests that are remembered until they are answered; an older one is forgotten.
const MAX_ASKED: usize = 10_000;

/// Hears both sides and judges one of them.
///
/// A connection may carry both eras: a request names its revision itself or is one of the session
/// that `initialize` opened, and an answer is judged by the revision of its request.
#[derive(Debug)]
pub struct Witness {
    judged: Side,
    /// The revision of the session, once `initialize` was answered.
    session: Option<Version>,
    /// A stateless request was heard.
    has_modern: bool,
    by_client: BTreeMap<String, Asked>,
    by_server: BTreeMap<String, Asked>,
    /// Messages that were judged.
    pub judged_messages: u64,
}

impl Witness {
    /// Judges what this side says.
    #[must_use]
    pub fn new(judged: Side) -> Self {
        Self {
            judged,
            session: None,
            has_modern: false,
            by_client: BTreeMap::new(),
            by_server: BTreeMap::new(),
            judged_messages: 0,
        }
    }

    /// Takes what a side wrote, one message or a batch, and gives what is wrong with it.
    ///
    /// Of the side that is not judged nothing is ever wrong.
    pub fn hear(&mut self, side: Side, text: &[u8]) -> Vec<String> {
        let message: Value = match serde_json::from_slice(text) {
            Ok(message) => message,
            Err(error) if side == self.judged => return vec![format!("no JSON: {error}")],
            Err(_) => return Vec::new(),
        };
        let complaints = if let Value::Array(batch) = &message {
            let mut complaints: Vec<_> =
                batch.iter().flat_map(|message| self.one(side, message)).collect();
            if self.session.is_some_and(|version| version != Version::V2025_03_26) {
                complaints.push("a batch in a revision without batches".to_owned());
            }
            complaints
        } else {
            self.one(side, &message)
        };
        if side == self.judged { complaints } else { Vec::new() }
    }

    fn one(&mut self, side: Side, message: &Value) -> Vec<String> {
        if side == self.judged {
            self.judged_messages += 1;
        }
        if message.get("method").is_some() {
            self.call(side, message)
        } else {
            self.answer(side, message)
        }
    }

    fn call(&mut self, side: Side, message: &Value) -> Vec<String> {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let params = &message["params"];
        // Whoever names a revision is stateless, and is told so in the words of one that we know.
        let named = params["_meta"][PROTOCOL_VERSION].as_str();
        let named = named.map(|version| {
            let version = version.parse().ok();
            version.filter(|it: &Version| it.era() == Era::Modern).unwrap_or(Version::LATEST_MODERN)
        });
        self.has_modern |= named.is_some();
        let is_request = message.get("id").is_some();
        let version = named.unwrap_or_else(|| match self.session {
            None if is_request => Version::LATEST_LEGACY,
            _ => self.fallback(),
        });
        if let Some(id) = message.get("id") {
            let asked = Asked { method, version, as_task: params.get("task").is_some() };
            let table = match side {
                Side::Client => &mut self.by_client,
                Side::Server => &mut self.by_server,
            };
            if table.len() >= MAX_ASKED {
                table.pop_first();
            }
            table.insert(id.to_string(), asked);
        }
        let complaints = judge::call(side, message, version);
        // A notification does not say which era it belongs to, where both are spoken.
        let may_be_other = message.get("id").is_none() && self.has_modern && self.session.is_some();
        if may_be_other && !complaints.is_empty() {
            return judge::call(side, message, Version::LATEST_MODERN);
        }
        complaints
    }

    fn answer(&mut self, side: Side, message: &Value) -> Vec<String> {
        let table = match side {
            Side::Client => &mut self.by_server,
            Side::Server => &mut self.by_client,
        };
        let asked = message.get("id").and_then(|id| table.remove(&id.to_string()));
        if let Some(Asked { method, version, .. }) = &asked
            && method == "initialize"
            && version.era() == Era::Legacy
        {
            let spoken = message["result"]["protocolVersion"].as_str();
            self.session = spoken.and_then(|version| version.parse().ok()).or(self.session);
        }
        // The answer to `initialize` is of the revision that it names.
        let asked = asked.map(|asked| match self.session {
            Some(version) if asked.method == "initialize" => Asked { version, ..asked },
            _ => asked,
        });
        judge::response(message, asked.as_ref(), self.fallback())
    }

    /// The revision of what does not say it.
    fn fallback(&self) -> Version {
        let is_stateless = self.session.is_none() && self.has_modern;
        let unknown = if is_stateless { Version::LATEST_MODERN } else { Version::LATEST_LEGACY };
        self.session.unwrap_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_judged_by_the_revision_it_agreed_on() {
        let mut witness = Witness::new(Side::Server);
        let hear =
            |witness: &mut Witness, side, text: &str| witness.hear(side, text.as_bytes()).len();
        let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        assert_eq!(hear(&mut witness, Side::Client, hello), 0);
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
        assert_eq!(hear(&mut witness, Side::Server, answer), 0);
        let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}}"#;
        hear(&mut witness, Side::Client, call);
        // A link to a resource is not known to this revision.
        let link = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"resource_link","uri":"x://1","name":"n"}]}}"#;
        assert_ne!(hear(&mut witness, Side::Server, link), 0);
        assert_ne!(hear(&mut witness, Side::Server, "nonsense"), 0);
        assert_eq!(hear(&mut witness, Side::Client, "nonsense"), 0);
    }

    #[test]
    fn both_eras_may_share_a_pipe() {
        let mut witness = Witness::new(Side::Server);
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{{{meta}}}}}"#);
        witness.hear(Side::Client, call.as_bytes());
        let bad = r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[]}}"#;
        assert_ne!(witness.hear(Side::Server, bad.as_bytes()).len(), 0);
        witness.hear(Side::Client, call.as_bytes());
        let good = r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#;
        assert_eq!(witness.hear(Side::Server, good.as_bytes()), Vec::<String>::new());
    }

    #[test]
    fn who_names_a_revision_that_nobody_knows_is_answered_in_one_that_we_know() {
        let mut witness = Witness::new(Side::Server);
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2999-01-01"}}}"#;
        witness.hear(Side::Client, call.as_bytes());
        let error = r#"{"code":-32022,"message":"no","data":{"supported":[],"requested":""}}"#;
        for id in [r#","id":1"#, ""] {
            let answer = format!(r#"{{"jsonrpc":"2.0"{id},"error":{error}}}"#);
            assert_eq!(witness.hear(Side::Server, answer.as_bytes()), Vec::<String>::new());
        }
    }
}
