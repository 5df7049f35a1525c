//! Logins, and answers that do not belong to them.

use super::*;
use crate::metadata::ServerMetadata;
use std::collections::BTreeMap;

async fn login(world: &World) -> Result<Login, AuthError> {
    let options = LoginOptions {
        resource: RESOURCE.parse().unwrap(),
        issuer: Issuer::new(ISSUER).unwrap(),
        client_id: "me".to_owned(),
        proof: Proof::Nothing,
        scopes: vec!["mcp".to_owned()],
        redirect: "http://127.0.0.1:7777/callback".parse().unwrap(),
    };
    let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&world.web);
    Login::begin(options, fetch, Arc::<ManualClock>::clone(&world.clock) as Arc<dyn Clock>).await
}

fn back(login: &Login, change: impl FnOnce(&mut Vec<(&str, String)>)) -> Url {
    let state = login.url().query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let mut pairs = vec![("code", "c0de".to_owned()), ("state", state), ("iss", ISSUER.to_owned())];
    change(&mut pairs);
    Url::parse_with_params("http://127.0.0.1:7777/callback", pairs).unwrap()
}

#[tokio::test]
async fn a_login_binds_the_code_to_who_asked() {
    let world = World::new(|_| {});
    world.web.put(TOKEN, 200, &refreshed("t", "r"));
    let login = login(&world).await.unwrap();
    let query: BTreeMap<_, _> = login.url().query_pairs().into_owned().collect();
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!((&*query["resource"], &*query["response_type"]), (RESOURCE, "code"));
    let url = back(&login, |_| {});
    let answered = login.finish(&url).await.unwrap();
    assert_eq!((answered.refresh.expose(), &*answered.resource), ("r", RESOURCE));
    let (form, _) = world.web.forms().remove(0);
    let hash = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
    assert_eq!(crate::jose::encode(hash.as_ref()), query["code_challenge"]);
    assert_eq!(
        (&*form["code"], &*form["redirect_uri"]),
        ("c0de", "http://127.0.0.1:7777/callback")
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_brings_nothing() {
    let world = World::new(|_| {});
    type Change = fn(&mut Vec<(&str, String)>);
    let check = async |change: Change, expect: &str| {
        let login = login(&world).await.unwrap();
        let url = back(&login, change);
        assert_eq!(login.finish(&url).await.unwrap_err().to_string(), expect);
        assert_eq!(world.web.forms().len(), 0);
    };
    let not_ours = "the answer does not belong to this login";
    check(|pairs| pairs[1].1 = "guess".to_owned(), not_ours).await;
    check(|pairs| drop(pairs.remove(1)), not_ours).await;
    check(|pairs| pairs.push(("state", "x".to_owned())), not_ours).await;
    check(|pairs| drop(pairs.remove(0)), not_ours).await;
    let other = "the answer of a login is not from https://as.example";
    check(|pairs| pairs[2].1 = "https://as.example/".to_owned(), other).await;
    check(|pairs| drop(pairs.remove(2)), other).await;
    let denied = "the login was refused: access_denied";
    check(|pairs| pairs[0] = ("error", "access_denied".to_owned()), denied).await;

    let mut without = metadata();
    without["code_challenge_methods_supported"] = Value::Null;
    world.web.put(SERVER, 200, &without);
    let error = login(&world).await.unwrap_err();
    assert!(matches!(error, AuthError::NoPkce { .. }));
}

#[test]
fn an_issuer_is_compared_as_it_is_written() {
    let check = |named: Option<&str>, promised: bool, expect: bool| {
        let mut words = metadata();
        words["authorization_response_iss_parameter_supported"] = promised.into();
        let metadata: ServerMetadata = serde_json::from_value(words).unwrap();
        assert_eq!(check_issuer(named, &metadata).is_ok(), expect, "{named:?} {promised}");
    };
    check(Some(ISSUER), true, true);
    check(Some(ISSUER), false, true);
    check(None, false, true);
    check(None, true, false);
    check(Some("https://as.example/"), false, false);
    check(Some("HTTPS://as.example"), true, false);
    check(Some("https%3A%2F%2Fas.example"), true, false);
}
