//! Which arguments of a server's tools go into headers, learned from the lists that pass by.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use mcplex_proto::{
    edit::{self, Edit},
    error::ErrorObject,
    header::HeaderParams,
    message::Request,
    method, raw,
    raw::Raw,
    upstream::UpstreamName,
};
use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Tools with annotations that are remembered; servers have dozens of tools at most, and few of
/// those have annotations.
const MAX_TOOLS: usize = 4096;

/// What is known of the tools of one server.
#[derive(Debug, Default)]
pub(crate) struct Tools(Mutex<BTreeMap<String, HeaderParams>>);

impl Tools {
    /// The headers of a call's arguments.
    ///
    /// # Errors
    /// When an argument is of another kind than its schema says.
    pub(crate) fn headers(&self, call: &Request) -> Result<HeaderMap, ErrorObject> {
        let mut own = HeaderMap::new();
        if call.method != method::TOOLS_CALL {
            return Ok(own);
        }
        let params = call.params.as_ref().map(Raw::as_str).unwrap_or_default();
        let Some(name) = edit::member(params, "name").and_then(raw::string) else {
            return Ok(own);
        };
        let arguments = edit::member(params, "arguments").map(RawValue::get);
        let known = self.lock();
        let Some(known) = known.get(&*name) else { return Ok(own) };
        for (name, value) in known.build(arguments)? {
            let name = HeaderName::from_bytes(name.as_bytes());
            // Tokens and coded values are what headers take.
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                own.insert(name, value);
            }
        }
        Ok(own)
    }

    /// Learns from one page of a list, the first of which begins anew; gives the page without the
    /// tools whose annotations break the rules, as a client has to leave those out.
    pub(crate) fn learn(&self, upstream: &UpstreamName, page: &Raw, is_first: bool) -> Raw {
        let mut known = self.lock();
        if is_first {
            known.clear();
        }
        // Nearly every list is done with here.
        if memchr::memmem::find(page.bytes(), mcplex_proto::header::ANNOTATION.as_bytes()).is_none()
        {
            return page.clone();
        }
        let list = edit::member(page.as_str(), "tools");
        let Some((list, tools)) = list.and_then(|list| Some((list, edit::elements(list.get())?)))
        else {
            return page.clone();
        };
        let mut kept = Vec::new();
        for tool in &tools {
            let name = edit::member(tool.get(), "name").and_then(raw::string).unwrap_or_default();
            let schema = edit::member(tool.get(), "inputSchema").map_or("{}", RawValue::get);
            match HeaderParams::read(schema) {
                Ok(None) => {}
                Ok(Some(params)) if known.len() < MAX_TOOLS => {
                    known.insert(name.into_owned(), params);
                }
                Ok(Some(_)) => {
                    tracing::warn!(%upstream, tool = &*name,
                        "too many tools have `x-mcp-header`; this one is called without");
                }
                Err(why) => {
                    tracing::warn!(%upstream, tool = &*name, %why,
                        "a tool is left out: its schema breaks the rules for headers");
                    continue;
                }
            }
            kept.push(tool.get());
        }
        if kept.len() == tools.len() {
            return page.clone();
        }
        let mut edit = Edit::new(page.as_str());
        edit.replace(list, edit::array(kept).as_str());
        edit.finish()
    }

    /// Locks for a moment, never over a wait; a panic elsewhere leaves whole entries behind.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, HeaderParams>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(tools: &str) -> Raw {
        Raw::parse(format!(r#"{{"tools":[{tools}],"nextCursor":"n"}}"#)).unwrap()
    }

    fn call(tools: &Tools, params: &str) -> Vec<(String, String)> {
        let params = Some(Raw::parse(params.to_owned()).unwrap());
        let headers = tools.headers(&Request::new(1, method::TOOLS_CALL, params)).unwrap();
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        headers.iter().map(text).collect()
    }

    #[test]
    fn a_call_has_the_headers_that_the_last_list_named() {
        let upstream = UpstreamName::new("a").unwrap();
        let tools = Tools::default();
        let good = r#"{"name":"q","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}"#;
        let plain = r#"{"name":"p","inputSchema":{"type":"object"}}"#;
        let bad = r#"{"name":"b","inputSchema":{"properties":{"r":{"type":"number","x-mcp-header":"R"}}}}"#;
        let whole = page(&format!("{good}, {plain}"));
        assert_eq!(tools.learn(&upstream, &whole, true), whole, "not a byte differs");
        let region = vec![("mcp-param-region".to_owned(), "=?base64?w6Q=?=".to_owned())];
        assert_eq!(call(&tools, r#"{"name":"q","arguments":{"r":"ä"}}"#), region);
        assert_eq!(call(&tools, r#"{"name":"q","arguments":{}}"#), []);
        assert_eq!(call(&tools, r#"{"name":"p","arguments":{"r":"x"}}"#), []);

        // A second page adds, and leaves out what breaks the rules.
        let cut = tools.learn(&upstream, &page(&format!("{bad}, {plain}")), false);
        assert_eq!(cut, page(plain));
        assert_eq!(call(&tools, r#"{"name":"q","arguments":{"r":"ä"}}"#), region);

        // A first page forgets.
        tools.learn(&upstream, &page(plain), true);
        assert_eq!(call(&tools, r#"{"name":"q","arguments":{"r":"ä"}}"#), []);
    }
}
