//! `mcplex login` and `mcplex logout`: a person agrees in a browser, and takes it back.

use crate::{
    args::{self, ConfigOptions, LogOptions},
    commands::act,
    console,
    exit::{Code, Failure},
    login::{
        self,
        callback::{Browser, Callback},
        voice::Voice,
    },
    settings::{self, Settings},
    tokens::{Tokens, Way},
};
use mcplex_admin::{
    act::Done,
    client::{Client, ClientError, escaped},
    operator::Verb,
    status::UpstreamStatus,
};
use mcplex_auth::{
    Fetch,
    client::{AuthError, ByLogin, Kept, LOOK_EVERY, Login, LoginOptions},
};
use mcplex_config::{Reach, Remote, TokenGrant};
use mcplex_proto::upstream::Health;
use serde_json::{Value, json};
use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use url::Url;

/// A server whose login is meant.
struct Meant {
    settings: Settings,
    remote: Remote,
    tokens: Tokens,
}

impl Meant {
    fn find(name: &str, options: &ConfigOptions) -> Result<Self, Failure> {
        let settings = settings::load(options, None, &LogOptions::default())?;
        let servers = &settings.config().servers;
        let Some(server) = servers.iter().find(|server| server.name == name) else {
            let known: Vec<_> = servers.iter().map(|server| server.name.clone()).collect();
            return Err(console::unknown(name, &known));
        };
        let wrong = |what: &str, hint: &str| {
            let what = format!("nobody can log in for {name}: {what}");
            Failure::new(Code::Configuration, what).with_hint(hint)
        };
        let remote = match &server.reach {
            Reach::Http(remote) => remote.clone(),
            Reach::Process(_) => {
                let hint = "such a server gets its credentials in `env`";
                return Err(wrong("it is a program that mcplex starts", hint));
            }
        };
        match &remote.auth {
            Some(auth) if auth.grant != TokenGrant::Login => {
                let what = format!("its `auth.grant` is {:?}", auth.grant.as_str());
                return Err(wrong(&what, "set `grant = \"login\"`"));
            }
            None if !login::is_possible(&remote) => {
                let hint = "take `Authorization` out of its `headers`, and reach it by https";
                return Err(wrong(
                    "its `headers` say who mcplex is, or others could read along",
                    hint,
                ));
            }
            Some(_) | None => {}
        }
        let tokens = Tokens::new(settings.places().state(settings.config()).as_deref());
        Ok(Self { settings, remote, tokens })
    }

    fn rules(&self, name: &str) -> Result<ByLogin, Failure> {
        let rules = self.tokens.by_login(name, &self.remote);
        rules.map_err(|what| Failure::new(Code::Configuration, what))
    }
}

/// Lets a person log in for a server.
pub(crate) fn log_in(options: &args::LoginOptions) -> Result<(), Failure> {
    let voice = Voice { upstream: &options.upstream, is_json: options.json };
    voice.ending(logged_in(options, voice))
}

fn logged_in(options: &args::LoginOptions, voice: Voice<'_>) -> Result<(), Failure> {
    let name = &options.upstream;
    let meant = Meant::find(name, &options.config)?;
    let rules = meant.rules(name)?;
    console::run(async {
        let (kept, browser) = ask(options, voice, &meant, &rules).await?;
        let saved = async {
            let _lock = rules.file.lock().await?;
            rules.file.save(&kept)
        };
        if let Err(error) = saved.await {
            browser.tell(FAILED, "The login could not be kept. mcplex says why.\n").await;
            let path = rules.file.path().display();
            let what = format!("the login could not be kept in {path}");
            return Err(Failure::from_error(Code::Failed, what, &error));
        }
        let text = format!("mcplex can use {name} now. This page can be closed.\n");
        browser.tell("200 OK", &text).await;
        let access = kept.access.as_ref();
        let known = json!({
            "issuer": kept.issuer.as_str(),
            "scopes": kept.scopes,
            "is_renewed": kept.refresh.is_some(),
            "until": access.and_then(|access| access.until),
            "kept_in": rules.file.path(),
        });
        voice.say(&report(name, &kept, &rules), "logged_in", known)?;
        match find_running(&meant, name).await {
            Some((client, row)) => wake(client, &row, voice).await,
            None => Ok(()),
        }
    })
}

const FAILED: &str = "400 Bad Request";

