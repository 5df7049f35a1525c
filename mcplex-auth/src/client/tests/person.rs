//! Tokens of somebody who has logged in, and what becomes of them.

use super::*;
use tempfile::TempDir;

/// What is kept of a login.
pub(super) fn kept(scopes: &[&str], wanted: &[&str]) -> Kept {
    let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
    Kept {
        issuer: Issuer::new(ISSUER).unwrap(),
        resource: RESOURCE.to_owned(),
        about: None,
        client: Some(Client { id: "new".to_owned(), known: Known::Registered(Proof::Nothing) }),
        redirect: "http://127.0.0.1:7777/callback".parse().unwrap(),
        scopes: texts(scopes),
        wanted: texts(wanted),
        refresh: Some(Secret::new("r1")),
        access: Some(Access { header: Secret::new("Bearer t1"), until: Some(START + 300) }),
    }
}

struct Person {
    world: World,
    folder: TempDir,
}

impl Person {
    fn new() -> Self {
        Self { world: World::new(|_| {}), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> LoginFile {
        LoginFile::new(self.folder.path().join("tokens"), "far")
    }

    /// What one process makes of the login.
    fn source(&self, change: impl FnOnce(&mut ByLogin)) -> LoginSource {
        let mut options = ByLogin {
            resource: RESOURCE.parse().unwrap(),
            issuer: None,
            client: None,
            file: self.file(),
            lead: Duration::from_secs(60),
            is_optional: false,
        };
        change(&mut options);
        let fetch: Arc<dyn Fetch> = Arc::<FakeWeb>::clone(&self.world.web);
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.world.clock);
        LoginSource::new(options, fetch, clock)
    }
}

async fn header(source: &LoginSource) -> Result<Option<String>, String> {
    let got = source.authorization().await;
    got.map(|it| it.map(|it| it.expose().to_owned())).map_err(|error| error.to_string())
}

fn some(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.to_owned()))
}

#[tokio::test]
async fn a_login_is_used_until_its_end_and_then_renewed_and_kept() {
    let person = Person::new();
    person.file().save(&kept(&["mcp"], &[])).unwrap();
    let source = person.source(|_| {});
    assert_eq!(header(&source).await, some("Bearer t1"));
    assert_eq!(person.world.web.asked(), [""; 0]);
    person.world.clock.advance(240);
    person.world.web.put(TOKEN, 200, &refreshed("t2", "r2"));
    assert_eq!(header(&source).await, some("Bearer t2"));
    let (form, _) = person.world.web.forms().remove(0);
    assert_eq!((&*form["refresh_token"], &*form["client_id"]), ("r1", "new"));
    assert_eq!(form["resource"], RESOURCE);
    let now = person.file().load().unwrap().unwrap();
    assert_eq!(now.refresh.unwrap().expose(), "r2");
    // The next process needs nobody.
    assert_eq!(header(&person.source(|_| {})).await, some("Bearer t2"));
    assert_eq!(person.world.web.asked(), [""; 0]);
}

#[tokio::test]
async fn processes_that_share_a_login_use_each_refresh_token_once() {
    let person = Person::new();
    person.file().save(&kept(&[], &[])).unwrap();
    person.world.clock.advance(300);
    person.world.web.put(TOKEN, 200, &refreshed("t2", "r2"));
    let (one, other) = (person.source(|_| {}), person.source(|_| {}));
    let both = tokio::join!(header(&one), header(&other));
    assert_eq!(both, (some("Bearer t2"), some("Bearer t2")));
    assert_eq!(person.world.web.forms().len(), 1);
}

