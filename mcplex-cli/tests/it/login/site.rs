//! An authorization server that checks what it is sent, and a server that takes its tokens.

use crate::{far, gateway::Setup};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
use url::Url;

/// What the two servers of a test know, and how they are to behave.
#[derive(Debug, Default)]
pub(super) struct World {
    /// The names that were handed out.
    pub(super) clients: BTreeSet<String>,
    /// What each code is bound to.
    pub(super) codes: BTreeMap<String, BTreeMap<String, String>>,
    /// What each token allows.
    pub(super) access: BTreeMap<String, String>,
    /// Refresh tokens that were not used yet, and what they allow.
    pub(super) refresh: BTreeMap<String, String>,
    /// Each authorization request.
    pub(super) asked: Vec<BTreeMap<String, String>>,
    /// The answer that the person gives, instead of a code.
    pub(super) error: Option<&'static str>,
    /// Who the answer says that it is from, instead of the issuer.
    pub(super) iss: Option<&'static str>,
    /// What a call needs besides a token.
    pub(super) needs: Option<&'static str>,
    /// Whether nothing is published, as before there were documents: then everything lies where
    /// clients of revision 2025-03-26 look for it.
    pub(super) is_silent: bool,
    /// Whether a token is wanted at all.
    pub(super) is_open: bool,
    serial: u32,
}

impl World {
    fn next(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}-{}", self.serial)
    }
}

/// A server that wants tokens, and the authorization server that hands them out, at one address.
#[derive(Clone)]
pub(super) struct Site {
    origin: String,
    world: Arc<Mutex<World>>,
}

struct Asked {
    path: String,
    query: BTreeMap<String, String>,
    head: String,
    body: String,
}

/// An answer: its status, more lines of its head, and its body.
type Answer = (u16, String, Value);

