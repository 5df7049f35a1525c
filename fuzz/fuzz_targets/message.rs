//! Messages: what is read is written again with the same meaning, and its era can be told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcplex_proto::{
    handshake,
    message::Message,
    modern,
    redact,
};

fuzz_target!(|bytes: &[u8]| {
    let parsed = match Message::parse(bytes.to_vec().into()) {
        Ok(message) => message,
        Err(bad) => {
            let answer = Message::from(bad.to_response()).to_bytes();
            assert!(serde_json::from_slice::<serde_json::Value>(&answer).is_ok());
            return;
        }
    };
    let written = parsed.to_bytes();
    assert!(!written.contains(&b'\n'), "a message is one line");
    let again = Message::parse(written.clone()).expect("what is written can be read");
    assert_eq!(again.to_bytes(), written);
    let params = match &parsed {
        Message::Request(request) => request.params.as_ref(),
        Message::Notification(notification) => notification.params.as_ref(),
        Message::Response(_) => None,
    };
    if let Ok(modern::Class::Modern(envelope)) = modern::classify(params) {
        assert!(modern::named_version(params).is_some());
        if let Some(client) = &envelope.client_info {
            let _title = handshake::title(client.as_str());
        }
    }
    if let Some(params) = params {
        let _redacted = redact::redact(params.as_str());
    }
});
