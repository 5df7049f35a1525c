//! Tokens got from a made-up web.

mod default;
mod login;
mod person;
mod turns;

use super::*;
use crate::{
    jose::{Compact, KeySet, SigningKey},
    metadata::Issuer,
    testing::{FakeWeb, ManualClock, Pair, RSA_PEM, START},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::io;

const ISSUER: &str = "https://as.example";
const SERVER: &str = "https://as.example/.well-known/oauth-authorization-server";
const TOKEN: &str = "https://as.example/token";
const RESOURCE: &str = "https://m.example/mcp";
const ABOUT: &str = "https://m.example/.well-known/oauth-protected-resource/mcp";
const ROOT: &str = "https://m.example/.well-known/oauth-protected-resource";

struct World {
    web: Arc<FakeWeb>,
    clock: Arc<ManualClock>,
    source: TokenSource,
}

fn credentials(issuer: &str) -> Credentials {
    Credentials {
        issuer: Issuer::new(issuer).unwrap(),
        client_id: "me:and you".to_owned(),
        proof: Proof::Basic(Secret::new("s3cret/+")),
        grant: Grant::ClientCredentials,
    }
}

impl World {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let (web, clock) = (Arc::new(FakeWeb::default()), ManualClock::new());
        web.put(ABOUT, 200, &json!({"resource": RESOURCE, "authorization_servers": [ISSUER]}));
        web.put(SERVER, 200, &metadata());
        web.put(TOKEN, 200, &token("t1"));
        let mut options = Options::new(RESOURCE.parse().unwrap());
        options.credentials = vec![credentials(ISSUER)];
        change(&mut options);
        let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&web);
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let source = TokenSource::new(options, fetch, time);
        Self { web, clock, source }
    }

    async fn header(&self) -> Result<String, String> {
        let got = self.source.authorization().await;
        got.map(|it| it.header().expose().to_owned()).map_err(|error| error.to_string())
    }
}

fn metadata() -> Value {
    json!({
        "issuer": ISSUER, "token_endpoint": TOKEN,
        "authorization_endpoint": "https://as.example/authorize",
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn token(text: &str) -> Value {
    json!({"access_token": text, "token_type": "Bearer", "expires_in": 300})
}

fn refreshed(text: &str, refresh: &str) -> Value {
    let mut all = token(text);
    all["refresh_token"] = refresh.into();
    all
}

#[tokio::test]
async fn a_token_is_got_once_for_all_and_replaced_in_time() {
    let world = World::new(|options| options.scopes = vec!["mcp".to_owned()]);
    let both = tokio::join!(world.header(), world.header(), world.header());
    let expect = Ok("Bearer t1".to_owned());
    assert_eq!(both, (expect.clone(), expect.clone(), expect.clone()));
    let requests = world.web.requests();
    let urls: Vec<_> = requests.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls, [ABOUT, SERVER, TOKEN]);
    world.clock.advance(239);
    assert_eq!(world.header().await, expect);
    assert_eq!(world.web.asked(), [""; 0]);
    world.clock.advance(1);
    world.web.put(TOKEN, 200, &token("t2"));
    assert_eq!(world.header().await.unwrap(), "Bearer t2");
    let forms = world.web.forms();
    assert_eq!(forms.len(), 1);
    let (form, authorization) = &forms[0];
    let pairs: Vec<_> = form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        pairs,
        [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "mcp")]
    );
    // `me%3Aand+you:s3cret%2F%2B`
    let expect = "Basic bWUlM0FhbmQreW91OnMzY3JldCUyRiUyQg==";
    assert_eq!(authorization.as_deref(), Some(expect));
}

