//! An MCP server over stdio that misbehaves as its flags say.
//!
//! Without flags it is a good server: it answers until its input ends. `--help` prints the flags;
//! `behavior.rs` holds them. It knows no runtime and no crate of mcplex, so that a mistake there
//! cannot hide here.

mod behavior;
mod bytes;
mod era;
mod family;
mod features;
mod input;
mod peer;
mod tools;

use behavior::Behavior;
use era::First;
use peer::Peer;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::Command,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

/// Set in a process that was started anew with SIGTERM ignored.
const DEAF: &str = "FAKE_SERVER_DEAF";

/// Nothing that a test forgot lives longer than this.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// The exit code of one that was forgotten.
const FORGOTTEN: i32 = 99;

fn main() -> io::Result<()> {
    let behavior = match Behavior::parse(std::env::args().skip(1)) {
        Ok(Some(behavior)) => behavior,
        Ok(None) => return io::stdout().write_all(help().as_bytes()),
        Err(why) => return Err(io::Error::other(why)),
    };
    thread::spawn(|| {
        thread::sleep(LONGEST_LIFE);
        die(FORGOTTEN)
    });
    if family::is_member(&behavior) {
        return family::run(&behavior);
    }
    if behavior.ignore_sigterm && std::env::var_os(DEAF).is_none() {
        return Err(become_deaf());
    }
    begin(&behavior)?;
    serve(&Arc::new(Peer::new(behavior)))
}

fn help() -> String {
    format!(
        "An MCP server over stdio that misbehaves as its flags say; a good one without flags.\n\n\
         {}\nWhatever its flags say, it exits with code {FORGOTTEN} after {} s: nothing that a test \
         forgot lives longer.\n",
        Behavior::help(),
        LONGEST_LIFE.as_secs()
    )
}

/// Does what is to be done before the first message.
fn begin(behavior: &Behavior) -> io::Result<()> {
    if let Some(file) = &behavior.spawn_log {
        append(file, &format!("{}\n", std::process::id()))?;
        let starts = u64::try_from(fs::read_to_string(file)?.lines().count()).unwrap_or(u64::MAX);
        if behavior.sick_for.is_some_and(|sick| starts <= sick) {
            die(behavior.exit_code());
        }
    }
    if let Some(text) = &behavior.stderr {
        writeln!(io::stderr(), "{text}")?;
    }
    if let Some(bytes) = behavior.flood_stderr {
        bytes::flood(&mut io::stderr().lock(), bytes)?;
    }
    if let Some(rate) = behavior.stderr_rate {
        thread::spawn(move || bytes::trickle(rate));
    }
    if let Some(text) = &behavior.banner {
        writeln!(io::stdout(), "{text}")?;
    }
    if behavior.tiny_pipes {
        input::shrink_pipes()?;
    }
    if let Some(mib) = behavior.memory {
        let filled = vec![1_u8; usize::try_from(mib << 20).map_err(io::Error::other)?];
        // Kept to the end, as a leak is.
        std::mem::forget(filled);
    }
    family::begin(behavior)?;
    match behavior.die_before_handshake {
        // Before it has read anything.
        Some(0) => die(behavior.exit_code()),
        Some(ms) => die_in(ms, behavior),
        None => {}
    }
    Ok(())
}

/// Takes messages until the input ends.
fn serve(peer: &Arc<Peer>) -> io::Result<()> {
    let behavior = &peer.behavior;
    let mut record = behavior.record.as_deref().map(open).transpose()?;
    let mut input = input::Input::new();
    let mut line = Vec::new();
    while input.line(&mut line, peer)? {
        if let Some(record) = &mut record {
            record.write_all(&line)?;
        }
        if let Ok(message) = serde_json::from_slice(&line) {
            take(peer, &message)?;
        }
        line.clear();
    }
    if let Some(bytes) = behavior.flush_on_eof {
        peer.notify("notifications/message", &bytes::long(bytes)?);
    }
    if behavior.is_stubborn() {
        linger();
    }
    Ok(())
}

