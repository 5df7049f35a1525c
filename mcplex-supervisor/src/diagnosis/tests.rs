use super::*;
use mcplex_proto::error::ErrorObject;
use std::time::Duration;

fn check(line: &str, cause: &str) {
    let words = ["starting".to_owned(), line.to_owned(), "    at node:internal:1".to_owned()];
    let found = by_words(&words).map(|(cause, _)| cause);
    assert_eq!(found.as_deref(), (!cause.is_empty()).then_some(cause), "{line}");
}

/// A line of a server, and what it gives away; nothing where the text is empty.
const SAID: &[(&str, &str)] = &[
    ("Error: API_ID and API_HASH are required", "the variable API_ID is not set"),
    (
        "GITHUB_PERSONAL_ACCESS_TOKEN not set",
        "the variable GITHUB_PERSONAL_ACCESS_TOKEN is not set",
    ),
    ("KeyError: 'SLACK_BOT_TOKEN'", "the variable SLACK_BOT_TOKEN is not set"),
    ("Please set the BRAVE_API_KEY environment variable", "the variable BRAVE_API_KEY is not set"),
    ("Error: no token", "it misses a key, a token or other credentials"),
    ("Error: Cannot find module '/srv/x.js'", "the module /srv/x.js is not installed"),
    ("ModuleNotFoundError: No module named 'mcp'", "the module mcp is not installed"),
    ("  code: 'MODULE_NOT_FOUND',", "a module it needs is not installed"),
    ("npm error code E404", "its package does not exist in its registry"),
    ("bash: line 1: uvx: command not found", "the program uvx is not installed, or not in PATH"),
    ("sh: 1: foo: not found", "the program foo is not installed, or not in PATH"),
    ("Error: spawn python3 ENOENT", "the program python3 is not installed, or not in PATH"),
    ("Error: listen EADDRINUSE: address already in use :::3000", "the port it listens at is taken"),
    ("OSError: [Errno 98] Address already in use", "the port it listens at is taken"),
    ("connect ECONNREFUSED 127.0.0.1:5432", "a service it needs does not accept connections"),
    (
        "getaddrinfo ENOTFOUND api.example.com",
        "a name it looks for on the network cannot be resolved",
    ),
    (
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "it ran out of memory",
    ),
    ("PermissionError: [Errno 13] Permission denied: '/data/db'", "it may not use /data/db"),
    ("Error: EACCES: permission denied, open '/x'", "it may not use /x"),
    ("Error: ENOENT: no such file or directory, open '/etc/a.json'", "/etc/a.json is not there"),
    (
        "json.decoder.JSONDecodeError: Expecting value",
        "a file or argument it reads is not written as it expects",
    ),
    (
        "SyntaxError: Unexpected token } in JSON at position 5",
        "a file or argument it reads is not written as it expects",
    ),
    (
        "error: This package requires Python >=3.12",
        "its interpreter or system has a version that it does not support",
    ),
    (
        "npm warn EBADENGINE Unsupported engine",
        "its interpreter or system has a version that it does not support",
    ),
    ("Request failed with status code 401", "its credentials or its license were refused"),
    ("error: unrecognized arguments: --foo", "it does not understand an argument it was given"),
    ("write ENOSPC", "the disk is full"),
    ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "Docker does not run"),
    ("thread 'main' panicked at src/main.rs:1:2:", "it met an error that it does not handle"),
    (
        "SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed",
        "it does not trust a certificate it was shown",
    ),
    (
        "Error: None of the specified directories are accessible",
        "a folder it was given is not there, or it may not enter it",
    ),
    ("npm error code ENOTCACHED", "a service it needs cannot be reached"),
    ("Node.js v20.20.2", ""),
    ("listening on port 3000", ""),
    ("goodbye", ""),
];

#[test]
fn what_servers_say_is_understood() {
    for (line, cause) in SAID {
        check(line, cause);
    }
}

#[test]
fn a_variable_is_named_in_the_advice() {
    let words = ["Error: MY_KEY must be set".to_owned()];
    let found = diagnose(&Cause::Hung, &words, Where::Here);
    assert_eq!(found.advice, "set MY_KEY in `env` of the server");
}

#[test]
fn every_row_is_whole() {
    for row in ROWS {
        assert_eq!(row.name == Name::No, row.cause.is_empty(), "{:?}", row.phrases);
        assert!(row.name == Name::Variable || !row.plain.is_empty(), "{:?}", row.phrases);
        for phrase in row.phrases {
            assert_eq!(*phrase, phrase.to_ascii_lowercase());
        }
        for text in [row.cause, row.plain, row.advice] {
            assert!(!text.ends_with('.'), "{text}");
        }
    }
}

#[test]
fn a_death_without_words_has_advice_all_the_same() {
    let advice = |cause: Cause| diagnose(&cause, &[], Where::Here).advice;
    assert!(advice(Cause::Ended(Ending::Exited(0))).contains("on_exit_0"));
    assert!(advice(Cause::Ended(Ending::Signaled(9))).contains("kernel"));
    assert!(
        advice(Cause::HandshakeTimeout(Duration::ZERO, "initialize")).contains("handshake_timeout")
    );
    assert!(!advice(Cause::OutputClosed).is_empty());
}

#[test]
fn nobody_is_sent_to_a_command_that_a_server_elsewhere_does_not_have() {
    let refused = || HandshakeError::Refused(ErrorObject::new(-32603, "not JSON"));
    let causes = [
        Cause::Handshake(refused()),
        Cause::Handshake(HandshakeError::Malformed("x".to_owned())),
        Cause::HandshakeTimeout(Duration::ZERO, "initialize"),
        Cause::Hung,
        Cause::OutputClosed,
        Cause::EraProbe("x".to_owned()),
    ];
    for cause in causes {
        let advice = diagnose(&cause, &[], Where::Elsewhere).advice;
        assert!(advice.contains("log"), "{advice}");
        for word in ["command", "`env`", "by hand"] {
            assert!(!advice.contains(word), "{cause:?}: {advice}");
        }
    }
}