#[tokio::test]
async fn a_client_shows_who_it_is_in_the_agreed_way() {
    let world = World::new(|options| {
        options.credentials[0].proof = Proof::Post(Secret::new("s3cret"));
    });
    world.header().await.unwrap();
    let (form, authorization) = world.web.forms().remove(0);
    assert_eq!((&*form["client_id"], &*form["client_secret"]), ("me:and you", "s3cret"));
    assert_eq!(authorization, None);

    let world = World::new(|options| options.credentials[0].proof = Proof::Nothing);
    world.header().await.unwrap();
    let (form, authorization) = world.web.forms().remove(0);
    assert_eq!((form["client_id"].as_str(), authorization), ("me:and you", None));

    let key = SigningKey::from_pem(&Secret::new(RSA_PEM), Some("k".to_owned())).unwrap();
    let world = World::new(|options| options.credentials[0].proof = Proof::Key(key));
    world.header().await.unwrap();
    let (form, authorization) = world.web.forms().remove(0);
    assert_eq!(authorization, None);
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let proof = Compact::read(&form["client_assertion"]).unwrap();
    let public = Pair::new(crate::jose::Algorithm::Rs256).public("k");
    let set = KeySet::read(json!({"keys": [public]}).to_string().as_bytes()).unwrap();
    let keys = set.candidates(proof.header.kid.as_deref(), crate::jose::Algorithm::Rs256);
    let signed = proof.signed.as_bytes();
    assert!(keys[0].verifies(crate::jose::Algorithm::Rs256, signed, &proof.signature));
    let claims: Value = serde_json::from_slice(&proof.payload).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("me:and you"), &json!("me:and you")));
    assert_eq!((&claims["aud"], &claims["exp"]), (&json!(ISSUER), &json!(START + 60)));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 43);
}

#[tokio::test]
async fn keys_of_every_kind_sign() {
    use crate::jose::Algorithm;
    let check = |pem: &str, expect: Option<Algorithm>| {
        let key = SigningKey::from_pem(&Secret::new(pem), None);
        assert_eq!(key.map(|key| key.algorithm()).ok(), expect);
    };
    check(RSA_PEM, Some(Algorithm::Rs256));
    let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    check(ed25519, Some(Algorithm::EdDsa));
    check("no key", None);
    check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", None);
}

#[tokio::test]
async fn credentials_are_shown_to_their_issuer_alone() {
    let evil = "https://evil.example";
    let world = World::new(|_| {});
    world.web.put(ABOUT, 200, &json!({"resource": RESOURCE, "authorization_servers": [evil]}));
    let error = world.header().await.unwrap_err();
    assert!(error.contains("no credentials") && error.contains(evil), "{error}");
    assert_eq!(world.web.asked(), [ABOUT]);

    // The issuer that knows us is taken, wherever it stands in the list.
    let world =
        World::new(|options| options.credentials.insert(0, credentials("https://b.example")));
    let servers = json!({"resource": RESOURCE, "authorization_servers": [evil, ISSUER]});
    world.web.put(ABOUT, 200, &servers);
    world.header().await.unwrap();
    assert_eq!(world.web.asked(), [ABOUT, SERVER, TOKEN]);

    // Another spelling is another issuer.
    let world = World::new(|_| {});
    let servers = json!({"resource": RESOURCE, "authorization_servers": [format!("{ISSUER}/")]});
    world.web.put(ABOUT, 200, &servers);
    assert!(world.header().await.unwrap_err().contains("no credentials"));
}

#[tokio::test]
async fn documents_of_others_are_not_believed() {
    let check = async |url: &str, document: Value, expect: &str| {
        let world = World::new(|_| {});
        world.web.put(url, 200, &document);
        let error = world.source.authorization().await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some(expect));
        assert_eq!(world.web.forms().len(), 0);
    };
    check(
        ABOUT,
        json!({"resource": "https://bank.example/mcp", "authorization_servers": [ISSUER]}),
        "the metadata of https://m.example/mcp is that of https://bank.example/mcp",
    )
    .await;
    let mut other = metadata();
    other["issuer"] = "https://evil.example".into();
    check(SERVER, other, "the metadata of https://as.example is that of https://evil.example")
        .await;
    let mut insecure = metadata();
    insecure["token_endpoint"] = "http://as.example/token".into();
    check(SERVER, insecure, "the metadata of https://as.example has no usable token_endpoint")
        .await;
    let mut without = metadata();
    without["token_endpoint"] = Value::Null;
    check(SERVER, without, "the metadata of https://as.example has no usable token_endpoint").await;
}

