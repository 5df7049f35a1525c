//! Processes that use the same configured grant.

use super::*;
use crate::{
    fetch::{Action, Answer, Body, FetchError, Request},
    testing::FakeWeb,
};

/// An issuer that takes each refresh token once, and all of them back when one comes a second time.
#[derive(Debug, Default)]
struct Rotating {
    documents: FakeWeb,
    state: Mutex<Rotation>,
}

#[derive(Debug, Default)]
struct Rotation {
    used: u32,
    is_void: bool,
}

impl Rotating {
    fn used(&self) -> (u32, bool) {
        let state = self.state.lock().unwrap();
        (state.used, state.is_void)
    }
}

#[async_trait]
impl Fetch for Rotating {
    async fn fetch(&self, request: Request) -> Result<Answer, FetchError> {
        let Action::Post { form, .. } = &request.action else {
            return self.documents.fetch(request).await;
        };
        let form = url::form_urlencoded::parse(form.expose().as_bytes()).into_owned();
        let token = form.into_iter().find(|(name, _)| name == "refresh_token").unwrap().1;
        // Whoever else wants the same gets as far as it can meanwhile.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut state = self.state.lock().unwrap();
        let is_right = !state.is_void && token == format!("r{}", state.used);
        let (status, words) = if is_right {
            state.used += 1;
            (200, refreshed(&format!("t{}", state.used), &format!("r{}", state.used)))
        } else {
            state.is_void = true;
            (400, json!({"error": "invalid_grant"}))
        };
        Ok(Answer { status, challenge: None, body: Body(words.to_string().into()) })
    }
}

struct Household {
    issuer: Arc<Rotating>,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Household {
    fn new() -> Self {
        let issuer = Rotating::default();
        let about = json!({"resource": RESOURCE, "authorization_servers": [ISSUER]});
        issuer.documents.put(ABOUT, 200, &about);
        issuer.documents.put(SERVER, 200, &metadata());
        let folder = tempfile::tempdir().unwrap();
        Self { issuer: Arc::new(issuer), clock: ManualClock::new(), folder }
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.folder.path().join("tokens"))
    }

    /// What one process makes of the grant.
    fn source(&self) -> TokenSource {
        let mut options = Options::new(RESOURCE.parse().unwrap());
        let grant = Grant::Refresh(Some(Secret::new("r0")));
        options.credentials = vec![Credentials { grant, ..credentials(ISSUER) }];
        options.store = Some(Arc::new(self.store()));
        let fetch: Arc<dyn Fetch> = Arc::<Rotating>::clone(&self.issuer);
        TokenSource::new(options, fetch, Arc::<ManualClock>::clone(&self.clock) as Arc<dyn Clock>)
    }
}

#[tokio::test]
async fn processes_that_share_a_grant_use_each_refresh_token_once() {
    let house = Household::new();
    let sources: Vec<_> = (0..4).map(|_| house.source()).collect();
    for round in 1..=3 {
        let all = sources.iter().map(TokenSource::authorization);
        for got in futures_util::future::join_all(all).await {
            got.unwrap();
        }
        // None of them lost the grant, whichever was first.
        assert_eq!(house.issuer.used(), (round * 4, false));
        house.clock.advance(300);
    }
    let issuer = Issuer::new(ISSUER).unwrap();
    let kept = house.store().load(&issuer, RESOURCE).unwrap().unwrap();
    assert_eq!(kept.expose(), "r12");
}

#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    let house = Household::new();
    let issuer = Issuer::new(ISSUER).unwrap();
    let held = house.store().lock(&issuer, RESOURCE).await.unwrap();
    let source = house.source();
    // Finds the issuer, and so waits for nothing but the turn.
    tokio::time::pause();
    let error = source.authorization().await.unwrap_err();
    assert!(matches!(&error, AuthError::Store(_)) && error.is_passing(), "{error}");
    assert_eq!(house.issuer.used(), (0, false));
    drop(held);
    house.clock.advance(5);
    source.authorization().await.unwrap();
    assert_eq!(house.issuer.used(), (1, false));
}
