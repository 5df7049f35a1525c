//! Servers of revision 2025-03-26 that publish nothing: they are their own issuer, and their clients know
//! where everything is.

use super::{person::kept, *};

const AUTHORIZE: &str = "https://m.example/authorize";
const OWN_TOKEN: &str = "https://m.example/token";
const REGISTER: &str = "https://m.example/register";
const OWN_SERVER: &str = "https://m.example/.well-known/oauth-authorization-server";
const OWN_OPENID: &str = "https://m.example/.well-known/openid-configuration";

/// A web in which nothing is said of anything.
fn silent() -> World {
    let world = World::new(|_| {});
    world.web.put(ABOUT, 404, &json!({}));
    world.web.put(SERVER, 404, &json!({}));
    world.web.put(REGISTER, 201, &json!({"client_id": "new"}));
    world.web.put(OWN_TOKEN, 200, &refreshed("t1", "r1"));
    world
}

async fn begin(world: &World, change: impl FnOnce(&mut LoginOptions)) -> Result<Login, AuthError> {
    let mut question = LoginOptions {
        resource: RESOURCE.parse().unwrap(),
        challenge: Some("Bearer".to_owned()),
        issuer: None,
        client: None,
        document: None,
        scopes: Vec::new(),
        redirect: "http://127.0.0.1:7777/callback".parse().unwrap(),
        name: "mcplex".to_owned(),
        earlier: None,
    };
    change(&mut question);
    let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&world.web);
    Login::begin(question, fetch, Arc::<ManualClock>::clone(&world.clock) as Arc<dyn Clock>).await
}

#[tokio::test]
async fn a_person_logs_in_where_the_server_lies() {
    let world = silent();
    let login = begin(&world, |options| options.challenge = Some(String::new())).await.unwrap();
    assert_eq!(world.web.asked(), [ABOUT, ROOT, OWN_SERVER, OWN_OPENID, REGISTER]);
    assert_eq!(login.issuer().as_str(), "https://m.example");
    let mut question = login.url().clone();
    let pairs: Vec<_> = question.query_pairs().into_owned().collect();
    let of = |name: &str| pairs.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!((of("client_id"), of("code_challenge_method")), ("new".into(), "S256".into()));
    question.set_query(None);
    assert_eq!(question.as_str(), AUTHORIZE);
    let state = of("state");
    let pairs = [("code", "c"), ("state", &*state)];
    let back = Url::parse_with_params("http://127.0.0.1:7777/callback", pairs).unwrap();
    let kept = login.finish(&back).await.unwrap();
    assert_eq!(kept.issuer.as_str(), "https://m.example");
    assert_eq!((kept.resource.as_str(), kept.refresh.unwrap().expose()), (RESOURCE, "r1"));
    assert_eq!(world.web.asked(), [OWN_TOKEN]);
}

#[tokio::test]
async fn what_came_of_it_is_renewed_there() {
    let world = silent();
    let folder = tempfile::tempdir().unwrap();
    let file = LoginFile::new(folder.path(), "far");
    let issuer = Issuer::new("https://m.example").unwrap();
    file.save(&Kept { issuer, ..kept(&[], &[]) }).unwrap();
    world.clock.advance(300);
    world.web.put(OWN_TOKEN, 200, &refreshed("t2", "r2"));
    let options = ByLogin {
        resource: RESOURCE.parse().unwrap(),
        issuer: None,
        client: None,
        file,
        lead: Duration::from_secs(60),
        is_optional: false,
    };
    let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&world.web);
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let source = LoginSource::new(options, fetch, clock);
    assert_eq!(source.authorization().await.unwrap().unwrap().expose(), "Bearer t2");
    assert_eq!(world.web.asked(), [ABOUT, ROOT, OWN_SERVER, OWN_OPENID, OWN_TOKEN]);

    // So are tokens of a grant that an operator wrote down.
    let own = credentials("https://m.example");
    let world = World::new(|options| options.credentials = vec![own]);
    world.web.put(ABOUT, 404, &json!({}));
    world.web.put(OWN_TOKEN, 200, &token("t1"));
    assert_eq!(world.header().await.unwrap(), "Bearer t1");
}

#[tokio::test]
async fn nothing_is_taken_for_granted_of_who_says_something() {
    let check = async |change: fn(&World), options: fn(&mut LoginOptions)| {
        let world = silent();
        change(&world);
        let error = begin(&world, options).await.unwrap_err();
        assert!(matches!(error, AuthError::Discovery(_)), "{error}");
        let asked = world.web.asked();
        assert!(!asked.iter().any(|url| [REGISTER, OWN_TOKEN].contains(&&**url)), "{asked:?}");
    };
    // It may be there for somebody else.
    check(|world| world.web.put(OWN_SERVER, 401, &json!({})), |_| {}).await;
    check(|world| world.web.put(OWN_OPENID, 403, &json!({})), |_| {}).await;
    check(|world| world.web.put(ROOT, 401, &json!({})), |_| {}).await;
    check(|world| world.web.put(OWN_SERVER, 500, &json!({})), |_| {}).await;
    check(|world| world.web.put(OWN_SERVER, 200, &metadata()), |_| {}).await;
    // A page for everything says nothing.
    check(|world| world.web.put(ROOT, 200, &json!("<html>")), |_| {}).await;
    // It wants no token.
    check(|_| {}, |options| options.challenge = None).await;
    // It says where its metadata lies, or whose tokens it takes.
    let hint = |options: &mut LoginOptions| {
        let challenge = format!("Bearer resource_metadata=\"{ROOT}\"");
        options.challenge = Some(challenge);
    };
    check(|_| {}, hint).await;
    let named = |world: &World| {
        let servers = json!({"resource": RESOURCE, "authorization_servers": ["https://m.example"]});
        world.web.put(ABOUT, 200, &servers);
    };
    check(named, |_| {}).await;
    // Another issuer, or one below a path, is known by its metadata alone.
    let other = |options: &mut LoginOptions| options.issuer = Some(Issuer::new(ISSUER).unwrap());
    check(|_| {}, other).await;
    let below = |options: &mut LoginOptions| {
        options.issuer = Some(Issuer::new("https://m.example/mcp").unwrap());
    };
    check(|_| {}, below).await;
}
