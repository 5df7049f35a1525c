//! Tokens that real keys have signed, judged against a made-up web.

use super::*;
use crate::testing::{FakeWeb, ManualClock, Pair, START, hs256, part};
use crate::{jose::encode, metadata::Issuer};
use hyper::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const ISSUER: &str = "https://as.example";
const KEYS: &str = "https://as.example/keys";
const METADATA: &str = "https://as.example/.well-known/oauth-authorization-server";
const RESOURCE: &str = "https://m.example/mcp";

struct World {
    web: Arc<FakeWeb>,
    clock: Arc<ManualClock>,
    pair: Pair,
    server: ResourceServer,
}

impl World {
    fn new(algorithm: Algorithm) -> Self {
        Self::with(algorithm, |_| {})
    }

    fn with(algorithm: Algorithm, change: impl FnOnce(&mut Options)) -> Self {
        let (web, clock) = (Arc::new(FakeWeb::default()), ManualClock::new());
        let pair = Pair::new(algorithm);
        web.put(METADATA, 200, &json!({"issuer": ISSUER, "jwks_uri": KEYS}));
        web.put(KEYS, 200, &json!({"keys": [pair.public("k1")]}));
        let mut options = Options::new(RESOURCE);
        options.issuers = vec![Issuer::new(ISSUER).unwrap()];
        options.scopes = vec!["mcp".to_owned()];
        change(&mut options);
        let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&web);
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let server = ResourceServer::new(options, &fetch, time).unwrap();
        Self { web, clock, pair, server }
    }

    async fn judge(&self, token: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        self.server.judge(&headers).await
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        self.pair.token(header, claims)
    }

    async fn judge_with(&self, header: Value, claims: &Value) -> Verdict {
        self.judge(&self.token(&header, claims)).await
    }
}

/// Good claims.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "ada", "aud": RESOURCE, "exp": START + 300, "client_id": "c",
        "scope": "mcp other",
    })
}

fn kid(id: &str) -> Value {
    json!({ "kid": id })
}

#[tokio::test]
async fn good_tokens_of_every_algorithm_are_granted() {
    for algorithm in
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]
    {
        let world = World::new(algorithm);
        let Verdict::Granted(grant) = world.judge_with(kid("k1"), &claims()).await else {
            panic!("{algorithm} is refused");
        };
        assert_eq!(grant.principal.as_str(), "https://as.example#ada#c");
        assert_eq!(grant.scopes, ["mcp", "other"]);
        assert_eq!(world.web.asked(), [METADATA, KEYS]);
        // Without a name of its key, and in the older type.
        let verdict = world.judge_with(json!({"typ": "JWT"}), &claims()).await;
        assert!(matches!(verdict, Verdict::Granted(_)), "{algorithm}");
        let verdict = world.judge_with(json!({"typ": null}), &claims()).await;
        assert!(matches!(verdict, Verdict::Granted(_)), "{algorithm}");
        assert_eq!(world.web.asked(), [""; 0]);
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_told_what_is_needed() {
    let world = World::new(Algorithm::Es256);
    let verdict = world.server.judge(&HeaderMap::new()).await;
    assert_eq!(verdict, Verdict::Missing);
    let refusal = world.server.answer(&verdict).unwrap_err();
    assert_eq!(refusal.status, 401);
    assert_eq!(
        refusal.challenge.unwrap(),
        "Bearer resource_metadata=\"https://m.example/.well-known/oauth-protected-resource/mcp\", \
         scope=\"mcp\""
    );
    assert_eq!(
        world.server.paths(),
        ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"]
    );
    let document: Value = serde_json::from_str(world.server.document()).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["mcp"],
            "bearer_methods_supported": ["header"],
        })
    );
    assert_eq!(world.web.asked(), [""; 0]);
}

