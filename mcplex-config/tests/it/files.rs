use crate::{json, load, process, toml};
use mcplex_config::{Config, Document, HttpTransport, Reach, Remote, Sources};

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
    assert_eq!(process(files).args.len(), 3);
    assert_eq!(process(files).env["DEBUG"], "1");
    assert_eq!((files.enabled, off.enabled), (true, false));
    let off = process(off);
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
    assert_eq!(names, [("away", false), ("files", true), ("time", false)]);
    assert_eq!(process(&config.servers[1]).env["A"], "1");
    assert_eq!(loaded.origin("servers.files.command"), "mcp.json");
    let expected = [
        "mcp.json: `globalShortcut` means nothing to mcplex and is left out",
        "mcp.json: `mcpServers.files.autoApprove` means nothing to mcplex and is left out",
        "mcp.json: `mcpServers.files.timeout` means nothing to mcplex and is left out",
    ];
    assert_eq!(loaded.warnings, expected);
}

#[test]
fn servers_elsewhere_load_in_the_words_of_every_client() {
    let check = |entry: &str, transport: HttpTransport, headers: &[(&str, &str)]| {
        let loaded = load(json(&format!(r#"{{"mcpServers": {{"a": {entry}}}}}"#)));
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let url = "https://mcp.example/mcp".to_owned();
        let expect = Remote { url, headers: headers.collect(), transport, auth: None };
        assert_eq!(loaded.config.servers[0].reach, Reach::Http(expect), "{entry}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    };
    let url = r#""url": "https://mcp.example/mcp""#;
    let (auto, http, sse) = (HttpTransport::Auto, HttpTransport::Http, HttpTransport::Sse);
    check(&format!("{{{url}}}"), auto, &[]);
    let headers = r#""headers": {"Authorization": "Bearer x"}"#;
    check(
        &format!(r#"{{"type": "http", {url}, {headers}}}"#),
        http,
        &[("Authorization", "Bearer x")],
    );
    check(&format!(r#"{{"type": "streamable-http", {url}}}"#), http, &[]);
    check(&format!(r#"{{"type": "sse", {url}}}"#), sse, &[]);
    check(&format!(r#"{{"transport": "sse", {url}}}"#), sse, &[]);
    check(r#"{"serverUrl": "https://mcp.example/mcp"}"#, auto, &[]);
    check(r#"{"httpUrl": "https://mcp.example/mcp"}"#, http, &[]);
}

#[test]
fn a_server_elsewhere_has_its_words_in_toml() {
    let loaded = load(toml(
        "[[servers]]\nname = 'a'\nurl = 'http://mcp.example/mcp?key=s3cret'\ntransport = 'sse'\n\
         headers = { X-Key = 's3cret' }\nmax_deaths = 9\n\
         [[servers]]\nname = 'off'\nurl = '${UNSET}'\nenabled = false\n",
    ));
    let Reach::Http(remote) = &loaded.config.servers[0].reach else { panic!("it has a URL") };
    assert_eq!(
        (remote.shown_url(), remote.transport),
        ("http://mcp.example/mcp", HttpTransport::Sse)
    );
    assert_eq!(loaded.config.servers[0].supervise.max_deaths, 9);
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let plain = "servers.a.url: its `headers` go over the network in plain text; use https";
    assert_eq!(loaded.warnings, [plain]);
    assert_eq!(loaded.origin("servers.a.headers.X-Key"), "mcplex.toml:5");
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