/// Asks the person, and gives what came of it with the browser that waits to be told.
async fn ask(
    options: &args::LoginOptions,
    voice: Voice<'_>,
    meant: &Meant,
    rules: &ByLogin,
) -> Result<(Kept, Browser), Failure> {
    let name = &options.upstream;
    // A damaged one is as good as none: this login writes it anew.
    let earlier = rules.file.load().ok().flatten();
    let callback = listen(options.port, earlier.as_ref()).await?;
    let challenge = login::knock(&meant.tokens, &meant.remote, rules.resource.clone()).await;
    let challenge = challenge.map_err(|error| {
        let what = format!("{name} cannot be asked what it wants");
        Failure::from_error(Code::Failed, what, &error)
    })?;
    let is_asking = challenge.is_some();
    let auth = meant.remote.auth.as_ref();
    let document = auth.and_then(|auth| auth.client_document.as_deref());
    let question = LoginOptions {
        resource: rules.resource.clone(),
        challenge,
        issuer: rules.issuer.clone(),
        client: rules.client.clone(),
        document: document.and_then(|text| Url::parse(text).ok()),
        scopes: auth.map(|auth| auth.scopes.clone()).unwrap_or_default(),
        redirect: callback.url().clone(),
        name: meant.settings.config().gateway.name.clone(),
        earlier,
    };
    let web: Arc<dyn Fetch> = meant.tokens.web();
    let begun = Login::begin(question, web, meant.tokens.clock()).await;
    let login = begun.map_err(|error| refused(name, &error, is_asking))?;
    let limit = Duration::from_secs(options.timeout);
    let text = format!(
        "Open this address in a browser, where {} asks whether mcplex may use {name}:\n\n  {}\n\n\
         The answer is awaited at {} for {} s; Ctrl-C ends the wait.\n",
        login.issuer(),
        login.url(),
        callback.url(),
        options.timeout,
    );
    let known = json!({
        "issuer": login.issuer().as_str(),
        "url": login.url().as_str(),
        "callback": callback.url().as_str(),
        "timeout_s": options.timeout,
    });
    voice.say(&text, "asked", known)?;
    if options.browser {
        open(login.url(), voice)?;
    }
    let answered = timeout(limit, callback.answer(|back| login.is_answered_by(back))).await;
    let Ok(answered) = answered else {
        let what = format!("nobody has answered within {} s", options.timeout);
        return Err(
            Failure::new(Code::Failed, what).with_hint("try again; --timeout SECONDS waits longer")
        );
    };
    let (back, browser) = answered.map_err(|error| {
        Failure::from_error(Code::Failed, "no answer can be taken any more", &error)
    })?;
    match login.finish(&back).await {
        Ok(kept) => Ok((kept, browser)),
        Err(error) => {
            browser.tell(FAILED, &format!("mcplex cannot use {name}: {error}.\n")).await;
            Err(refused(name, &error, is_asking))
        }
    }
}

/// Listens where the person wants, or where an earlier login did: its registration holds for that
/// address, and another one would have to be made for another.
async fn listen(port: Option<u16>, earlier: Option<&Kept>) -> Result<Callback, Failure> {
    if let Some(port) = port {
        return Callback::listen(port).await.map_err(|error| {
            let what = format!("no answer can be awaited at port {port}");
            Failure::from_error(Code::Address, what, &error)
                .with_hint("choose another --port, or none: then a free one is taken")
        });
    }
    let before = earlier.and_then(|earlier| earlier.redirect.port());
    if let Some(port) = before
        && let Ok(callback) = Callback::listen(port).await
    {
        return Ok(callback);
    }
    Callback::listen(0).await.map_err(|error| {
        Failure::from_error(Code::Address, "no answer can be awaited on this machine", &error)
    })
}

/// Why a login did not come about.
fn refused(name: &str, error: &AuthError, is_asking: bool) -> Failure {
    let failure =
        Failure::from_error(Code::Failed, format!("nobody is logged in for {name}"), error);
    let hint = if matches!(error, AuthError::NoClient { .. }) {
        "register mcplex there by hand, as a native application with the address \
         http://127.0.0.1/callback, and write `issuer` and `client_id` into `[servers.auth]`"
    } else if matches!(error, AuthError::NoCredentials { .. }) {
        "correct `auth.issuer`: the server takes no tokens of the one that is there"
    } else if matches!(error, AuthError::Discovery(_)) && !is_asking {
        "the server did not ask for a token either: perhaps it needs no login, or wants a key in \
         `headers`"
    } else {
        return failure;
    };
    failure.with_hint(hint)
}

/// Opens an address where the person can see it.
fn open(url: &Url, voice: Voice<'_>) -> Result<(), Failure> {
    let system = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let program = program.unwrap_or_else(|| system.to_owned());
    #[expect(clippy::disallowed_methods, reason = "a browser is no child of a gateway: it stays")]
    let mut command = Command::new(&program);
    command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => Ok(()),
        // The address is on the screen.
        Err(error) => {
            let text = format!("{program} cannot be started: {error}\n");
            voice.say(&text, "unopened", json!({ "browser": program, "why": error.to_string() }))
        }
    }
}

