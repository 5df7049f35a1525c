use crate::{json, show, toml, with_env};
use mcplex_config::{Config, Sources};
use std::{fmt::Write as _, path::Path};

/// What a person is told, word for word; `MCPLEX_BLESS=1` rewrites the answers in the file.
///
/// A case is `## toml`, `## json` or `## env NAME=value`, the text of the file, and below `-->`
/// what comes of it.
#[test]
fn messages_are_the_written_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/errors.txt");
    let expected = std::fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for case in expected.split("## ").skip(1) {
        let (kind, rest) = case.split_once('\n').unwrap();
        let (text, _) = rest.split_once("-->").unwrap();
        let answer = match Config::load(sources(kind, text)) {
            Ok(_) => "(loads)".to_owned(),
            Err(error) => show(&error),
        };
        writeln!(actual, "## {kind}\n{text}-->\n{answer}\n").unwrap();
    }
    let actual = actual.trim_end().to_owned() + "\n";
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    for (expected, actual) in expected.split("## ").zip(actual.split("## ")) {
        assert_eq!(expected.trim_end(), actual.trim_end());
    }
}

fn sources(kind: &str, text: &str) -> Sources {
    match kind.strip_prefix("env ").and_then(|variable| variable.split_once('=')) {
        Some(variable) => with_env(toml(text), [variable]),
        None if kind == "json" => json(text),
        None => toml(text),
    }
}

#[test]
fn a_flag_is_named() {
    let mut sources = Sources::default();
    sources.flags.listen = Some("here".into());
    let error = Config::load(sources).unwrap_err();
    assert_eq!(error.place.source, "--listen");
    assert_eq!(error.place.key.as_deref(), Some("gateway.listen"));
    assert!(error.what.ends_with("found \"here\""), "{}", error.what);
}

#[test]
fn secrets_are_not_repeated() {
    for text in [
        "[[servers]]\nname = 'a'\ncommand = 'x'\nenv = { PIN = 424242 }\n",
        "[[servers]]\nname = 'a'\ncommand = 'x'\nargs = '424242'\n",
        "[[servers]]\nname = 'a'\ncommand = 'x'\nenv = { 'A=' = '424242' }\n",
        "[[servers]]\nname = 'a'\ncommand = 'x'\nenv = { A = '${NO}424242' }\n",
        "[admin]\ntoken = '424242'\n",
    ] {
        let error = Config::load(toml(text)).unwrap_err();
        assert!(!format!("{error:?}").contains("424242"), "{error:?}");
    }
}
