//! The compact form of a signed token: three parts with dots between (RFC 7515).

use crate::jose::decode;
use serde::Deserialize;

/// The longest token that is looked at, in bytes; 16 KiB. Real ones have 1 to 4 KiB, and the head
/// of a request has room for more.
pub(crate) const TOKEN_MAX: usize = 16 * 1024;

/// A token whose signature nobody has looked at yet.
pub(crate) struct Compact<'a> {
    pub(crate) header: Header,
    /// What is signed.
    pub(crate) signed: &'a str,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The header of a token, as far as it matters.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// Extensions that must be understood; we know none.
    crit: Option<serde_json::Value>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; `None` when it is none, or one with extensions that it calls critical.
    pub(crate) fn read(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // base64url has no dot, so a fourth part fails here.
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self { header, signed, payload: decode(payload)?, signature: decode(signature)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::encode;

    #[test]
    fn only_three_sound_parts_are_a_token() {
        let part = |text: &str| encode(text.as_bytes());
        let header = part(r#"{"alg":"ES256","kid":"a"}"#);
        let check = |token: &str, expect: bool| {
            assert_eq!(Compact::read(token).is_some(), expect, "{token}");
        };
        check(&format!("{header}.{}.{}", part("{}"), part("s")), true);
        check(&format!("{header}.{}.", part("{}")), true);
        check(&format!("{header}.{}", part("{}")), false);
        check(&format!("{header}.{}.{}.{}", part("{}"), part("s"), part("t")), false);
        check(&format!("{header}.{}=.{}", part("{}"), part("s")), false);
        check(&format!("{}.{}.{}", part("{}"), part("{}"), part("s")), false);
        check(&format!("{}.{}.{}", part("x"), part("{}"), part("s")), false);
        check(&format!("{}.e30.e30", part(r#"{"alg":"ES256","alg":"none"}"#)), false);
        check(&format!("{}.e30.e30", part(r#"{"alg":"ES256","crit":["b64"]}"#)), false);
        check(&format!("{}.e30.e30", part(r#"{"alg":"ES256","crit":[]}"#)), false);
        check("", false);
        check("..", false);
        check(&format!("{header}.{}.e30", "A".repeat(TOKEN_MAX)), false);
    }
}