impl Site {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let site = Self { origin, world: Arc::default() };
        let serving = site.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let site = serving.clone();
                thread::spawn(move || site.serve(stream));
            }
        });
        site
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/as", self.origin)
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    fn url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    /// A configuration with this server, and these lines of its entry.
    pub(super) fn setup(&self, more: &str) -> Setup {
        Setup::new(&format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[telemetry]\nlog = \"trace\"\n\
             [[servers]]\nname = \"far\"\nurl = \"{}\"\n{more}",
            self.url()
        ))
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = far::read(&mut reader) {
            let target = head.split(' ').nth(1).unwrap();
            let url = Url::parse(&self.origin).unwrap().join(target).unwrap();
            let query = url.query_pairs().into_owned().collect();
            let asked = Asked { path: url.path().to_owned(), query, head, body };
            let (status, lines, body) = self.answer(&asked);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let text = format!(
                "HTTP/1.1 {status} Any\r\n{lines}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            if reader.get_mut().write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let (issuer, none) = (self.issuer(), String::new());
        let is_silent = self.world().is_silent;
        match &*asked.path {
            "/register" | "/authorize" | "/token" if !is_silent => (404, none, json!({})),
            path if is_silent && (path == "/about" || path.contains("well-known")) => {
                (404, none, json!({}))
            }
            "/mcp" => self.resource(asked),
            "/about" => (
                200,
                none,
                json!({ "resource": self.url(), "authorization_servers": [issuer],
                    "scopes_supported": ["mcp"] }),
            ),
            "/.well-known/oauth-authorization-server/as" => (
                200,
                none,
                json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "registration_endpoint": format!("{issuer}/register"),
                    "revocation_endpoint": format!("{issuer}/revoke"),
                    "code_challenge_methods_supported": ["S256"],
                    "authorization_response_iss_parameter_supported": true,
                }),
            ),
            "/as/register" | "/register" => {
                let client = self.world().next("client");
                self.world().clients.insert(client.clone());
                (201, none, json!({ "client_id": client }))
            }
            "/as/authorize" | "/authorize" => self.authorize(asked),
            "/as/token" | "/token" => self.token(&asked.body),
            "/as/revoke" => {
                self.world().refresh.clear();
                (200, none, json!({}))
            }
            _ => (404, none, json!({})),
        }
    }

    fn resource(&self, asked: &Asked) -> Answer {
        let message: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let method = message["method"].as_str().unwrap_or_default();
        let lower = asked.head.to_ascii_lowercase();
        let token = lower.lines().find_map(|line| line.strip_prefix("authorization: bearer "));
        let about = format!("resource_metadata=\"{}/about\"", self.origin);
        let world = self.world();
        let scopes = token.and_then(|token| world.access.get(token));
        if scopes.is_none() && !world.is_open {
            let about = if world.is_silent { "" } else { &*about };
            return (401, format!("www-authenticate: Bearer {about}\r\n"), json!({}));
        }
        let has = |needed: &str| scopes.is_some_and(|all| all.split(' ').any(|one| one == needed));
        if let Some(needed) = world.needs.filter(|needed| method == "tools/call" && !has(needed)) {
            let challenge = format!(
                "www-authenticate: Bearer error=\"insufficient_scope\", scope=\"{needed}\", {about}\r\n"
            );
            return (403, challenge, json!({}));
        }
        match far::well(method) {
            _ if method.is_empty() => (405, String::new(), Value::Null),
            _ if message["id"].is_null() => (202, String::new(), Value::Null),
            far::Reply::Result(result) => (
                200,
                String::new(),
                json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }),
            ),
            far::Reply::Status(status) => (status, String::new(), Value::Null),
            far::Reply::Never => unreachable!("nothing of it is silent"),
        }
    }

    /// The person decides at once.
    fn authorize(&self, asked: &Asked) -> Answer {
        let (query, issuer) = (asked.query.clone(), self.issuer());
        let mut world = self.world();
        world.asked.push(query.clone());
        let is_known = world.clients.contains(&query["client_id"]);
        let is_bound = query["code_challenge_method"] == "S256" && query["resource"] == self.url();
        assert!(is_known && is_bound && query["response_type"] == "code", "{query:?}");
        let code = world.next("code");
        let mut back = Url::parse(&query["redirect_uri"]).unwrap();
        match world.error {
            Some(error) => back.query_pairs_mut().append_pair("error", error),
            None => back.query_pairs_mut().append_pair("code", &code),
        };
        back.query_pairs_mut().append_pair("state", &query["state"]);
        if !world.is_silent {
            back.query_pairs_mut().append_pair("iss", world.iss.unwrap_or(&issuer));
        }
        world.codes.insert(code, query);
        (302, format!("location: {back}\r\n"), Value::Null)
    }

    fn token(&self, body: &str) -> Answer {
        let form: BTreeMap<_, _> =
            url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let mut world = self.world();
        let scope = match &*form["grant_type"] {
            "authorization_code" => world.codes.remove(&form["code"]).and_then(|asked| {
                let hash = digest(&SHA256, form["code_verifier"].as_bytes());
                let hash = BASE64_URL_SAFE_NO_PAD.encode(hash);
                let is_right = hash == asked["code_challenge"]
                    && form["client_id"] == asked["client_id"]
                    && form["redirect_uri"] == asked["redirect_uri"];
                is_right.then(|| asked.get("scope").cloned().unwrap_or_default())
            }),
            "refresh_token" => {
                let scope = world.refresh.remove(&form["refresh_token"]);
                if scope.is_none() {
                    // Somebody has used it before, and nobody knows who.
                    world.refresh.clear();
                    world.access.clear();
                }
                scope
            }
            other => panic!("{other}"),
        };
        let Some(scope) = scope.filter(|_| form["resource"] == self.url()) else {
            return (400, String::new(), json!({ "error": "invalid_grant" }));
        };
        let (access, refresh) = (world.next("access-secret"), world.next("refresh-secret"));
        world.access.insert(access.clone(), scope.clone());
        world.refresh.insert(refresh.clone(), scope);
        let words = json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600,
        });
        (200, String::new(), words)
    }
}
