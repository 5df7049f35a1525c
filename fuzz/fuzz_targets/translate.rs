//! Translation: every result of every method stays JSON, and a second time changes nothing more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcplex_proto::{method, raw::Raw, version::Version};
use mcplex_translate::{error, item, question, result};

const METHODS: [&str; 4] =
    [method::TOOLS_CALL, method::PROMPTS_GET, method::RESOURCES_READ, method::COMPLETE];

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (from, to, method, bytes) = input;
    let version = |at: u8| Version::ALL[usize::from(at) % Version::ALL.len()];
    let (from, to) = (version(from), version(to));
    let method = METHODS[usize::from(method) % METHODS.len()];
    let Ok(raw) = Raw::parse(bytes.to_vec()) else { return };
    let is_json = |raw: &Raw| Raw::parse(raw.bytes().clone()).is_ok();
    if let Some(new) = result::to_client(method, &raw, from, to, None) {
        assert!(is_json(&new));
        assert_eq!(result::to_client(method, &new, from, to, None).unwrap_or(new.clone()), new);
    }
    assert!(item::tool(&raw, from, to).is_none_or(|new| is_json(&new)));
    assert!(error::to_client(&raw, from, to, true).is_none_or(|new| is_json(&new)));
    if let Ok(required) = question::Required::read(&raw) {
        let written = required.write(None);
        assert_eq!(question::Required::read(&written).as_ref(), Ok(&required));
    }
    let retry = question::retry(Some(&raw), &question::answers(Some(&raw)), None);
    assert!(is_json(&retry));
});
