use super::*;
use std::time::Duration;

fn check(line: &str, cause: &str) {
    let words = ["starting".to_owned(), line.to_owned(), "    at node:internal:1".to_owned()];
    let found = by_words(&words).map(|(cause, _)| cause);
    assert_eq!(found.as_deref(), (!cause.is_empty()).then_some(cause), "{line}");
}

#[test]
fn what_servers_say_is_understood() {
    check("Error: API_ID and API_HASH are required", "the variable API_ID is not set");
    check(
        "GITHUB_PERSONAL_ACCESS_TOKEN not set",
        "the variable GITHUB_PERSONAL_ACCESS_TOKEN is not set",
    );
    check("KeyError: 'SLACK_BOT_TOKEN'", "the variable SLACK_BOT_TOKEN is not set");
    check(
        "Please set the BRAVE_API_KEY environment variable",
        "the variable BRAVE_API_KEY is not set",
    );
    check("Error: no token", "it misses a key, a token or other credentials");
    check("Error: Cannot find module '/srv/x.js'", "the module /srv/x.js is not installed");
    check("ModuleNotFoundError: No module named 'mcp'", "the module mcp is not installed");
    check("  code: 'MODULE_NOT_FOUND',", "a module it needs is not installed");
    check("npm error code E404", "its package does not exist in its registry");
    check(
        "bash: line 1: uvx: command not found",
        "the program uvx is not installed, or not in PATH",
    );
    check("sh: 1: foo: not found", "the program foo is not installed, or not in PATH");
    check("Error: spawn python3 ENOENT", "the program python3 is not installed, or not in PATH");
    check(
        "Error: listen EADDRINUSE: address already in use :::3000",
        "the port it listens at is taken",
    );
    check("OSError: [Errno 98] Address already in use", "the port it listens at is taken");
    check("connect ECONNREFUSED 127.0.0.1:5432", "a service it needs does not accept connections");
    check(
        "getaddrinfo ENOTFOUND api.example.com",
        "a name it looks for on the network cannot be resolved",
    );
    check(
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "it ran out of memory",
    );
    check("PermissionError: [Errno 13] Permission denied: '/data/db'", "it may not use /data/db");
    check("Error: EACCES: permission denied, open '/x'", "it may not use /x");
    check(
        "Error: ENOENT: no such file or directory, open '/etc/a.json'",
        "/etc/a.json is not there",
    );
    check(
        "json.decoder.JSONDecodeError: Expecting value",
        "a file or argument it reads is not written as it expects",
    );
    check(
        "SyntaxError: Unexpected token } in JSON at position 5",
        "a file or argument it reads is not written as it expects",
    );
    check(
        "error: This package requires Python >=3.12",
        "its interpreter or system has a version that it does not support",
    );
    check(
        "npm warn EBADENGINE Unsupported engine",
        "its interpreter or system has a version that it does not support",
    );
    check("Request failed with status code 401", "its credentials or its license were refused");
    check(
        "error: unrecognized arguments: --foo",
        "it does not understand an argument it was given",
    );
    check("write ENOSPC", "the disk is full");
    check(
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
        "Docker does not run",
    );
    check("thread 'main' panicked at src/main.rs:1:2:", "it met an error that it does not handle");
    check(
        "SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed",
        "it does not trust a certificate it was shown",
    );
    check("Node.js v20.20.2", "");
    check("listening on port 3000", "");
    check("goodbye", "");
}

#[test]
fn a_variable_is_named_in_the_advice() {
    let words = ["Error: MY_KEY must be set".to_owned()];
    let found = diagnose(&Cause::Hung, &words);
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
    let advice = |cause: Cause| diagnose(&cause, &[]).advice;
    assert!(advice(Cause::Ended(Ending::Exited(0))).contains("on_exit_0"));
    assert!(advice(Cause::Ended(Ending::Signaled(9))).contains("kernel"));
    assert!(advice(Cause::HandshakeTimeout(Duration::ZERO)).contains("handshake_timeout"));
    assert!(!advice(Cause::OutputClosed).is_empty());
}
