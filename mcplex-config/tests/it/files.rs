use crate::{json, load, toml};
use mcplex_config::{Config, Document, Sources};

#[test]
fn a_file_of_the_original_loads_unchanged() {
    let loaded = load(toml(
        r#"
[gateway]
listen = "127.0.0.1:3100"
name = "mcplex"

[[servers]]
name = "files"
command = "npx"
args = ["-y", "@modelcontextprotocol/server-filesystem", "/tmp"]
env = { DEBUG = "1" }
enabled = true

[[servers]]
name = "off"
command = "uvx"
enabled = false
"#,
    ));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let [files, off] = &loaded.config.servers[..] else { panic!("two servers") };
    assert_eq!(files.args.len(), 3);
    assert_eq!(files.env["DEBUG"], "1");
    assert_eq!((files.enabled, off.enabled), (true, false));
    assert!(off.args.is_empty() && off.env.is_empty() && off.cwd.is_none());
}

#[test]
fn keys_of_the_original_without_a_meaning_are_warned_of() {
    let loaded = load(toml(
        r#"
[gateway]
hot_reload = true
api_key = ""
[router]
mode = "metatool"
[security]
enable_rbac = false
[roles.admin]
allowed = ["*"]
[[servers]]
name = "a"
command = "x"
transport = "auto"
blocked_tools = []
"#,
    ));
    let file = "mcplex.toml: `";
    let end = "` of the original mcplex has no effect here";
    let keys: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| warning.strip_prefix(file).unwrap().strip_suffix(end).unwrap())
        .collect();
    let expected = [
        "roles",
        "security",
        "gateway.hot_reload",
        "router.mode",
        "gateway.api_key",
        "servers.a.transport",
        "servers.a.blocked_tools",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_file_of_a_desktop_client_loads() {
    let loaded = load(json(
        r#"{
  "globalShortcut": "",
  "gateway": { "name": "mixed" },
  "mcpServers": {
    "time": { "command": "uvx", "args": ["mcp-server-time"], "disabled": true },
    "files": {
      "type": "stdio", "command": "npx", "args": ["-y"], "env": { "A": "1" }, "cwd": "/tmp",
      "autoApprove": ["read"], "timeout": 60
    },
    "away": { "url": "https://mcp.example", "disabled": true }
  }
}"#,
    ));
    let config = &loaded.config;
    assert_eq!(config.gateway.name, "mixed");
    let names: Vec<_> = config.servers.iter().map(|s| (s.name.as_str(), s.enabled)).collect();
    assert_eq!(names, [("files", true), ("time", false)]);
    assert_eq!(config.servers[0].env["A"], "1");
    assert_eq!(loaded.origin("servers.files.command"), "mcp.json");
    let expected = [
        "mcp.json: `globalShortcut` means nothing to mcplex and is left out",
        "mcp.json: `mcpServers.away` is remote and disabled; it is left out",
        "mcp.json: `mcpServers.files.autoApprove` means nothing to mcplex and is left out",
        "mcp.json: `mcpServers.files.timeout` means nothing to mcplex and is left out",
    ];
    assert_eq!(loaded.warnings, expected);
}

#[test]
fn servers_by_name_and_our_own_json_load() {
    let by_name = load(json(r#"{"servers": {"a": {"command": "x"}}}"#));
    let listed = load(json(r#"{"servers": [{"name": "a", "command": "x"}]}"#));
    assert_eq!(by_name.config, listed.config);
    let both =
        r#"{"servers": [{"name": "b", "command": "x"}], "mcpServers": {"a": {"command": "x"}}}"#;
    let names: Vec<_> = load(json(both)).config.servers.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn files_are_read_by_their_ending() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.toml", "\u{feff}[[servers]]\nname = 'a'\ncommand = 'x'\n"),
        ("a.conf", "[[servers]]\nname = 'a'\ncommand = 'x'\n"),
        ("a.JSON", r#"{"mcpServers": {"a": {"command": "x"}}}"#),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let document = Some(Document::Path(path));
        let loaded = load(Sources { document, ..Sources::default() });
        assert_eq!(loaded.config.servers[0].name, "a", "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    use std::error::Error as _;
    let folder = tempfile::tempdir().unwrap();
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"# caf\xe9").unwrap();
    for (path, what) in [
        (folder.path().join("none.toml"), "there is no such file"),
        (folder.path().to_owned(), "the file cannot be read"),
        (latin, "the file is not UTF-8 text"),
    ] {
        let document = Some(Document::Path(path.clone()));
        let error = Config::load(Sources { document, ..Sources::default() }).unwrap_err();
        assert_eq!(error.what, what);
        assert_eq!(error.place.to_string(), path.display().to_string());
        assert!(error.source().is_some());
    }
}
