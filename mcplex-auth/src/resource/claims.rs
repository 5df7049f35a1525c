//! What a token says, judged: pure rules.

use crate::{
    metadata,
    resource::{
        options::Options,
        verdict::{Grant, Invalid, Principal},
    },
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// What a token says, as far as it matters.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: Option<String>,
    aud: Option<Texts>,
    /// Seconds since 1970, perhaps with a fraction.
    exp: Option<f64>,
    nbf: Option<f64>,
    scope: Option<Texts>,
    scp: Option<Texts>,
    client_id: Option<String>,
    azp: Option<String>,
    /// What its holder must show besides.
    cnf: Option<Value>,
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        texts.iter().map(String::as_str)
    }
}

impl Claims {
    /// Whose token it is; nobody's when it names neither a subject nor a client.
    pub(crate) fn principal(&self) -> Option<Principal> {
        let client = self.client_id.as_deref().or(self.azp.as_deref()).unwrap_or_default();
        let subject = self.sub.as_deref().unwrap_or_default();
        let is_somebody = !subject.is_empty() || !client.is_empty();
        is_somebody.then(|| Principal::new(&self.iss, subject, client))
    }
}

/// For whom a token must be, and when.
#[derive(Debug)]
pub(crate) struct Policy {
    resource: Url,
    audiences: Vec<String>,
    skew: Duration,
}

impl Policy {
    pub(crate) fn new(options: &Options, resource: Url) -> Self {
        Self { resource, audiences: options.audiences.clone(), skew: options.skew }
    }

    /// Judges what a token says whose signature is good.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are far from where these lose anything, and saturate"
    )]
    pub(crate) fn judge(&self, claims: Claims, now: u64) -> Result<Grant, Invalid> {
        let (now, skew) = (now as f64, self.skew.as_secs_f64());
        // A token without an end would be good for ever once it has leaked.
        let expires = claims.exp.filter(|end| now < end + skew).ok_or(Invalid::Expired)?;
        if claims.nbf.is_some_and(|begin| now < begin - skew) {
            return Err(Invalid::NotYet);
        }
        let mut audiences = claims.aud.iter().flat_map(Texts::iter);
        if !audiences.any(|audience| self.is_ours(audience)) {
            return Err(Invalid::Audience);
        }
        if claims.cnf.is_some() {
            return Err(Invalid::Bound);
        }
        let principal = claims.principal().ok_or(Invalid::Subject)?;
        let scopes = claims.scope.iter().chain(&claims.scp).flat_map(Texts::iter);
        let mut scopes: Vec<String> =
            scopes.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        Ok(Grant { principal, scopes, expires: (expires + skew).ceil() as u64 })
    }

    fn is_ours(&self, audience: &str) -> bool {
        self.audiences.iter().any(|own| own == audience)
            || metadata::is_same_resource(audience, &self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const RESOURCE: &str = "https://m.example/mcp";
    const NOW: u64 = 1_000_000;

    fn policy() -> Policy {
        let mut options = Options::new(RESOURCE);
        options.audiences = vec!["api://mcplex".to_owned()];
        Policy::new(&options, RESOURCE.parse().unwrap())
    }

    /// Good claims, with some put in their place or taken out (`null`).
    fn judge(changes: &Value) -> Result<Grant, Invalid> {
        let mut claims = json!({
            "iss": "https://as.example", "sub": "ada", "aud": RESOURCE, "exp": NOW + 300,
            "client_id": "c1", "scope": "b a",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        policy().judge(serde_json::from_value(claims).unwrap(), NOW)
    }

    #[test]
    fn a_good_token_names_who_and_what() {
        let grant = judge(&json!({})).unwrap();
        assert_eq!(grant.principal.as_str(), "https://as.example#ada#c1");
        assert_eq!(grant.scopes, ["a", "b"]);
        assert_eq!(grant.expires, NOW + 360);
    }

    #[test]
    fn each_rule_refuses_by_its_own_reason() {
        let check = |changes: Value, expect: Option<Invalid>| {
            assert_eq!(judge(&changes).err(), expect, "{changes}");
        };
        check(json!({"exp": null}), Some(Invalid::Expired));
        check(json!({"exp": NOW - 59}), None);
        check(json!({"exp": NOW - 60}), Some(Invalid::Expired));
        check(json!({"exp": 1.5}), Some(Invalid::Expired));
        check(json!({"exp": 1e300}), None);
        check(json!({"nbf": NOW + 60}), None);
        check(json!({"nbf": NOW + 61}), Some(Invalid::NotYet));
        check(json!({"aud": null}), Some(Invalid::Audience));
        check(json!({"aud": []}), Some(Invalid::Audience));
        check(json!({"aud": "https://other.example/mcp"}), Some(Invalid::Audience));
        check(json!({"aud": "https://m.example"}), Some(Invalid::Audience));
        check(json!({"aud": "c1"}), Some(Invalid::Audience));
        check(json!({"aud": ["https://other.example", RESOURCE]}), None);
        check(json!({"aud": "api://mcplex"}), None);
        check(json!({"cnf": {"jkt": "x"}}), Some(Invalid::Bound));
        check(json!({"sub": null}), None);
        check(json!({"sub": null, "client_id": null}), Some(Invalid::Subject));
        check(json!({"sub": "", "client_id": ""}), Some(Invalid::Subject));
    }

    #[test]
    fn scopes_are_read_in_every_form() {
        let check = |changes: Value, expect: &[&str]| {
            assert_eq!(judge(&changes).unwrap().scopes, expect, "{changes}");
        };
        check(json!({"scope": null}), &[]);
        check(json!({"scope": null, "scp": ["x", "y"]}), &["x", "y"]);
        check(json!({"scope": null, "scp": "x y"}), &["x", "y"]);
        check(json!({"scope": ["x"], "scp": ["x"]}), &["x"]);
    }

    proptest! {
        #[test]
        fn no_token_is_good_outside_of_its_time(exp in 0u64..2_000_000, nbf in 0u64..2_000_000) {
            let judged = judge(&json!({"exp": exp, "nbf": nbf}));
            prop_assert_eq!(judged.is_ok(), NOW < exp + 60 && NOW + 60 >= nbf);
        }

        #[test]
        fn no_text_but_ours_is_our_audience(audience in "(https://)?(m[.]example)?[/a-z.:]{0,8}") {
            let is_ours = audience.trim_end_matches('/') == RESOURCE;
            prop_assert_eq!(judge(&json!({"aud": audience})).is_ok(), is_ours);
        }
    }
}
