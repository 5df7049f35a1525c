use crate::{load, process, toml, with_env};
use mcplex_config::{DownReply, Flags, LogFormat, Naming, Sources, Tracing};
use std::time::Duration;

#[test]
fn defaults_alone_are_complete() {
    let loaded = load(Sources::default());
    let config = &loaded.config;
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:3100");
    assert_eq!(config.router.naming, Naming::OnCollision);
    assert_eq!(config.router.down_reply, DownReply::Result);
    assert_eq!(config.telemetry.log_format, LogFormat::Auto);
    assert_eq!(config.telemetry.endpoint, None);
    assert_eq!(config.supervise.backoff_first, Duration::from_millis(250));
    assert_eq!(config.supervise.max_line, 16 << 20);
    assert!(config.servers.is_empty());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.settings().iter().all(|setting| setting.origin == "default"));
}

#[test]
fn each_layer_covers_the_one_below() {
    let file = "[gateway]\nlisten = '127.0.0.1:1'\nname = 'a'\npath = '/f'\n";
    let mut sources = with_env(
        toml(file),
        [("MCPLEX_GATEWAY__LISTEN", "127.0.0.1:2"), ("MCPLEX_GATEWAY__NAME", "7")],
    );
    sources.flags = Flags {
        listen: Some("127.0.0.1:3".into()),
        log: Some("debug".into()),
        log_format: Some("json".into()),
        endpoint: Some("http://localhost:4318".into()),
    };
    let loaded = load(sources);
    let gateway = &loaded.config.gateway;
    assert_eq!(gateway.listen.port(), 3);
    assert_eq!((gateway.name.as_str(), gateway.path.as_str()), ("7", "/f"));
    assert_eq!(loaded.config.telemetry.log_format, LogFormat::Json);
    for (key, origin) in [
        ("gateway.listen", "--listen"),
        ("gateway.name", "MCPLEX_GATEWAY__NAME"),
        ("gateway.path", "mcplex.toml:4"),
        ("gateway.drain", "default"),
        ("telemetry.endpoint", "--endpoint"),
        ("telemetry.log", "--log"),
    ] {
        assert_eq!(loaded.origin(key), origin, "{key}");
    }
}