#[tokio::test]
async fn forged_tokens_are_refused_by_their_own_reason() {
    let world = World::new(Algorithm::Rs256);
    let check = async |token: String, expect: Invalid| {
        assert_eq!(world.judge(&token).await, Verdict::Invalid(expect), "{token}");
    };
    let good = world.token(&kid("k1"), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    // Changed, and signed by somebody else under the same name.
    let mut more = claims();
    more["scope"] = "mcp admin".into();
    check(format!("{header}.{}.{signature}", part(&more)), Invalid::Signature).await;
    check(format!("{signed}."), Invalid::Signature).await;
    let other = Pair::new(Algorithm::Es256).token(&kid("k1"), &claims());
    check(other, Invalid::UnknownKey).await;
    // Not signed at all.
    for name in ["none", "None", "nOnE", ""] {
        let header = part(&json!({"alg": name, "typ": "at+jwt"}));
        check(format!("{header}.{}.", part(&claims())), Invalid::Algorithm).await;
    }
    // Signed with what everybody knows: the public key in the forms it is written in.
    let public = world.pair.public("k1");
    for password in [public.to_string(), public["n"].as_str().unwrap().to_owned(), String::new()] {
        let header = json!({"alg": "HS256", "kid": "k1", "typ": "at+jwt"});
        check(hs256(password.as_bytes(), &header, &claims()), Invalid::Algorithm).await;
        let header = json!({"alg": "RS256", "kid": "k1", "typ": "at+jwt"});
        check(hs256(password.as_bytes(), &header, &claims()), Invalid::Signature).await;
    }
    // Keys that the token brings along.
    let thief = Pair::new(Algorithm::Es256);
    let brought =
        json!({"kid": "k1", "jwk": thief.public("k1"), "jku": "https://evil.example/keys"});
    check(thief.token(&brought, &claims()), Invalid::UnknownKey).await;
    // Another type, signed with the right key.
    let header = json!({"kid": "k1", "typ": "logout+jwt"});
    check(world.token(&header, &claims()), Invalid::Type).await;
    let header = json!({"kid": "k1", "crit": ["exp"], "exp": 1});
    check(world.token(&header, &claims()), Invalid::Malformed).await;
    check("opaque".to_owned(), Invalid::Malformed).await;
    check(format!("a.{}.b", part(&claims())), Invalid::Malformed).await;
    assert!(!world.web.asked().iter().any(|url| url.contains("evil")));
}

#[tokio::test]
async fn sound_tokens_for_others_are_refused() {
    let world = World::new(Algorithm::Es256);
    let check = async |changes: Value, expect: Verdict| {
        let mut all = claims();
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        assert_eq!(world.judge_with(kid("k1"), &all).await, expect, "{changes}");
    };
    let invalid = Verdict::Invalid;
    check(json!({"exp": START - 60}), invalid(Invalid::Expired)).await;
    check(json!({"nbf": START + 61}), invalid(Invalid::NotYet)).await;
    check(json!({"aud": "https://m.example/other"}), invalid(Invalid::Audience)).await;
    check(json!({"iss": "https://evil.example"}), invalid(Invalid::Issuer)).await;
    check(json!({"iss": "https://as.example/"}), invalid(Invalid::Issuer)).await;
    check(json!({"iss": null}), invalid(Invalid::Malformed)).await;
    let needed = vec!["mcp".to_owned()];
    check(json!({"scope": "other"}), Verdict::InsufficientScope { needed }).await;
    assert_eq!(world.web.asked(), [METADATA, KEYS], "nobody else was ever asked");
}

#[tokio::test]
async fn only_allowed_algorithms_count() {
    let world = World::with(Algorithm::Es256, |options| {
        options.algorithms = [Algorithm::EdDsa].into();
    });
    let verdict = world.judge_with(kid("k1"), &claims()).await;
    assert_eq!(verdict, Verdict::Invalid(Invalid::Algorithm));
    assert_eq!(world.web.asked(), [""; 0]);
}

#[tokio::test]
async fn a_token_ends_even_when_it_is_known() {
    let world = World::new(Algorithm::Es256);
    let mut short = claims();
    short["exp"] = (START + 10).into();
    let token = world.token(&kid("k1"), &short);
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    world.clock.advance(69);
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    world.clock.advance(1);
    assert_eq!(world.judge(&token).await, Verdict::Invalid(Invalid::Expired));
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_cost_little() {
    let world = World::new(Algorithm::Es256);
    assert!(matches!(world.judge_with(kid("k1"), &claims()).await, Verdict::Granted(_)));
    world.web.asked();
    let next = Pair::new(Algorithm::Es256);
    let token = next.token(&kid("k2"), &claims());
    world.web.put(KEYS, 200, &json!({"keys": [world.pair.public("k1"), next.public("k2")]}));
    // The pause after the last fetch.
    assert_eq!(world.judge(&token).await, Verdict::Invalid(Invalid::UnknownKey));
    assert_eq!(world.web.asked(), [""; 0]);
    world.clock.advance(10);
    let both = tokio::join!(world.judge(&token), world.judge(&token));
    assert!(matches!(both, (Verdict::Granted(_), Verdict::Granted(_))), "{both:?}");
    assert_eq!(world.web.asked(), [KEYS], "one fetch for both");
    // Somebody makes up names.
    for number in 0..100 {
        let token = next.token(&kid(&format!("k{number}x")), &claims());
        assert_eq!(world.judge(&token).await, Verdict::Invalid(Invalid::UnknownKey));
        world.clock.advance(1);
    }
    assert_eq!(world.web.asked().len(), 9);
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_no_longer_than_its_age() {
    let world = World::with(Algorithm::Es256, |options| {
        options.keys_age = Duration::from_secs(100);
    });
    let token = world.token(&kid("k1"), &claims());
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    world.web.put(KEYS, 200, &json!({"keys": []}));
    world.clock.advance(99);
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    world.clock.advance(61);
    assert_eq!(world.judge(&token).await, Verdict::Invalid(Invalid::UnknownKey));
}

#[tokio::test]
async fn nothing_is_refused_for_what_the_issuer_cannot_say() {
    let world = World::with(Algorithm::Es256, |options| {
        options.keys_age = Duration::from_secs(100);
    });
    let mut long = claims();
    long["exp"] = (START + 10_000).into();
    let token = world.token(&kid("k1"), &long);
    world.web.put(METADATA, 500, &json!({}));
    let verdict = world.judge(&token).await;
    assert_eq!(verdict, Verdict::Unavailable);
    let refusal = world.server.answer(&verdict).unwrap_err();
    assert_eq!((refusal.status, refusal.challenge), (503, None));
    assert_eq!(world.judge(&token).await, Verdict::Unavailable);
    assert_eq!(world.web.asked().len(), 2, "not asked again at once");
    world.web.put(METADATA, 200, &json!({"issuer": ISSUER, "jwks_uri": KEYS}));
    world.clock.advance(10);
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    // The known keys are used for a while when no newer ones come.
    world.web.put(KEYS, 500, &json!({}));
    world.clock.advance(599);
    assert!(matches!(world.judge(&token).await, Verdict::Granted(_)));
    world.clock.advance(61);
    assert_eq!(world.judge(&token).await, Verdict::Unavailable);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let world = World::new(Algorithm::Es256);
    let openid = "https://as.example/.well-known/openid-configuration";
    let evil = json!({"issuer": "https://as.example/", "jwks_uri": "https://evil.example/keys"});
    world.web.put(METADATA, 200, &evil);
    assert_eq!(world.judge_with(kid("k1"), &claims()).await, Verdict::Unavailable);
    assert_eq!(world.web.asked(), [METADATA, openid]);
    // The next place has the right one.
    world.web.put(openid, 200, &json!({"issuer": ISSUER, "jwks_uri": KEYS}));
    world.clock.advance(10);
    assert!(matches!(world.judge_with(kid("k1"), &claims()).await, Verdict::Granted(_)));
    // Keys over a line that others can read are none.
    let world = World::new(Algorithm::Es256);
    world.web.put(METADATA, 200, &json!({"issuer": ISSUER, "jwks_uri": "http://as.example/keys"}));
    assert_eq!(world.judge_with(kid("k1"), &claims()).await, Verdict::Unavailable);
}

#[tokio::test]
async fn no_debug_output_holds_a_token() {
    let world = World::new(Algorithm::Es256);
    let token = world.token(&kid("k1"), &claims());
    let verdict = world.judge(&token).await;
    let text = format!("{:?} {verdict:?} {:?}", world.server, world.web.requests());
    let signature = token.rsplit('.').next().unwrap();
    assert!(!text.contains(signature) && !text.contains(&token[..20]));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let check = |change: fn(&mut Options), expect: &str| {
        let mut options = Options::new(RESOURCE);
        options.issuers = vec![Issuer::new(ISSUER).unwrap()];
        change(&mut options);
        let fetch: Arc<dyn Fetch> = Arc::new(FakeWeb::default());
        let error = ResourceServer::new(options, &fetch, ManualClock::new()).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(|options| options.issuers.clear(), "no issuer is trusted");
    check(|options| options.algorithms.clear(), "no algorithm is allowed");
    check(|options| options.scopes.push("a b".to_owned()), "\"a b\" is no scope");
    check(|options| options.audiences.push(String::new()), "an audience is empty");
    check(
        |options| options.resource = "http://m.example".to_owned(),
        "\"http://m.example\" cannot be the name of a resource",
    );
}

proptest! {
    #[test]
    fn no_changed_token_is_granted(at in 0usize..400, to in "[A-Za-z0-9_.-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new(Algorithm::EdDsa);
        let token = world.token(&kid("k1"), &claims());
        let at = at % token.len();
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        let verdict = runtime.block_on(world.judge(&changed));
        prop_assert_eq!(matches!(verdict, Verdict::Granted(_)), changed == token);
    }

    #[test]
    fn no_text_is_a_token(text in "[A-Za-z0-9_.-]{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new(Algorithm::EdDsa);
        let framed = format!("{}.{}.{text}", part(&json!({"alg": "EdDSA"})), part(&claims()));
        for token in [framed, format!("{text}.{}.{}", part(&claims()), encode(b"s")), text] {
            let verdict = runtime.block_on(world.judge(&token));
            prop_assert!(!matches!(verdict, Verdict::Granted(_)));
        }
    }
}
