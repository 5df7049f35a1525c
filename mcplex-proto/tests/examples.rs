//! The examples against each other: a client and a server, and a proxy between them.
//!
//! `cargo test` builds examples with the tests of their crate; with `--test examples` it does not.

#![expect(
    clippy::disallowed_methods,
    reason = "the examples are programs, and this is how one runs"
)]

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test is a program");
    let folder = test.ancestors().nth(2).expect("it is in `deps`").join("examples");
    let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(program.exists(), "build the examples first: {}", program.display());
    program
}

/// What the client prints.
fn client(words: &[&str], command: &[PathBuf]) -> String {
    let output = Command::new(example("client")).args(words).args(command).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// What a program answers to these lines.
fn answers(program: &mut Command, lines: &[&str]) -> Vec<String> {
    let piped = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("it has an input");
    input.write_all(format!("{}\n", lines.join("\n")).as_bytes()).expect("it reads");
    drop(input);
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    assert!(status.success());
    let said = String::from_utf8(stdout).expect("it says text");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn a_client_opens_either_era_and_calls_a_tool() {
    let server = [example("server")];
    for (choice, version) in
        [("--legacy", "2025-11-25"), ("--modern", "2026-07-28"), ("--auto", "2026-07-28")]
    {
        let words: Vec<_> =
            [choice, "shout"].into_iter().filter(|word| *word != "--auto").collect();
        let said = client(&words, &server);
        assert!(said.starts_with(&format!("it speaks {version}\n")), "{said}");
        assert!(said.contains(r#""content":[{"type":"text","text":"HELLO"}]"#), "{said}");
        assert_eq!(said.contains("resultType"), version == "2026-07-28");
    }
    assert!(client(&["whisper"], &server).contains("error: {\"code\":-32602"));
}

#[test]
fn a_proxy_renames_a_tool_for_both_eras() {
    let command = [example("proxy"), "shout".into(), "cry".into(), example("server")];
    for choice in ["--legacy", "--modern"] {
        assert!(client(&[choice, "cry"], &command).contains("HELLO"));
    }
    let list = r#"{"jsonrpc":"2.0","id":"l","method":"tools/list"}"#;
    let mut proxy = Command::new(&command[0]);
    let listed = answers(proxy.args(&command[1..]), &[list]);
    let direct = answers(&mut Command::new(example("server")), &[list]);
    assert_eq!(listed, [direct[0].replace("shout", "cry")]);
}

#[test]
fn a_proxy_leaves_every_other_byte_as_it_was() {
    let odd =
        r#"{"jsonrpc":"2.0","id":"a","method":"x/y","params":{ "n":1.50,"e":1e400,"m":null}}"#;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"z":1E5,"name":"NAME","a":{ }},"x":-0.0}"#;
    let mut proxy = Command::new(example("proxy"));
    // `cat` says what it was told.
    let said = answers(
        proxy.args(["shout", "cry", "cat"]),
        &[odd, &call.replace("NAME", "cry"), "no JSON"],
    );
    assert_eq!(said, [odd, &call.replace("NAME", "shout"), "no JSON"]);
}

#[test]
fn a_server_serves_both_eras_on_one_pipe() {
    let said = answers(
        &mut Command::new(example("server")),
        &[
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"1999-01-01","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "[]",
        ],
    );
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(said[0], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    for (answer, code) in said[1..].iter().zip(["-32601", "-32022", "-32600"]) {
        assert!(answer.contains(code), "{answer}");
    }
}