fn take(peer: &Arc<Peer>, message: &Value) -> io::Result<()> {
    if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
        match era::look(peer, method, &message["params"]) {
            First::GoOn => {}
            First::Mute => return Ok(()),
            First::Refuse { code, why, data } => {
                peer.error_with(id, code, &why, data);
                return Ok(());
            }
        }
    }
    match (message["method"].as_str(), message.get("id")) {
        (Some("initialize"), Some(id)) => initialize(peer, id, &message["params"]),
        (Some("server/discover"), Some(id)) if peer.is_modern.load(Ordering::Relaxed) => {
            peer.result(id, &era::discovery(&peer.behavior));
            open_session(peer)?;
        }
        (Some("subscriptions/listen"), Some(id)) if peer.is_modern.load(Ordering::Relaxed) => {
            era::listen(peer, id, &message["params"]);
        }
        (Some("tools/call"), Some(id)) => tools::call(peer, id.clone(), &message["params"])?,
        (Some(method), Some(id)) => match features::answer(peer, method, &message["params"]) {
            Ok(result) => peer.result(id, &result),
            Err((code, why)) => peer.error(id, code, &why),
        },
        (Some("notifications/initialized"), None) => open_session(peer)?,
        (Some("notifications/cancelled"), None) => peer.cancel(&message["params"]["requestId"]),
        (Some(_), None) => {}
        (None, Some(id)) => peer.resolve(id, message),
        (None, None) => {}
    }
    Ok(())
}

/// The client may ask now; only the first time, because a modern client may discover again.
fn open_session(peer: &Arc<Peer>) -> io::Result<()> {
    let is_open = peer.is_open.swap(true, Ordering::Relaxed);
    if is_open || peer.behavior.on_call { Ok(()) } else { after_handshake(peer) }
}

fn initialize(peer: &Peer, id: &Value, params: &Value) {
    let behavior = &peer.behavior;
    if behavior.never_answer_initialize || behavior.die_before_handshake.is_some() {
        return;
    }
    thread::sleep(Duration::from_millis(behavior.init_delay.unwrap_or_default()));
    if behavior.initialize_error {
        return peer.error(id, -32603, "it was told to refuse");
    }
    if let Some(only) =
        behavior.refuse_version.as_ref().filter(|it| params["protocolVersion"] != **it)
    {
        let data = json!({ "supported": [only], "requested": params["protocolVersion"] });
        return peer.error_with(id, -32602, "Unsupported protocol version", Some(data));
    }
    let version = match &behavior.protocol {
        Some(version) => json!(version),
        None => params["protocolVersion"].clone(),
    };
    peer.result(
        id,
        &json!({
            "protocolVersion": version,
            "capabilities": features::capabilities(behavior),
            "serverInfo": { "name": "fake-server", "version": env!("CARGO_PKG_VERSION") },
            "instructions": "It does as its flags say.",
        }),
    );
}

/// Does what is to be done once the session is open.
pub(crate) fn after_handshake(peer: &Arc<Peer>) -> io::Result<()> {
    let behavior = &peer.behavior;
    if let Some(ms) = behavior.die_after {
        die_in(ms, behavior);
    }
    if let Some(ms) = behavior.deadlock_after {
        let peer = Arc::clone(peer);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(ms));
            peer.deadlock()
        });
    }
    bytes::after_handshake(peer)?;
    input::after_handshake(behavior)
}

/// Starts this program anew, in this process, from a shell that ignores SIGTERM: what is ignored
/// stays ignored, so no signal handler is needed.
fn become_deaf() -> io::Error {
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => return error,
    };
    let script = r#"trap "" TERM; exec "$0" "$@""#;
    #[expect(clippy::disallowed_methods, reason = "mcplex is not what starts it")]
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(exe).args(std::env::args_os().skip(1)).env(DEAF, "1").exec()
}

fn die_in(ms: u64, behavior: &Behavior) {
    let code = behavior.exit_code();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(ms));
        die(code)
    });
}

/// Ends because nobody listens, unless it is one that does not end for that.
fn leave(behavior: &Behavior) -> ! {
    if behavior.is_stubborn() { linger() } else { die(0) }
}

/// Stays and does nothing; the watch in `main` ends it.
fn linger() -> ! {
    loop {
        thread::park();
    }
}

#[expect(clippy::exit, reason = "it is there to die in the midst of things")]
fn die(code: i32) -> ! {
    std::process::exit(code)
}

fn open(file: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(file)
}

/// Adds to a file in one write, so that several processes can share it.
fn append(file: &str, text: &str) -> io::Result<()> {
    open(file)?.write_all(text.as_bytes())
}
