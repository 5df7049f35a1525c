//! Blocks of content that an older revision does not know.

use crate::draft::{Draft, map_elements};
use mcplex_proto::{edit, raw, raw::Raw, version::Version};
use serde_json::json;

/// One block as the revision knows it; `None` when it does already.
pub(crate) fn block(block: &str, to: Version) -> Option<String> {
    let text = |name| edit::member(block, name).and_then(raw::string);
    let kind = text("type")?;
    match &*kind {
        "resource_link" if to < Version::V2025_06_18 => {
            let uri = text("uri").unwrap_or_default();
            let name = text("title").or_else(|| text("name")).unwrap_or_default();
            let said = match text("description") {
                Some(description) => format!("{name}: {uri} ({description})"),
                None => format!("{name}: {uri}"),
            };
            Some(json!({ "type": "text", "text": said }).to_string())
        }
        // The bytes stay available as a resource, under a URI that leads nowhere.
        "audio" if to < Version::V2025_03_26 => {
            let resource = json!({
                "uri": "data:,audio",
                "mimeType": text("mimeType").unwrap_or_default(),
                "blob": text("data").unwrap_or_default(),
            });
            Some(json!({ "type": "resource", "resource": resource }).to_string())
        }
        _ => None,
    }
}

/// An array of blocks.
pub(crate) fn blocks(array: &str, to: Version) -> Option<String> {
    map_elements(array, |element| block(element, to))
}

/// An array of blocks in which the JSON of a value stands as well, if none of them is JSON yet.
pub(crate) fn with_text_of(array: &str, value: &str) -> Option<String> {
    let elements = edit::elements(array)?;
    let is_json = |element: &&serde_json::value::RawValue| {
        let text = edit::member(element.get(), "text").and_then(raw::string);
        text.is_some_and(|text| Raw::parse(text.into_owned()).is_ok())
    };
    if elements.iter().any(is_json) {
        return None;
    }
    let text = Raw::of(value);
    let block = edit::object([("type", "\"text\""), ("text", text.as_str())]);
    let all = elements.iter().map(|element| element.get()).chain([block.as_str()]);
    Some(edit::array(all).as_str().to_owned())
}

/// Wraps structured content that is no object, which 2025-06-18 and 2025-11-25 do not know, and puts
/// its text beside it.
pub(crate) fn wrap_structured(draft: &mut Draft<'_>) {
    let Some(value) = draft.get("structuredContent").map(str::to_owned) else { return };
    if value.starts_with('{') {
        return;
    }
    draft.set("structuredContent", format!("{{\"result\":{value}}}"));
    draft.map("content", |content| with_text_of(content, &value));
}

/// What a model reads or writes, one block or several, for the revisions with sessions that know
/// results of tools in it; `None` when it is that already.
pub(crate) fn sampled(content: &str) -> Option<String> {
    let block = |block: &str| {
        let kind = edit::member(block, "type").and_then(raw::string)?;
        if kind != "tool_result" {
            return None;
        }
        let mut draft = Draft::read(block)?;
        wrap_structured(&mut draft);
        draft.text()
    };
    map_elements(content, block).or_else(|| block(content))
}