#[tokio::test]
async fn who_has_not_logged_in_is_told_so_and_who_does_is_noticed() {
    let person = Person::new();
    let (must, may) = (person.source(|_| {}), person.source(|options| options.is_optional = true));
    let nobody = "nobody has logged in for https://m.example/mcp yet";
    assert_eq!(header(&must).await, Err(nobody.to_owned()));
    assert_eq!(header(&may).await, Ok(None));
    let refused = may.rejected(None, 401, Some("Bearer")).await;
    assert_eq!(refused.unwrap_err().to_string(), nobody);
    assert!(matches!(must.standing().unwrap(), Standing::Nobody));
    let keyed = Url::parse("https://m.example/mcp?key=geheim").unwrap();
    let keyed = person.source(|options| options.resource = keyed.clone());
    assert_eq!(header(&keyed).await, Err(nobody.to_owned()));

    person.file().save(&kept(&[], &[])).unwrap();
    assert_eq!(header(&must).await, Ok(Some("Bearer t1".to_owned())));
    // A refusal is a reason to look at once, and time is one as well.
    assert!(may.rejected(None, 401, Some("Bearer")).await.unwrap());
    assert!(person.file().remove().unwrap());
    assert_eq!(header(&must).await, some("Bearer t1"));
    person.world.clock.advance(1);
    assert_eq!(header(&must).await, Err(nobody.to_owned()));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_then_somebody_has_to_come() {
    let person = Person::new();
    person.file().save(&kept(&[], &[])).unwrap();
    let source = person.source(|_| {});
    header(&source).await.unwrap();
    person.world.web.put(TOKEN, 200, &refreshed("t2", "r2"));
    let both = tokio::join!(
        source.rejected(Some("Bearer t1"), 401, None),
        source.rejected(Some("Bearer t1"), 401, None),
    );
    assert!(both.0.unwrap() && both.1.unwrap());
    assert_eq!(person.world.web.forms().len(), 1);
    let error = source.rejected(Some("Bearer t2"), 401, None).await.unwrap_err();
    assert!(matches!(error, AuthError::Rejected), "{error}");
    person.world.clock.advance(10);
    person.world.web.put(TOKEN, 400, &json!({"error": "invalid_grant"}));
    let error = source.rejected(Some("Bearer t2"), 401, None).await.unwrap_err();
    assert!(matches!(error, AuthError::LoginNeeded { .. }), "{error}");
    // It is not asked again with what is void, not even by another process.
    person.world.web.requests();
    let needed = Err("somebody has to log in at https://as.example".to_owned());
    assert_eq!(header(&source).await, needed);
    assert_eq!(header(&person.source(|_| {})).await, needed);
    assert_eq!(person.world.web.forms().len(), 0);
    assert!(matches!(source.standing().unwrap(), Standing::Over(_)));
}

#[tokio::test]
async fn what_the_server_wants_beyond_is_kept_for_the_next_login() {
    let person = Person::new();
    person.file().save(&kept(&["mcp"], &[])).unwrap();
    let source = person.source(|_| {});
    header(&source).await.unwrap();
    let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"more\"");
    for _ in 0..3 {
        let error = source.rejected(Some("Bearer t1"), 403, challenge).await.unwrap_err();
        assert!(error.wants_login() && error.to_string().ends_with(": more"), "{error}");
    }
    let mut next = person.file().load().unwrap().unwrap();
    assert_eq!(next.wanted, ["more"]);
    // Somebody logs in, and the same call passes.
    next.access = Some(Access { header: Secret::new("Bearer t9"), until: None });
    next.wanted.clear();
    person.file().save(&next).unwrap();
    assert!(source.rejected(Some("Bearer t1"), 403, challenge).await.unwrap());
    assert_eq!(header(&source).await, some("Bearer t9"));
    for (status, challenge) in [(403, None), (500, challenge), (200, None)] {
        assert!(!source.rejected(Some("Bearer t9"), status, challenge).await.unwrap());
    }
}

#[tokio::test]
async fn a_login_counts_for_whom_it_was_made() {
    let person = Person::new();
    person.file().save(&kept(&[], &[])).unwrap();
    let other = Issuer::new("https://b.example").unwrap();
    let source = person.source(|options| options.issuer = Some(other));
    assert_eq!(header(&source).await.unwrap_err(), "somebody has to log in at https://b.example");
    let mine = Some(("me".to_owned(), Proof::Nothing));
    let source = person.source(|options| options.client = mine);
    assert!(header(&source).await.unwrap_err().contains("log in at https://as.example"));
    // The server now takes tokens of somebody else, who learns nothing of this login.
    let servers = json!({"resource": RESOURCE, "authorization_servers": ["https://b.example"]});
    person.world.web.put(ABOUT, 200, &servers);
    let source = person.source(|_| {});
    header(&source).await.unwrap();
    let error = source.rejected(Some("Bearer t1"), 401, None).await.unwrap_err();
    assert!(matches!(error, AuthError::IssuerChanged { .. }), "{error}");
    assert_eq!(person.world.web.forms().len(), 0);
}

#[tokio::test]
async fn a_registration_that_is_forgotten_is_not_used_again() {
    let person = Person::new();
    person.file().save(&kept(&[], &[])).unwrap();
    person.world.clock.advance(300);
    person.world.web.put(TOKEN, 401, &json!({"error": "invalid_client"}));
    let source = person.source(|_| {});
    assert!(header(&source).await.unwrap_err().contains("log in"));
    assert!(person.file().load().unwrap().unwrap().client.is_none());
}

#[tokio::test]
async fn who_logs_out_is_forgotten_here_and_there() {
    let person = Person::new();
    let source = person.source(|_| {});
    assert!(source.log_out().await.unwrap().is_none());
    let revoke = "https://as.example/revoke";
    let mut words = metadata();
    words["revocation_endpoint"] = revoke.into();
    person.world.web.put(SERVER, 200, &words);
    person.world.web.put(revoke, 200, &json!({}));
    person.file().save(&kept(&[], &[])).unwrap();
    let (issuer, is_told) = source.log_out().await.unwrap().unwrap();
    assert_eq!((issuer.unwrap().as_str(), is_told), (ISSUER, true));
    let (form, _) = person.world.web.forms().remove(0);
    assert_eq!((&*form["token"], &*form["token_type_hint"]), ("r1", "refresh_token"));
    assert!(person.file().load().unwrap().is_none());
    // Also when the issuer is away.
    person.world.web.put(revoke, 500, &json!({}));
    person.file().save(&kept(&[], &[])).unwrap();
    assert!(!source.log_out().await.unwrap().unwrap().1);
    assert!(person.file().load().unwrap().is_none());
}

#[tokio::test]
async fn a_login_is_its_owners_alone_and_a_damaged_one_says_nothing() {
    let person = Person::new();
    person.file().save(&kept(&[], &[])).unwrap();
    let source = person.source(|_| {});
    header(&source).await.unwrap();
    let text = format!("{source:?} {:?} {:?}", kept(&[], &[]), source.standing());
    assert!(!text.contains("t1") && !text.contains("r1"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(person.file().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::write(person.file().path(), "{\"refresh\": \"hunter2").unwrap();
    let error = person.source(|_| {}).authorization().await.unwrap_err();
    let text = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(text.contains("damaged") && !text.contains("hunter2"), "{text}");
    assert_eq!(source.log_out().await.unwrap(), Some((None, false)));
}
