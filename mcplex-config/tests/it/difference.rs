//! What a change of each setting takes, and the page that says so.

use crate::{load, toml};
use mcplex_config::{DEFAULT_TOML, Difference};
use std::{collections::BTreeMap, path::Path};

const BEGIN: &str = "<!-- Begin of the generated part; `MCPLEX_BLESS=1 cargo test -p mcplex-config` rewrites it. -->\n";
const END: &str = "<!-- End of the generated part. -->\n";

const SERVER: &str = "[[servers]]\nname = \"a\"\ncommand = \"true\"\n";

/// Values that differ from the default, where no rule gives one.
const OTHERS: &[(&str, &str)] = &[
    ("gateway.name", "\"other\""),
    ("gateway.listen", "\"127.0.0.1:1\""),
    ("gateway.path", "\"/other\""),
    ("gateway.allowed_hosts", "[\"other.example\"]"),
    ("gateway.allowed_origins", "[\"https://other.example\"]"),
    ("gateway.state_dir", "\"/other\""),
    ("auth.issuers", "[\"https://login.example\"]"),
    ("auth.resource", "\"https://mcp.example/mcp\""),
    ("auth.scopes", "[\"mcp\"]"),
    ("auth.audiences", "[\"api://mcplex\"]"),
    ("auth.algorithms", "[\"ES256\"]"),
    ("admin.listen", "\"127.0.0.1:1\""),
    ("admin.token", "\"0123456789abcdef\""),
    ("admin.allowed_hosts", "[\"other.example\"]"),
    ("admin.traces", "\"http://127.0.0.1:1\""),
    ("router.naming", "\"none\""),
    ("router.separator", "\"-\""),
    ("router.down_reply", "\"error\""),
    ("router.single_user", "true"),
    ("telemetry.endpoint", "\"http://127.0.0.1:1\""),
    ("telemetry.protocol", "\"grpc\""),
    ("telemetry.service_name", "\"other\""),
    ("gateway.sse_path", "\"/other\""),
    ("telemetry.log", "\"debug\""),
    ("telemetry.log_format", "\"json\""),
    ("telemetry.log_file", "\"mcplex.log\""),
    ("audit.file", "\"audit.jsonl\""),
    ("audit.arguments", "\"none\""),
    ("audit.allow", "[\"files/read_file /path\"]"),
    ("telemetry.incoming_context", "\"link\""),
    ("telemetry.propagate", "[]"),
    ("supervise.restart", "\"never\""),
    ("supervise.on_exit_0", "\"idle\""),
    ("supervise.isolation", "\"pool\""),
    ("supervise.guard", "\"off\""),
    ("supervise.era", "\"legacy\""),
    ("supervise.cooldown_jitter", "0.5"),
];

/// What a server's own keys are changed to; its name is what it is told apart by.
const SERVER_KEYS: &[(&str, &str)] = &[
    ("command", "command = \"false\""),
    ("args", "args = [\"x\"]"),
    ("env", "env = { X = \"1\" }"),
    ("cwd", "cwd = \"/\""),
    ("enabled", "enabled = false"),
    ("telemetry", "telemetry = { stderr_tail = true }"),
];

const AWAY: &str = "[[servers]]\nname = \"a\"\nurl = \"http://a/mcp\"\n";

/// The same of a server that runs elsewhere.
const AWAY_KEYS: &[(&str, &str)] = &[
    ("url", "url = \"http://b/mcp\""),
    ("headers", "headers = { X = \"1\" }"),
    ("transport", "transport = \"sse\""),
    ("auth", "auth = { issuer = \"https://a\", client_id = \"me\", client_secret = \"s\" }"),
];

#[expect(clippy::panic, reason = "a test that cannot go on fails here")]
fn stop(why: &str) -> ! {
    panic!("{why}")
}

/// Every setting with a value that is not its default.
fn settings() -> Vec<(String, String)> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in DEFAULT_TOML.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once(" = ") {
            let key = format!("{section}.{key}");
            let other = OTHERS.iter().find(|(known, _)| *known == key);
            let other =
                other.map_or_else(|| another(value), |(_, other)| Some((*other).to_owned()));
            let other = other.unwrap_or_else(|| stop(&format!("add a value of {key} to OTHERS")));
            settings.push((key, other));
        }
    }
    settings
}

/// Another value like this one: a truth, a number, a duration or a size.
fn another(value: &str) -> Option<String> {
    match value {
        "true" => return Some("false".to_owned()),
        "false" => return Some("true".to_owned()),
        _ => {}
    }
    let bare = value.trim_matches('"');
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    let more = bare[..digits].parse::<u64>().ok()? + 1;
    let quote = if bare == value { "" } else { "\"" };
    Some(format!("{quote}{more}{}{quote}", &bare[digits..]))
}

fn difference(old: &str, new: &str) -> Difference {
    Difference::between(&load(toml(old)).config, &load(toml(new)).config)
}

/// What a change of each setting takes.
fn effects() -> BTreeMap<&'static str, Vec<String>> {
    let mut effects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut note = |difference: Difference, key: String| {
        let effect = match difference {
            it if it.changed == ["a"] => "another process",
            it if it.limits == ["a"] => "new limits",
            it if it.settings == [key.as_str()] => "at once",
            it if it.needs_restart == [key.as_str()] => "the next start of mcplex",
            it => stop(&format!("{key}: {it:?}")),
        };
        effects.entry(effect).or_default().push(format!("`{key}`"));
    };
    for (server, keys) in [(SERVER, SERVER_KEYS), (AWAY, AWAY_KEYS)] {
        for (key, line) in keys {
            let is_it = |old: &&str| !old.starts_with(&format!("{key} ="));
            let kept: Vec<_> = server.lines().filter(is_it).chain([*line]).collect();
            note(difference(server, &kept.join("\n")), format!("servers.{key}"));
        }
    }
    for (key, other) in settings() {
        note(difference(SERVER, &format!("{key} = {other}\n{SERVER}")), key);
    }
    effects
}

#[test]
fn the_page_says_what_a_change_of_each_setting_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/reload.md");
    let effects = effects();
    let mut table = "| takes effect | settings |\n| --- | --- |\n".to_owned();
    for effect in ["another process", "new limits", "at once", "the next start of mcplex"] {
        table = table + &format!("| {effect} | {} |\n", effects[effect].join(", "));
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = written.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let page = format!("{head}{BEGIN}{table}{END}{tail}");
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == page,
        "run MCPLEX_BLESS=1 cargo test -p mcplex-config and commit the page"
    );
}
