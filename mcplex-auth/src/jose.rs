//! Signed tokens: algorithms, keys, and the compact form of a JWS.
//!
//! Written on the cryptography that TLS uses anyway, and kept to what this crate needs: public keys
//! only. There is no symmetric algorithm and no `none`, so neither can be confused with anything.

mod algorithm;
pub use algorithm::Algorithm;

mod compact;
pub(crate) use compact::{Compact, TOKEN_MAX};

mod key;
pub(crate) use key::KeySet;

mod sign;
pub use sign::{KeyFault, SigningKey};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// Decodes base64url; padding and stray bits are refused.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes as base64url.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