#[tokio::test]
async fn a_server_that_says_nothing_gets_tokens_of_the_configured_issuer() {
    let world = World::new(|_| {});
    world.web.put(ABOUT, 404, &json!({}));
    world.header().await.unwrap();
    assert_eq!(world.web.asked(), [ABOUT, ROOT, SERVER, TOKEN]);
}

#[tokio::test]
async fn a_token_names_the_resource_as_it_calls_itself() {
    let world = World::new(|_| {});
    world.web.put(ABOUT, 404, &json!({}));
    let root = json!({"resource": "https://m.example/", "authorization_servers": [ISSUER]});
    world.web.put(ROOT, 200, &root);
    world.header().await.unwrap();
    assert_eq!(world.web.forms()[0].0["resource"], "https://m.example/");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let world = World::new(|_| {});
    let used = world.source.authorization().await.unwrap();
    // It is too young for another one to be better.
    let error = world.source.rejected(used.clone(), 401, None).await.unwrap_err();
    assert!(matches!(error, AuthError::Rejected));
    world.clock.advance(10);
    world.web.put(TOKEN, 200, &token("t2"));
    world.web.requests();
    let both = tokio::join!(
        world.source.rejected(used.clone(), 401, Some("Bearer error=\"invalid_token\"")),
        world.source.rejected(used, 401, None),
    );
    let (first, second) = (both.0.unwrap().unwrap(), both.1.unwrap().unwrap());
    assert_eq!(first.header().expose(), "Bearer t2");
    assert_eq!(second.header().expose(), "Bearer t2");
    assert_eq!(world.web.asked(), [TOKEN]);
    world.clock.advance(60);
    let error = world.source.rejected(first, 401, None).await.unwrap_err();
    assert!(matches!(error, AuthError::Rejected));
    assert_eq!(world.web.asked(), [""; 0]);
}

#[tokio::test]
async fn a_header_is_enough_to_tell_which_token_was_refused() {
    let world = World::new(|_| {});
    world.header().await.unwrap();
    assert!(!world.source.rejected_header("Bearer t1", 500, None).await.unwrap());
    world.clock.advance(10);
    world.web.put(TOKEN, 200, &token("t2"));
    assert!(world.source.rejected_header("Bearer t1", 401, None).await.unwrap());
    // Another request with the old one is refused later; the new one is not thrown away for that.
    assert!(world.source.rejected_header("Bearer t1", 401, None).await.unwrap());
    assert_eq!(world.web.forms().len(), 2);
    assert!(world.source.rejected_header("Bearer t2", 401, None).await.is_err());
}

#[tokio::test]
async fn what_a_challenge_points_to_is_looked_at() {
    let world = World::new(|_| {});
    world.web.put(ABOUT, 404, &json!({}));
    let used = world.source.authorization().await.unwrap();
    let elsewhere = "https://m.example/about";
    let about = json!({"resource": "https://m.example", "authorization_servers": [ISSUER]});
    world.web.put(elsewhere, 200, &about);
    world.web.requests();
    let challenge = format!("Bearer resource_metadata=\"{elsewhere}\"");
    let next = world.source.rejected(used, 401, Some(&challenge)).await.unwrap().unwrap();
    assert_eq!(world.web.asked(), [elsewhere, SERVER, TOKEN]);
    world.clock.advance(100);
    assert!(world.source.rejected(next, 401, Some(&challenge)).await.is_err());
}

#[tokio::test]
async fn more_is_asked_for_once() {
    let world = World::new(|options| options.scopes = vec!["a".to_owned()]);
    let used = world.source.authorization().await.unwrap();
    world.web.requests();
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"a b\"";
    let next = world.source.rejected(used.clone(), 403, Some(challenge)).await.unwrap().unwrap();
    assert_eq!(world.web.forms()[0].0["scope"], "a b");
    // A call that was refused before the new token came gets that one.
    let late = world.source.rejected(used, 403, Some(challenge)).await.unwrap().unwrap();
    assert_eq!(late.serial, next.serial);
    for refused in [next, late] {
        let error = world.source.rejected(refused, 403, Some(challenge)).await.unwrap_err();
        assert!(matches!(error, AuthError::InsufficientScope { needed } if needed == ["a", "b"]));
    }
    assert_eq!(world.web.asked(), [""; 0]);
}

