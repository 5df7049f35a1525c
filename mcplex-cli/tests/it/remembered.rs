//! Lists that a second run of mcplex knows before its servers have said anything.

use crate::gateway::Setup;
use rustix::process::Signal;
use serde_json::json;
use std::{fs, path::PathBuf};

/// The file in which the lists of the only server are remembered, once it is there.
fn file(setup: &Setup) -> Option<PathBuf> {
    let state = setup.file(".local/state/mcplex");
    let runs = fs::read_dir(state).ok()?.flatten();
    let folders = runs.filter_map(|run| fs::read_dir(run.path().join("catalog")).ok());
    let mut files: Vec<_> = folders.flat_map(|folder| folder.flatten()).collect();
    assert!(files.len() <= 1, "{files:?}");
    Some(files.pop()?.path())
}

/// One run that ends once it has seen the tools.
fn first_run(setup: &Setup) {
    let mut gateway = setup.serve();
    gateway.client_of(&["echo"]);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_server_that_is_still_starting_is_listed_as_it_was() {
    let setup = Setup::new("").server("slow", &["--init-delay", "1500"]);
    first_run(&setup);
    let file = file(&setup).expect("the end of mcplex waits for what is being written");
    let document = fs::read_to_string(file).unwrap();
    assert!(document.contains(r#""name":"echo""#), "{document}");
    let gateway = setup.serve();
    let mut client = gateway.client();
    assert!(client.tools().contains(&"echo".to_owned()));
    assert!(gateway.events("slow", "upstream connected").is_empty(), "it has not said anything");
    // The call waits for the life that is starting.
    let answer = client.call("echo", &json!({ "x": 1 }));
    assert_eq!(answer["isError"], serde_json::Value::Null, "{answer}");
}

#[test]
fn what_cannot_be_used_is_said_and_replaced() {
    let setup = Setup::new("").server("slow", &["--init-delay", "1500"]);
    first_run(&setup);
    let file = file(&setup).unwrap();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let mut gateway = setup.serve();
    assert!(gateway.client().tools().is_empty());
    gateway.wait_event("slow", "what is remembered of an upstream cannot be used");
    gateway.client_of(&["echo"]);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), good);
}