#[test]
fn variables_are_read_as_the_type_of_the_default() {
    let loaded = load(with_env(
        Sources::default(),
        [
            ("MCPLEX_GATEWAY__ALLOWED_HOSTS", "a.example, b.example"),
            ("MCPLEX_GATEWAY__MAX_SESSIONS", "3"),
            ("MCPLEX_SUPERVISE__PROBE", "false"),
            ("MCPLEX_SUPERVISE__COOLDOWN_JITTER", "0"),
            ("MCPLEX_SUPERVISE__WINDOW", "1m 1s"),
            ("MCPLEX_TREE", "what our own servers are marked with, and mcplex may be one"),
        ],
    ));
    assert_eq!(loaded.config.gateway.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(loaded.config.gateway.max_sessions, 3);
    assert!(!loaded.config.supervise.probe);
    assert!(loaded.config.supervise.cooldown_jitter.abs() < f64::EPSILON);
    assert_eq!(loaded.config.supervise.window, Duration::from_secs(61));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn a_variable_that_sets_nothing_is_noticed() {
    for (name, rest) in [
        ("MCPLEX_GATEWAY_LISTEN", "the setting is MCPLEX_GATEWAY__LISTEN"),
        ("MCPLEX_GATEWAYLISTEN", "the setting is MCPLEX_GATEWAY__LISTEN"),
        ("MCPLEX_CONFIG", "settings are called MCPLEX_SECTION__KEY"),
        ("MCPLEX_", "settings are called MCPLEX_SECTION__KEY"),
    ] {
        let loaded = load(with_env(Sources::default(), [(name, "x")]));
        assert_eq!(loaded.warnings, [format!("{name} is not read; {rest}")]);
    }
}

#[test]
fn a_server_overrides_only_what_it_names() {
    let loaded = load(with_env(
        toml(
            "[supervise]\nmax_deaths = 9\n[[servers]]\nname = 'a'\ncommand = 'x'\n\
             [servers.supervise]\nhandshake_timeout = '2m'\n[[servers]]\nname = 'b'\ncommand = 'x'\n",
        ),
        [("MCPLEX_SUPERVISE__QUEUE_LIMIT", "1")],
    ));
    let [a, b] = &loaded.config.servers[..] else { panic!("two servers") };
    assert_eq!(a.supervise.handshake_timeout, Duration::from_secs(120));
    assert_eq!(b.supervise.handshake_timeout, Duration::from_secs(30));
    for server in [a, b] {
        assert_eq!((server.supervise.max_deaths, server.supervise.queue_limit), (9, 1));
    }
    assert_eq!(b.supervise, loaded.config.supervise);
    assert_eq!(loaded.origin("servers.a.supervise.handshake_timeout"), "mcplex.toml:7");
    assert_eq!(loaded.origin("servers.a.supervise.max_deaths"), "mcplex.toml:2");
    assert_eq!(loaded.origin("servers.b.supervise.queue_limit"), "MCPLEX_SUPERVISE__QUEUE_LIMIT");
    assert_eq!(loaded.origin("servers.b.supervise.window"), "default");
}

#[test]
fn texts_are_expanded_and_secrets_stay_hidden() {
    let loaded = load(with_env(
        toml(
            "[gateway]\nname = '${WHO:-nobody}'\n\
             [telemetry]\nendpoint = 'http://c:4318/x?key=geheim'\n\
             [[servers]]\nname = 'a'\ncommand = '${DIR}/x'\n\
             args = ['--key=${KEY}', '$${KEY}']\nenv = { TOKEN = '${KEY}' }\ncwd = '${DIR}'\n\
             [[servers]]\nname = 'off'\ncommand = 'x'\nenabled = false\nenv = { T = '${UNSET}' }\n",
        ),
        [("DIR", "/opt"), ("KEY", "s3cret")],
    ));
    let server = &loaded.config.servers[0];
    assert_eq!(loaded.config.gateway.name, "nobody");
    let server = process(server);
    assert_eq!(server.command, "/opt/x");
    assert_eq!(server.args, ["--key=s3cret", "${KEY}"]);
    assert_eq!(server.env["TOKEN"], "s3cret");
    assert_eq!(server.cwd.as_deref(), Some("/opt".as_ref()));
    assert_eq!(process(&loaded.config.servers[1]).env["T"], "${UNSET}");
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let value = |key: &str| {
        let found = loaded.settings().iter().find(|setting| setting.key == key);
        found.map(|setting| setting.value.clone()).unwrap()
    };
    assert_eq!(value("servers.a.env.TOKEN"), "(hidden)");
    assert_eq!(value("telemetry.endpoint").trim_matches('"'), "http://c:4318/x?(hidden)");
    assert_eq!(value("servers.a.args"), "[\"--key=${KEY}\", \"$${KEY}\"]");
}

#[test]
fn doubtful_settings_are_warned_of() {
    let file = "[gateway]\nlisten = '0.0.0.0:3100'\n[supervise]\ncooldown_first = '5s'\n\
                [[servers]]\nname = 'a'\ncommand = 'x'\nenabled = false\n";
    let warnings = load(toml(file)).warnings;
    let parts =
        ["other machines can reach every tool", "servers.a: cooldown_first", "no server is"];
    assert_eq!(warnings.len(), parts.len(), "{warnings:?}");
    for (warning, part) in warnings.iter().zip(parts) {
        assert!(warning.contains(part), "{warning}");
    }
}

#[test]
fn a_key_of_supervise_may_stand_in_the_server_itself() {
    let file = "[[servers]]\nname = 'a'\ncommand = 'x'\nwindow = '2m'\n\
                [servers.supervise]\nmax_run = 3\n\
                [[servers]]\nname = 'b'\ncommand = 'x'\n";
    let loaded = load(toml(file));
    let [a, b] = &loaded.config.servers[..] else { panic!("two servers") };
    assert_eq!((a.supervise.window, a.supervise.max_run), (Duration::from_secs(120), 3));
    assert_eq!((b.supervise.window, b.supervise.max_run), (Duration::from_secs(60), 8));
    assert_eq!(loaded.origin("servers.a.supervise.window"), "mcplex.toml:4");
    assert_eq!(loaded.origin("servers.a.supervise.max_run"), "mcplex.toml:6");
    assert_eq!(loaded.origin("servers.b.supervise.window"), "default");
}

#[test]
fn a_server_is_traced_as_telemetry_says_unless_it_says_otherwise() {
    let file = "[telemetry]\nstderr_tail = true\n\
                [[servers]]\nname = 'a'\ncommand = 'x'\n\
                telemetry = { propagate = ['trace', 'baggage'] }\n\
                [[servers]]\nname = 'b'\ncommand = 'x'\n\
                [servers.telemetry]\npropagate = []\nstderr_tail = false\n\
                [[servers]]\nname = 'c'\ncommand = 'x'\n";
    let loaded = load(toml(file));
    let told = |at: usize| {
        let Tracing { propagate, stderr_tail } = loaded.config.servers[at].telemetry;
        (propagate.trace, propagate.baggage, stderr_tail)
    };
    assert_eq!(told(0), (true, true, true));
    assert_eq!(told(1), (false, false, false));
    assert_eq!(told(2), (true, false, true));
    assert_eq!(loaded.origin("servers.b.telemetry.propagate"), "mcplex.toml:11");
}