#[tokio::test]
async fn other_answers_are_none_of_ours() {
    let world = World::new(|_| {});
    let used = world.source.authorization().await.unwrap();
    for (status, challenge) in [(200, None), (403, None), (403, Some("Bearer")), (500, None)] {
        let next = world.source.rejected(used.clone(), status, challenge).await.unwrap();
        assert!(next.is_none(), "{status}");
    }
}

#[tokio::test]
async fn a_failure_is_not_repeated_at_once() {
    let world = World::new(|_| {});
    world.web.put(TOKEN, 401, &json!({"error": "invalid_client"}));
    for _ in 0..10 {
        assert!(world.header().await.unwrap_err().contains("invalid_client"));
    }
    assert_eq!(world.web.forms().len(), 1);
    world.clock.advance(5);
    world.web.put(TOKEN, 200, &token("t1"));
    world.header().await.unwrap();
}

/// A store in memory.
#[derive(Debug, Default)]
struct Shelf {
    tokens: Mutex<Vec<(String, String, String)>>,
}

#[async_trait]
impl TokenStore for Shelf {
    async fn lock(&self, _: &Issuer, _: &str) -> io::Result<Option<Lock>> {
        Ok(None)
    }

    fn load(&self, issuer: &Issuer, resource: &str) -> io::Result<Option<Secret>> {
        let tokens = self.tokens.lock().unwrap();
        let newest =
            tokens.iter().rev().find(|(of, what, _)| of == issuer.as_str() && what == resource);
        Ok(newest.map(|(_, _, token)| Secret::new(token.as_str())))
    }

    fn save(&self, issuer: &Issuer, resource: &str, refresh: &Secret) -> io::Result<()> {
        let one = (issuer.to_string(), resource.to_owned(), refresh.expose().to_owned());
        self.tokens.lock().unwrap().push(one);
        Ok(())
    }
}

#[tokio::test]
async fn the_newest_refresh_token_is_used_and_kept() {
    let shelf = Arc::new(Shelf::default());
    let world = |first: Option<&str>| {
        let store: Arc<dyn TokenStore> = Arc::<Shelf>::clone(&shelf);
        let grant = Grant::Refresh(first.map(Secret::new));
        World::new(move |options| {
            options.credentials[0].grant = grant;
            options.store = Some(store);
        })
    };
    let empty = world(None);
    assert_eq!(empty.header().await.unwrap_err(), "somebody has to log in at https://as.example");
    assert_eq!(empty.web.forms().len(), 0);

    let first = world(Some("r1"));
    first.web.put(TOKEN, 200, &refreshed("t1", "r2"));
    first.header().await.unwrap();
    first.clock.advance(300);
    // Without a new one the old one stays.
    first.web.put(TOKEN, 200, &token("t2"));
    first.header().await.unwrap();
    first.clock.advance(300);
    first.header().await.unwrap();
    let used: Vec<_> =
        first.web.forms().into_iter().map(|(form, _)| form["refresh_token"].clone()).collect();
    assert_eq!(used, ["r1", "r2", "r2"]);
    assert_eq!(shelf.tokens.lock().unwrap().len(), 1);

    // The next run.
    let second = world(Some("r1"));
    second.web.put(TOKEN, 400, &json!({"error": "invalid_grant"}));
    assert_eq!(second.header().await.unwrap_err(), "somebody has to log in at https://as.example");
    let (form, _) = second.web.forms().remove(0);
    assert_eq!((&*form["refresh_token"], &*form["grant_type"]), ("r2", "refresh_token"));
}

#[tokio::test]
async fn no_debug_output_and_no_error_holds_a_secret() {
    let world = World::new(|options| {
        options.credentials[0].grant = Grant::Refresh(Some(Secret::new("r3fresh")));
    });
    world.web.put(TOKEN, 200, &refreshed("t0ken", "r4fresh"));
    let got = world.source.authorization().await.unwrap();
    let text = format!("{:?} {got:?} {:?}", world.source, world.web.requests());
    for secret in ["s3cret", "r3fresh", "r4fresh", "t0ken"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
