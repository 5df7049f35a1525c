//! What an upstream listed last, as a document that outlives the process.
//!
//! An upstream that is started by its first call is not asked for its lists before that; they come
//! from here. The document is made of the upstream's own bytes, so that what a client reads is the
//! same before and after the start.

use crate::lists::{self, Kind, Lists};
use mcplex_proto::{
    edit,
    handshake::ServerInfo,
    raw::{self, Raw},
    version::Version,
};
use std::{fmt, sync::Arc};

/// Where the lists of one upstream are remembered from one run of the gateway to the next.
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// The document that was remembered last, if there is one.
    fn recall(&self) -> Option<String>;

    /// Remembers a document instead of the one before; must return at once.
    fn remember(&self, document: String);
}

/// Raised when a document of before could not be understood any more.
const FORMAT: &str = "1";

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadDocument {
    #[error("it is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("it is of another version of mcplex")]
    Format,
    #[error("it lacks {0:?}")]
    Lacks(&'static str),
    #[error("it has no usable list {0:?}")]
    List(&'static str),
}

/// Writes down what an upstream offers; nothing before it has said what it is.
pub(crate) fn write(lists: &Lists) -> Option<String> {
    let info = lists.info.as_ref()?;
    let version = Raw::of(info.version.as_str());
    let instructions = Raw::of(&info.instructions);
    let server = edit::object([
        ("protocolVersion", version.as_str()),
        ("capabilities", info.capabilities.as_str()),
        ("serverInfo", info.implementation.as_str()),
        ("instructions", instructions.as_str()),
    ]);
    let arrays = Kind::ALL.map(|kind| {
        let items = lists.of(kind).iter().map(|item| item.raw.as_str());
        (kind.member(), edit::array(items))
    });
    let own = [("format", FORMAT), ("server", server.as_str())];
    let members = own.into_iter().chain(arrays.iter().map(|(name, list)| (*name, list.as_str())));
    Some(edit::object(members).as_str().to_owned())
}

/// Reads what [`write`] wrote.
pub(crate) fn read(document: String) -> Result<Lists, BadDocument> {
    let document = Raw::parse(document)?;
    let member = |name| edit::member(document.as_str(), name);
    if member("format").map(|format| format.get()) != Some(FORMAT) {
        return Err(BadDocument::Format);
    }
    let server = member("server").ok_or(BadDocument::Lacks("server"))?;
    let of_server = |name| edit::member(server.get(), name).ok_or(BadDocument::Lacks(name));
    let version = of_server("protocolVersion").map(raw::string)?;
    let known = Version::ALL.into_iter().find(|known| version.as_deref() == Some(known.as_str()));
    let info = ServerInfo {
        version: known.ok_or(BadDocument::Lacks("protocolVersion"))?,
        capabilities: Raw::part(&document, of_server("capabilities")?),
        implementation: Raw::part(&document, of_server("serverInfo")?),
        instructions: of_server("instructions").map(raw::string)?.map(|text| text.into_owned()),
    };
    let era = info.version.era();
    // How long a list may be kept was said of a moment that is long over, so it is not remembered.
    let mut lists = Lists { info: Some(Arc::new(info)), ..Lists::default() };
    for kind in Kind::ALL {
        let items = &mut lists.items[kind as usize];
        lists::take_page(&document, kind, era, items)
            .map_err(|_| BadDocument::List(kind.member()))?;
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Item;

    fn lists() -> Lists {
        let info = ServerInfo {
            version: Version::LATEST_LEGACY,
            capabilities: Raw::parse(r#"{"tools":{},"resources":{"subscribe":true}}"#).unwrap(),
            implementation: Raw::parse(r#"{"name":"x","version":"1"}"#).unwrap(),
            instructions: Some("Use \"it\" well".to_owned()),
        };
        let tool = r#"{"n":1.50,"name":"x","inputSchema":{"type":"object"},"z":{"é":"ü"}}"#;
        let tool = Item { key: "x".to_owned(), raw: Raw::parse(tool).unwrap() };
        let resource = Raw::parse(r#"{"uri":"x://1","name":"one"}"#).unwrap();
        let resource = Item { key: "x://1".to_owned(), raw: resource };
        let items = [vec![tool], Vec::new(), vec![resource], Vec::new()];
        Lists { items, info: Some(Arc::new(info)), ..Lists::default() }
    }

    #[test]
    fn what_is_read_is_what_was_written_byte_for_byte() {
        let (before, document) = (lists(), write(&lists()).unwrap());
        let after = read(document.clone()).unwrap();
        assert_eq!(after.items, before.items);
        let (one, two) = (before.info.unwrap(), after.info.as_ref().unwrap().clone());
        assert_eq!(one.instructions, two.instructions);
        assert_eq!(one.version.as_str(), two.version.as_str());
        assert_eq!(one.capabilities, two.capabilities);
        assert_eq!(one.implementation, two.implementation);
        assert_eq!(write(&after).unwrap(), document);
        assert!(write(&Lists::default()).is_none());
    }

    #[test]
    fn a_document_of_somebody_else_is_refused_whatever_it_is() {
        let good = write(&lists()).unwrap();
        let check = |document: String, expect: &str| {
            let error = read(document).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(good[..good.len() / 2].to_owned(), "not JSON");
        check("[]".to_owned(), "another version");
        check(good.replace(r#""format":1"#, r#""format":2"#), "another version");
        check(good.replace("serverInfo", "other"), "serverInfo");
        check(good.replace(Version::LATEST_LEGACY.as_str(), "1999-01-01"), "protocolVersion");
        check(good.replace(r#""tools":["#, r#""other":["#), "tools");
    }
}
