//! Logins, and answers that do not belong to them.

use super::{person::kept, *};
use crate::{fetch::Action, metadata::ServerMetadata};
use std::collections::BTreeMap;

const REGISTER: &str = "https://as.example/register";

fn question() -> LoginOptions {
    LoginOptions {
        resource: RESOURCE.parse().unwrap(),
        challenge: None,
        issuer: Some(Issuer::new(ISSUER).unwrap()),
        client: Some(("me".to_owned(), Proof::Nothing)),
        document: None,
        scopes: vec!["mcp".to_owned()],
        redirect: "http://127.0.0.1:7777/callback".parse().unwrap(),
        name: "mcplex".to_owned(),
        earlier: None,
    }
}

async fn begin(world: &World, question: LoginOptions) -> Result<Login, AuthError> {
    let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&world.web);
    Login::begin(question, fetch, Arc::<ManualClock>::clone(&world.clock) as Arc<dyn Clock>).await
}

async fn login(world: &World) -> Result<Login, AuthError> {
    begin(world, question()).await
}

fn query(login: &Login) -> BTreeMap<String, String> {
    login.url().query_pairs().into_owned().collect()
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
    let query = query(&login);
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!((&*query["resource"], &*query["response_type"]), (RESOURCE, "code"));
    let url = back(&login, |_| {});
    let kept = login.finish(&url).await.unwrap();
    assert_eq!((kept.refresh.unwrap().expose(), &*kept.resource), ("r", RESOURCE));
    let access = kept.access.unwrap();
    assert_eq!((access.header.expose(), access.until), ("Bearer t", Some(START + 300)));
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

/// A world whose issuer says more of itself.
fn world(more: &Value) -> World {
    let world = World::new(|_| {});
    let mut words = metadata();
    for (name, value) in more.as_object().unwrap() {
        words[name] = value.clone();
    }
    world.web.put(SERVER, 200, &words);
    world
}

/// A login that knows nothing but the address of the server.
fn stranger() -> LoginOptions {
    LoginOptions { issuer: None, client: None, scopes: Vec::new(), ..question() }
}

#[tokio::test]
async fn a_server_says_where_to_log_in_and_what_for() {
    let world = world(&json!({"registration_endpoint": REGISTER}));
    world.web.put(
        REGISTER,
        201,
        &json!({"client_id": "new", "client_secret": "s",
        "token_endpoint_auth_method": "client_secret_post"}),
    );
    let elsewhere = "https://m.example/about";
    world.web.put(elsewhere, 200, &json!({"resource": "https://m.example",
        "authorization_servers": ["http://insecure.example", ISSUER], "scopes_supported": ["a", "b"]}));
    let challenge = format!("Bearer resource_metadata=\"{elsewhere}\"");
    let asked = LoginOptions { challenge: Some(challenge.clone()), ..stranger() };
    let first = begin(&world, asked).await.unwrap();
    assert_eq!(world.web.asked(), [elsewhere, SERVER, REGISTER]);
    let found = query(&first);
    assert_eq!((&*found["client_id"], &*found["scope"]), ("new", "a b"));
    assert_eq!(found["resource"], "https://m.example");
    // What it has just said comes before all that it has.
    let challenge = Some(format!("{challenge}, scope=\"c\""));
    let asked = LoginOptions { challenge, ..stranger() };
    assert_eq!(query(&begin(&world, asked).await.unwrap())["scope"], "c");

    world.web.put(TOKEN, 200, &token("t"));
    world.web.requests();
    let url = back(&first, |_| {});
    let kept = first.finish(&url).await.unwrap();
    let (form, _) = world.web.forms().remove(0);
    assert_eq!((&*form["client_id"], &*form["client_secret"]), ("new", "s"));
    assert!(kept.refresh.is_none() && kept.about.unwrap().as_str() == elsewhere);
}

#[tokio::test]
async fn a_client_is_arranged_or_described_or_registered_in_this_order() {
    let document: Url = "https://us.example/client.json".parse().unwrap();
    let reads = json!({"client_id_metadata_document_supported": true,
        "registration_endpoint": REGISTER});
    let registers = json!({"registration_endpoint": REGISTER});
    let check = async |more: &Value, question: LoginOptions, expect: Result<&str, &str>| {
        let world = world(more);
        world.web.put(REGISTER, 201, &json!({"client_id": "new"}));
        let got = begin(&world, question).await.map(|login| query(&login)["client_id"].clone());
        let got = got.map_err(|error| error.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expect, "{more}");
    };
    let described = || LoginOptions { document: Some(document.clone()), ..stranger() };
    check(&reads, question(), Ok("me")).await;
    check(&reads, described(), Ok(document.as_str())).await;
    check(&registers, described(), Ok("new")).await;
    check(&reads, stranger(), Ok("new")).await;
    let none = "https://as.example knows no client for us, and lets none register itself";
    check(&json!({}), described(), Err(none)).await;
}

#[tokio::test]
async fn a_registration_is_used_again_by_the_same_issuer_at_the_same_address() {
    let world = world(&json!({"registration_endpoint": REGISTER}));
    world.web.put(REGISTER, 201, &json!({"client_id": "first"}));
    world.web.put(TOKEN, 200, &token("t"));
    let first = begin(&world, stranger()).await.unwrap();
    let url = back(&first, |_| {});
    let kept = first.finish(&url).await.unwrap();
    world.web.put(REGISTER, 201, &json!({"client_id": "second"}));
    let again = async |change: fn(&mut LoginOptions)| {
        let mut question = LoginOptions { earlier: Some(kept.clone()), ..stranger() };
        change(&mut question);
        query(&begin(&world, question).await.unwrap())["client_id"].clone()
    };
    assert_eq!(again(|_| {}).await, "first");
    let moved = |question: &mut LoginOptions| question.redirect.set_port(Some(8888)).unwrap();
    assert_eq!(again(moved).await, "second");
    let other = |question: &mut LoginOptions| {
        question.earlier.as_mut().unwrap().issuer = Issuer::new("https://b.example").unwrap();
    };
    assert_eq!(again(other).await, "second");
}

#[tokio::test]
async fn a_client_registers_as_what_the_issuer_takes() {
    let check = async |theirs: Value, expect: &str| {
        let world = world(&json!({"registration_endpoint": REGISTER,
            "token_endpoint_auth_methods_supported": theirs}));
        world.web.put(REGISTER, 201, &json!({"client_id": "new", "client_secret": "s"}));
        begin(&world, stranger()).await.unwrap();
        let sent = world.web.requests().into_iter().find_map(|request| match request.action {
            Action::Register { document } => Some(document),
            Action::Get | Action::Post { .. } | Action::Knock { .. } => None,
        });
        let sent: Value = serde_json::from_slice(&sent.unwrap()).unwrap();
        assert_eq!(sent["token_endpoint_auth_method"], expect);
        assert_eq!(sent["application_type"], "native");
        assert_eq!(sent["grant_types"], json!(["authorization_code", "refresh_token"]));
    };
    check(Value::Null, "none").await;
    check(json!(["client_secret_post", "none"]), "none").await;
    check(json!(["private_key_jwt", "client_secret_post"]), "client_secret_post").await;
}

#[tokio::test]
async fn what_was_missing_is_asked_for_with_what_there_was() {
    let world = world(&json!({"scopes_supported": ["mcp", "offline_access"]}));
    let mut question = question();
    question.earlier = Some(kept(&["mcp", "old"], &["more"]));
    let scope = query(&begin(&world, question.clone()).await.unwrap())["scope"].clone();
    assert_eq!(scope, "mcp old more offline_access");
    // Without it what there was does not matter, so that less can be asked for.
    question.earlier = Some(kept(&["mcp", "old"], &[]));
    assert_eq!(query(&begin(&world, question).await.unwrap())["scope"], "mcp offline_access");
}
