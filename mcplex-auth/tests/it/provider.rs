//! Both sides against a real authorization server: `cargo xtask interop` runs these.

use crate::{
    browser,
    peer::{Peer, page},
};
use mcplex_auth::{
    Fetch, Issuer, Secret, SigningKey, SystemClock, Web, WebOptions,
    client::{
        AuthError, ByLogin, Credentials, Grant, Kept, Login, LoginFile, LoginOptions, LoginSource,
        Proof, TokenSource,
    },
    resource::{self, ResourceServer, Verdict},
};
use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use url::Url;

/// Names the folder of the installed Node packages.
const NODE_DIR: &str = "MCPLEX_OAUTH_NODE_DIR";

const SIGNER_KEY: &str = include_str!("../../src/testing/rsa.pem");

/// A resource whose tokens a real authorization server makes.
struct World {
    issuer: Issuer,
    resource: Url,
    server: Arc<ResourceServer>,
    web: Arc<dyn Fetch>,
    _peer: Peer,
    _provider: Child,
}

impl World {
    async fn start() -> Self {
        let (provider, issuer) = provider().await;
        let web: Arc<dyn Fetch> = Arc::new(Web::new(WebOptions::default()));
        // It says where its tokens are to be had; who it is, is known once it listens.
        let told: Arc<OnceLock<Arc<ResourceServer>>> = Arc::default();
        let document = Arc::clone(&told);
        let peer = Peer::start(move |request| {
            let server = document.get()?;
            let is_ours = server.paths().iter().any(|path| path == request.uri().path());
            Some(if is_ours { page(200, server.document().to_owned()) } else { page(404, "") })
        })
        .await;
        let resource: Url = format!("http://{}/mcp", peer.addr).parse().expect("a URL");
        let mut options = resource::Options::new(resource.as_str());
        options.issuers = vec![issuer.clone()];
        options.scopes = vec!["mcp".to_owned()];
        let clock = Arc::new(SystemClock::start());
        let server = Arc::new(ResourceServer::new(options, &web, clock).expect("sensible rules"));
        told.set(Arc::clone(&server)).expect("set once");
        Self { issuer, resource, server, web, _peer: peer, _provider: provider }
    }

    fn source(&self, client: &str, proof: Proof) -> TokenSource {
        let mut options = mcplex_auth::client::Options::new(self.resource.clone());
        options.scopes = vec!["mcp".to_owned()];
        options.credentials = vec![Credentials {
            issuer: self.issuer.clone(),
            client_id: client.to_owned(),
            proof,
            grant: Grant::ClientCredentials,
        }];
        TokenSource::new(options, Arc::clone(&self.web), Arc::new(SystemClock::start()))
    }

    /// Whom the resource takes the holder of a token for.
    async fn admits(&self, header: &Secret) -> String {
        let judged = self.server.judge_value(Some(header.expose().as_bytes())).await;
        let Verdict::Granted(grant) = judged.verdict else { return format!("{judged:?}") };
        grant.principal.as_str().replace(self.issuer.as_str(), "issuer")
    }
}

async fn provider() -> (Child, Issuer) {
    let packages = std::env::var_os(NODE_DIR).expect("`cargo xtask interop` says where they are");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/oauth/provider.mjs");
    #[expect(clippy::disallowed_methods, reason = "the server is what is tested against")]
    let mut command = Command::new("node");
    command.arg(script).arg(packages).env("SIGNER_KEY", SIGNER_KEY);
    // It ends when its stdin does, or with the test.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("node is installed");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is a pipe");
    BufReader::new(stdout).read_line(&mut line).await.expect("it says where it is");
    let told: serde_json::Value = serde_json::from_str(&line).expect("it says so in JSON");
    (child, Issuer::new(told["issuer"].as_str().expect("a text")).expect("a URL of loopback"))
}

#[tokio::test]
#[ignore = "needs Node and its packages; `cargo xtask interop` runs it"]
async fn a_client_gets_in_however_it_shows_who_it_is() {
    let world = World::start().await;
    let check = async |client: &str, proof: Proof| {
        let got = world.source(client, proof).authorization().await.expect("a token");
        assert_eq!(world.admits(got.header()).await, format!("issuer#{client}#{client}"));
    };
    for client in ["rs", "ps", "es", "es384", "ed"] {
        check(client, Proof::Basic(Secret::new(format!("the secret of {client}/+:")))).await;
    }
    check("poster", Proof::Post(Secret::new("the secret of poster"))).await;
    let key = SigningKey::from_pem(&Secret::new(SIGNER_KEY), Some("signer-1".to_owned())).unwrap();
    check("signer", Proof::Key(key)).await;

    let wrong = Proof::Basic(Secret::new("guess"));
    let source = world.source("rs", wrong);
    let error = source.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::Refused { error, .. } if error == "invalid_client"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs Node and its packages; `cargo xtask interop` runs it"]
async fn a_person_agrees_once_and_tokens_follow() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let redirect: Url = "http://127.0.0.1:7777/callback".parse().unwrap();
    let options = LoginOptions {
        resource: world.resource.clone(),
        challenge: None,
        issuer: Some(world.issuer.clone()),
        client: Some(("person".to_owned(), Proof::Nothing)),
        document: None,
        scopes: ["openid", "offline_access", "mcp"].map(str::to_owned).to_vec(),
        redirect: redirect.clone(),
        name: "mcplex".to_owned(),
        earlier: None,
    };
    let clock = Arc::new(SystemClock::start());
    let login = Login::begin(options, Arc::clone(&world.web), clock).await.unwrap();
    let begin = login.url().clone();
    let visited = tokio::task::spawn_blocking(move || browser::agree(&begin, &redirect));
    let kept = login.finish(&visited.await.unwrap()).await.unwrap();
    let file = LoginFile::new(folder.path(), "far");
    file.save(&kept).unwrap();

    let source = || {
        let options = ByLogin {
            resource: world.resource.clone(),
            issuer: Some(world.issuer.clone()),
            client: Some(("person".to_owned(), Proof::Nothing)),
            file: file.clone(),
            // Longer than any token lives: each use is a renewal.
            lead: Duration::from_secs(3600),
            is_optional: false,
        };
        LoginSource::new(options, Arc::clone(&world.web), Arc::new(SystemClock::start()))
    };
    let got = source().authorization().await.unwrap().unwrap();
    assert_eq!(world.admits(&got).await, "issuer#ada#person");
    // The server has replaced the first one, and does not take it a second time.
    let next = file.load().unwrap().unwrap();
    let text = |kept: &Kept| kept.refresh.as_ref().unwrap().expose().to_owned();
    assert_ne!(text(&next), text(&kept));
    let got = source().authorization().await.unwrap().unwrap();
    assert_eq!(world.admits(&got).await, "issuer#ada#person");
    file.save(&kept).unwrap();
    let error = source().authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::LoginNeeded { .. }), "{error}");
}