fn report(name: &str, kept: &Kept, rules: &ByLogin) -> String {
    let scopes = match &kept.scopes[..] {
        [] => String::new(),
        scopes => format!(", for {}", scopes.join(" ")),
    };
    let lasts = match (&kept.refresh, kept.access.as_ref().and_then(|access| access.until)) {
        (Some(_), _) => "it is renewed by itself",
        (None, Some(_)) => "it cannot be renewed, so it ends when its token does",
        (None, None) => "it cannot be renewed, and its end is not known",
    };
    let path = rules.file.path().display();
    format!("{name}: logged in at {}{scopes}; {lasts}\nkept in {path}\n", kept.issuer)
}

/// The mcplex that runs this configuration, and how the upstream is there.
async fn find_running(meant: &Meant, name: &str) -> Option<(Client, UpstreamStatus)> {
    for path in meant.settings.places().sockets() {
        let Ok(mut client) = Client::connect(&path).await else { continue };
        let snapshot = console::snapshot(&mut client).await.ok()?;
        let row = snapshot.upstreams.into_iter().find(|row| row.name == name)?;
        return Some((client, row));
    }
    None
}

/// Has the running mcplex use a login. What is up picks it up by itself.
async fn wake(client: Client, row: &UpstreamStatus, voice: Voice<'_>) -> Result<(), Failure> {
    match row.health {
        Health::Tripped | Health::Recovering => {
            tell(client, Verb::Reset, row, (voice, "in_use")).await
        }
        // Some let everybody in and show nothing; its lists are read when it starts.
        Health::Ready | Health::Degraded if row.tools == 0 => {
            tell(client, Verb::Restart, row, (voice, "in_use")).await
        }
        Health::Ready | Health::Degraded | Health::Idle => {
            voice.say("The mcplex that runs uses it from now on.\n", "in_use", Value::Null)
        }
        Health::Stopped => {
            let text = format!("It is stopped; `mcplex start {}` starts it.\n", row.name);
            voice.say(&text, "stopped", Value::Null)
        }
    }
}

async fn tell(
    mut client: Client,
    verb: Verb,
    row: &UpstreamStatus,
    (voice, state): (Voice<'_>, &str),
) -> Result<(), Failure> {
    let path = format!("/v1/upstreams/{}/{verb}", escaped(&row.name));
    let patience = Duration::from_millis(row.patience_ms);
    let answer = client.post(&path, patience).await.map_err(|error| console::failure(&error))?;
    match serde_json::from_value::<Done>(answer.clone()) {
        Ok(done) => voice.say(&act::sentence(&done), state, json!({ "done": answer })),
        Err(_) => Err(console::failure(&ClientError::Strange)),
    }
}

/// Forgets what a login has brought.
pub(crate) fn log_out(options: &args::LogoutOptions) -> Result<(), Failure> {
    let voice = Voice { upstream: &options.upstream, is_json: options.json };
    voice.ending(logged_out(options, voice))
}

fn logged_out(options: &args::LogoutOptions, voice: Voice<'_>) -> Result<(), Failure> {
    let name = &options.upstream;
    let meant = Meant::find(name, &options.config)?;
    let nobody = || voice.say(&format!("nobody is logged in for {name}\n"), "nobody", Value::Null);
    console::run(async {
        let way = meant.tokens.way(name, &meant.remote);
        let source = match way.map_err(|what| Failure::new(Code::Configuration, what))? {
            Way::Person(source) => source,
            Way::Headers | Way::Own(_) => return nobody(),
        };
        let gone = source.log_out().await.map_err(|error| {
            Failure::from_error(Code::Failed, format!("the login for {name} stays"), &error)
        })?;
        let Some((issuer, is_told)) = gone else { return nobody() };
        let there = match is_told {
            true => "and is void there",
            false => "which was not told: what it handed out is good until it ends",
        };
        let at = issuer.as_ref().map(|issuer| format!(" at {issuer}")).unwrap_or_default();
        let text = format!("{name}: the login{at} is forgotten here, {there}\n");
        let issuer = issuer.as_ref().map(|issuer| issuer.as_str());
        voice.say(&text, "logged_out", json!({ "issuer": issuer, "is_void_there": is_told }))?;
        if let Some((client, row)) = find_running(&meant, name).await
            && matches!(row.health, Health::Ready | Health::Degraded)
        {
            // Not before it must have noticed, or it could go on for as long as its session lasts.
            tokio::time::sleep(LOOK_EVERY + Duration::from_millis(50)).await;
            // It comes up again where no login is needed, and says so where one is.
            let _is_up = tell(client, Verb::Restart, &row, (voice, "restarted")).await.is_ok();
        }
        Ok(())
    })
}
