//! What the guides say exists: tests, faults, commands and settings.

use crate::gateway::Setup;
use mcplex_config::DEFAULT_TOML;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every guide, by its name.
fn guides() -> BTreeMap<String, String> {
    let folder = fs::read_dir(root().join("docs/guide")).unwrap();
    let all = folder.map(|file| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    });
    all.collect()
}

#[test]
fn each_symptom_names_a_test_or_a_fault_that_is_there() {
    let guide = read("docs/guide/troubleshooting.md");
    let folder = fs::read_dir(root().join("mcplex-chaos/src/faults")).unwrap();
    let faults: String =
        folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let symptoms: Vec<_> = guide.split("\n### ").skip(1).collect();
    for symptom in &symptoms {
        // The next heading of a group is no part of it.
        let symptom = symptom.split("\n## ").next().unwrap();
        let title = symptom.lines().next().unwrap();
        for part in ["- **Means**: ", "- **Do**: "] {
            assert!(symptom.contains(part), "{title}: no {part}");
        }
        let (_, shown_by) =
            symptom.split_once("- **Shown by**: ").unwrap_or_else(|| panic!("{title}"));
        let names = shown_by.split([',', ' ', '`', '\n']).filter(|word| !word.is_empty());
        assert_ne!(names.clone().count(), 0, "nothing shows {title}");
        for name in names {
            let is_there = match name.split_once("::") {
                Some((file, test)) => {
                    read(&format!("mcplex-cli/tests/it/{file}.rs")).contains(&format!("fn {test}("))
                }
                None => faults.contains(&format!("\"{name}\"")),
            };
            assert!(is_there, "there is no {name}, which is to show {title}");
        }
    }
    assert!(symptoms.len() > 20, "{}", symptoms.len());
}

/// All source files below a folder.
fn sources(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|name| name == "rs")).collect()
}

/// Whether a `CRATE/FILE::TEST` is a test of that name in a file of that name.
fn is_test(name: &str) -> bool {
    let Some((file, test)) = name.rsplit_once("::") else { return false };
    let (of, file) = file.split_once('/').unwrap_or_else(|| panic!("no crate in {name}"));
    let start = format!("fn {test}(");
    sources(root().join(format!("mcplex-{of}"))).iter().any(|path| {
        // Whole folders are compared, so `it/ends.rs` is not `friends.rs`.
        path.ends_with(format!("{file}.rs")) && fs::read_to_string(path).unwrap().contains(&start)
    })
}

#[test]
fn each_requirement_names_its_code_and_its_test() {
    let page = read("docs/design/requirements.md");
    let mut count = 0;
    for row in page.lines().filter(|line| line.starts_with("| G")) {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        // The last table has another shape; its numbers are those of rows above.
        let [number, force, what, code, shown] = cells[..] else { continue };
        count += 1;
        assert_eq!(number, format!("G{count}"), "the numbers have no gap");
        assert!(["must", "should", "own"].contains(&force), "{number}: {force}");
        assert!(!what.is_empty(), "{number} says nothing");
        for (cell, is_there) in [
            (
                code,
                &(|name: &str| root().join(format!("mcplex-{name}")).is_file())
                    as &dyn Fn(&str) -> bool,
            ),
            (shown, &is_test),
        ] {
            let mut names = cell.split([',', ' ', '`']).filter(|word| !word.is_empty()).peekable();
            assert!(names.peek().is_some(), "{number}: an empty cell");
            for name in names {
                assert!(is_there(name), "{number}: there is no {name}");
            }
        }
    }
    assert_eq!(count, 110, "requirements");
}

/// What stands in backticks or blocks and begins with `mcplex `.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
            continue;
        }
        if is_block {
            let line = line.trim_start_matches("$ ").split('#').next().unwrap();
            found.extend(line.starts_with("mcplex ").then(|| line.trim().to_owned()));
        } else {
            let quoted = line.split('`').skip(1).step_by(2);
            found.extend(quoted.filter(|text| text.starts_with("mcplex ")).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_command_of_the_guides_is_one_with_these_flags() {
    let setup = Setup::new("");
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0;
    for (guide, text) in guides() {
        for command in commands(&text) {
            let words: Vec<_> = command.split_whitespace().skip(1).collect();
            let mut names: Vec<_> = words
                .iter()
                .take_while(|word| {
                    word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                })
                .take_while(|word| !word.starts_with('-'))
                .copied()
                .collect();
            // `crashes show` and `service install` have words of their own.
            names.truncate(if matches!(names.first(), Some(&"crashes" | &"service")) {
                2
            } else {
                1
            });
            if names == ["help"] {
                continue;
            }
            let key = names.join(" ");
            let help = helps.entry(key).or_insert_with(|| {
                let ran = setup.run(&[&["help"], &names[..]].concat());
                assert_eq!(ran.code, 0, "{guide}: {command}: {}", ran.stderr);
                ran.stdout
            });
            for flag in words.iter().filter(|word| word.starts_with('-')) {
                let flag = flag.trim_end_matches([',', '.']);
                assert!(help.contains(flag), "{guide}: `{command}` has no {flag}");
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn every_setting_of_the_guides_is_one() {
    let mut section = "";
    let mut known = Vec::new();
    for line in DEFAULT_TOML.lines() {
        let line = line.trim_start_matches('#');
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']);
        } else if let Some((key, _)) = line.split_once(" = ") {
            known.push(format!("{section}.{key}"));
        }
    }
    let sections = ["gateway", "auth", "admin", "router", "telemetry", "audit", "history", "host"];
    for (guide, text) in guides() {
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        for word in quoted {
            let name = word.split([' ', '=']).next().unwrap();
            let Some((section, key)) = name.split_once('.') else { continue };
            let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let is_file = ["md", "toml", "rs", "jsonl", "lock", "log"].contains(&key);
            if sections.contains(&section) && is_key && !key.is_empty() && !is_file {
                assert!(known.contains(&name.to_owned()), "{guide}: there is no {name}");
            }
        }
    }
}
