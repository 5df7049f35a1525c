//! What is thought of a token, and how a request is told so.

use crate::challenge::Challenge;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::{fmt, sync::Arc};
use url::Url;

/// What is thought of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its token is good.
    Granted(Arc<Grant>),
    /// It has none.
    Missing,
    /// Its token is not good.
    Invalid(Invalid),
    /// Its token is good for less than this.
    InsufficientScope {
        /// What is needed.
        needed: Vec<String>,
    },
    /// Nobody can tell: the keys of its issuer cannot be fetched.
    Unavailable,
}

/// What is thought of a request, and whose token it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is thought of it.
    pub verdict: Verdict,
    /// Whose token it is, if its signature is good: also that of one which has ended, or is meant
    /// for somebody else.
    pub principal: Option<Principal>,
}

impl From<Verdict> for Judged {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, principal: None }
    }
}

/// What a good token allows, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who may do it.
    pub principal: Principal,
    /// What may be done.
    pub scopes: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

impl Grant {
    /// Whether it allows all of these.
    #[must_use]
    pub fn allows(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

/// What would end a part of a name, or the line that it is written in.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b'#').add(b'%').add(b' ').add(b'"');

/// Who sends requests: a name that is the same in every token of the same issuer, subject and
/// client, and in no other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// `issuer#subject#client`; a `#` within a part is escaped, and no issuer has one.
    pub(crate) fn new(issuer: &str, subject: &str, client: &str) -> Self {
        let escape = |part| utf8_percent_encode(part, SEPARATORS);
        Self(format!("{issuer}#{}#{}", escape(subject), escape(client)).into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why a token is not good. The words are for clients, so they tell nothing but the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// The header holds something else, or more than one.
    Header,
    /// It is no signed token.
    Malformed,
    /// It is not signed, or in a way that is not taken.
    Algorithm,
    /// It is made for something else.
    Type,
    /// It is from somebody else.
    Issuer,
    /// Its issuer has no such key.
    UnknownKey,
    /// It was changed, or somebody else made it.
    Signature,
    /// It has ended, or never says when.
    Expired,
    /// It has not begun.
    NotYet,
    /// It is for somebody else.
    Audience,
    /// It says of nobody that they may do something.
    Subject,
    /// Only the holder of a key may use it, which a bearer does not show.
    Bound,
}

impl Invalid {
    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "the Authorization header holds no single bearer token",
            Self::Malformed => "the token is no JWT that can be read here",
            Self::Algorithm => "the token is signed with an algorithm that is not allowed",
            Self::Type => "the token is no access token",
            Self::Issuer => "the token is from an issuer that is not trusted here",
            Self::UnknownKey => "the token is signed with an unknown key",
            Self::Signature => "the signature of the token is wrong",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Audience => "the token is meant for another resource",
            Self::Subject => "the token names no subject",
            Self::Bound => "the token is bound to a key, which is not supported here",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The same for people.
    pub message: &'static str,
}

impl Refusal {
    /// What a request with this verdict may do, or how it is refused.
    pub(crate) fn of(
        verdict: &Verdict,
        metadata: &Url,
        scopes: &[String],
    ) -> Result<Arc<Grant>, Self> {
        let (status, error, message) = match verdict {
            Verdict::Granted(grant) => return Ok(Arc::clone(grant)),
            // Without a token there is no error in it (RFC 6750, section 3.1).
            Verdict::Missing => (401, None, "a bearer token is needed"),
            Verdict::Invalid(why @ Invalid::Header) => (400, Some("invalid_request"), why.as_str()),
            Verdict::Invalid(why) => (401, Some("invalid_token"), why.as_str()),
            Verdict::InsufficientScope { .. } => {
                (403, Some("insufficient_scope"), "the token allows too little")
            }
            Verdict::Unavailable => {
                let message = "the token cannot be checked at the moment";
                return Err(Self { status: 503, challenge: None, message });
            }
        };
        let needed = match verdict {
            Verdict::InsufficientScope { needed } => needed,
            Verdict::Granted(_) | Verdict::Missing | Verdict::Invalid(_) | Verdict::Unavailable => {
                scopes
            }
        };
        let challenge = Challenge {
            resource_metadata: Some(metadata.to_string()),
            scope: (!needed.is_empty()).then(|| needed.join(" ")),
            error: error.map(str::to_owned),
            error_description: error.map(|_| message.to_owned()),
        };
        Err(Self { status, challenge: Some(challenge.to_string()), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_verdict_has_its_status_and_challenge() {
        let metadata = "https://m.example/.well-known/oauth-protected-resource/mcp";
        let check = |verdict: &Verdict, status: u16, challenge: Option<&str>| {
            let scopes = ["mcp".to_owned(), "tools".to_owned()];
            let refusal = Refusal::of(verdict, &metadata.parse().unwrap(), &scopes).unwrap_err();
            assert_eq!(refusal.status, status);
            let expect = challenge.map(|rest| {
                format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp tools\"{rest}")
            });
            assert_eq!(refusal.challenge, expect);
        };
        check(&Verdict::Missing, 401, Some(""));
        check(
            &Verdict::Invalid(Invalid::Expired),
            401,
            Some(", error=\"invalid_token\", error_description=\"the token has expired\""),
        );
        check(
            &Verdict::Invalid(Invalid::Header),
            400,
            Some(
                ", error=\"invalid_request\", error_description=\"the Authorization header holds \
                 no single bearer token\"",
            ),
        );
        check(
            &Verdict::InsufficientScope { needed: vec!["mcp".to_owned(), "tools".to_owned()] },
            403,
            Some(
                ", error=\"insufficient_scope\", error_description=\"the token allows too little\"",
            ),
        );
        check(&Verdict::Unavailable, 503, None);
    }

    proptest! {
        #[test]
        fn two_who_differ_have_two_names(
            a in "[a#% ]{0,4}", b in "[a#% ]{0,4}", c in "[a#% ]{0,4}", d in "[a#% ]{0,4}",
        ) {
            let one = Principal::new("https://as.example", &a, &b);
            let other = Principal::new("https://as.example", &c, &d);
            prop_assert_eq!(one == other, (a, b) == (c, d));
        }
    }
}
