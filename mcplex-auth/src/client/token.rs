//! Tokens, as a token endpoint hands them out.

use crate::{client::error::AuthError, fetch::Answer, metadata::Issuer, secret::Secret};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How long a token is used whose end nobody told; 10 min. The server tells us if it is shorter.
const UNTOLD: Duration = Duration::from_secs(600);

/// The longest text of others that is shown to people.
const TEXT_MAX: usize = 200;

/// A token in use.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) header: Secret,
    pub(crate) serial: u64,
    pub(crate) since: Duration,
    until: Duration,
    /// Whether it was handed out when it began to be used.
    is_new: bool,
}

impl Token {
    /// A token that ends `lead` early, but is used for half of its life at least.
    pub(crate) fn new(
        access: Secret,
        expires_in: Option<Duration>,
        lead: Duration,
        now: Duration,
    ) -> Self {
        let life = expires_in.unwrap_or(UNTOLD);
        let until = now + life.saturating_sub(lead).max(life / 2);
        Self { header: access, serial: 0, since: now, until, is_new: false }
    }

    /// The same, just handed out.
    pub(crate) fn renewed(self) -> Self {
        Self { is_new: true, ..self }
    }

    /// Whether it was handed out so shortly ago that another one would be no better.
    pub(crate) fn is_young(&self, now: Duration, young: Duration) -> bool {
        self.is_new && now < self.since + young
    }

    pub(crate) fn is_good(&self, now: Duration) -> bool {
        now < self.until
    }
}

/// What a token endpoint hands out.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The value of the `Authorization` header.
    pub(crate) access: Secret,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh: Option<Secret>,
    /// What it allows, where that is told.
    pub(crate) scope: Option<String>,
}

impl Granted {
    /// Reads the answer of a token endpoint.
    pub(crate) fn read(answer: &Answer, issuer: &Issuer) -> Result<Self, AuthError> {
        #[derive(Deserialize)]
        struct Words {
            access_token: String,
            token_type: String,
            expires_in: Option<Value>,
            refresh_token: Option<String>,
            scope: Option<String>,
        }
        if answer.status != 200 {
            return Err(refused(answer, issuer));
        }
        let unusable = || AuthError::Answer { issuer: issuer.to_string() };
        let words: Words = serde_json::from_slice(&answer.body.0).map_err(|_| unusable())?;
        let is_visible = words.access_token.bytes().all(|byte| byte.is_ascii_graphic());
        let is_bearer = words.token_type.eq_ignore_ascii_case("bearer");
        if !is_bearer || !is_visible || words.access_token.is_empty() {
            return Err(unusable());
        }
        Ok(Self {
            access: Secret::new(format!("Bearer {}", words.access_token)),
            expires_in: words.expires_in.as_ref().and_then(seconds),
            refresh: words.refresh_token.map(Secret::new),
            scope: words.scope,
        })
    }
}

/// A number of seconds, which some servers write as a text; a year at most.
fn seconds(value: &Value) -> Option<Duration> {
    const YEAR: u64 = 365 * 24 * 60 * 60;
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    Some(Duration::from_secs(seconds.min(YEAR)))
}

fn refused(answer: &Answer, issuer: &Issuer) -> AuthError {
    #[derive(Deserialize)]
    struct Words {
        error: String,
        error_description: Option<String>,
    }
    let (issuer, status) = (issuer.to_string(), answer.status);
    match serde_json::from_slice::<Words>(&answer.body.0) {
        Ok(words) if words.error == "invalid_grant" => AuthError::LoginNeeded { issuer },
        Ok(words) => AuthError::Refused {
            issuer,
            error: shown(&words.error),
            description: words.error_description.as_deref().map(shown),
            status,
        },
        Err(_) => {
            let error = format!("status {status}");
            AuthError::Refused { issuer, error, description: None, status }
        }
    }
}

/// A text of others, made fit for one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Body;
    use serde_json::json;

    fn read(status: u16, body: &Value) -> Result<Granted, AuthError> {
        let issuer = Issuer::new("https://as.example").unwrap();
        let answer = Answer { status, challenge: None, body: Body(body.to_string().into()) };
        Granted::read(&answer, &issuer)
    }

    #[test]
    fn only_a_bearer_token_is_taken() {
        let check = |body: Value, expect: bool| {
            assert_eq!(read(200, &body).is_ok(), expect, "{body}");
        };
        check(json!({"access_token": "a", "token_type": "Bearer"}), true);
        check(json!({"access_token": "a", "token_type": "bearer"}), true);
        check(json!({"access_token": "a", "token_type": "DPoP"}), false);
        check(json!({"access_token": "a"}), false);
        check(json!({"access_token": "", "token_type": "Bearer"}), false);
        check(json!({"access_token": "a\r\nX: y", "token_type": "Bearer"}), false);
        check(json!([]), false);
    }

    #[test]
    fn the_life_of_a_token_is_read_in_every_form() {
        let check = |expires_in: Value, expect: Option<u64>| {
            let body =
                json!({"access_token": "a", "token_type": "Bearer", "expires_in": expires_in});
            let read = read(200, &body).unwrap();
            assert_eq!(read.expires_in, expect.map(Duration::from_secs), "{body}");
        };
        check(json!(300), Some(300));
        check(json!("300"), Some(300));
        check(json!(null), None);
        check(json!(-1), None);
        check(json!(u64::MAX), Some(365 * 24 * 60 * 60));
    }

    #[test]
    fn a_token_is_replaced_before_its_end() {
        let check = |life: Option<u64>, expect: u64| {
            let life = life.map(Duration::from_secs);
            let (lead, now) = (Duration::from_secs(60), Duration::from_secs(1000));
            let token = Token::new(Secret::new("a"), life, lead, now);
            assert!(token.is_good(now + Duration::from_millis(expect * 1000 - 1)));
            assert!(!token.is_good(now + Duration::from_secs(expect)));
        };
        check(Some(300), 240);
        check(Some(60), 30);
        check(None, 540);
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        let check = |status: u16, body: Value, expect: &str| {
            let error = read(status, &body).unwrap_err();
            assert_eq!(error.to_string(), expect);
            assert_eq!(error.is_passing(), status == 500);
        };
        let denied = json!({"error": "invalid_client", "error_description": "wrong\nsecret"});
        check(401, denied, "https://as.example gives no token: invalid_client (wrongsecret)");
        check(
            400,
            json!({"error": "invalid_grant"}),
            "somebody has to log in at https://as.example",
        );
        check(500, json!("<html>"), "https://as.example gives no token: status 500");
    }
}
