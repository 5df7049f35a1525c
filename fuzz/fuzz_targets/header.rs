//! Headers: what is coded comes back, and what a schema's headers are built of is found good again.
//!
//! The input is a value, the schema of a tool and arguments for it, each ended by a NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcplex_proto::header::{self, HeaderParams};

fuzz_target!(|bytes: &[u8]| {
    let _decoded = header::decode(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split('\0');
    let mut next = || parts.next().unwrap_or_default();
    let (value, schema, arguments) = (next(), next(), next());
    let coded = header::encode(value);
    assert!(coded.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    assert_eq!(header::decode(coded.as_bytes()).as_deref(), Some(value));
    let Some(params) = HeaderParams::read(schema).ok().flatten() else { return };
    if let Ok(headers) = params.build(Some(arguments)) {
        let find = |name: &str| {
            let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_bytes())
        };
        assert!(params.check(Some(arguments), find).is_ok());
    }
});
