//! The dependency arrows: which crate may know which, as a table with a check.
//!
//! Arrows point down only, to the words in `mcplex-proto`. A new crate needs one row here.

use crate::workspace::Workspace;
use anyhow::{Context as _, bail};
use cargo_metadata::{DependencyKind, camino::Utf8Path};
use std::fs;
use xshell::cmd;

/// What each crate of the workspace may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("mcplex-proto", &[]),
    ("mcplex-config", &[]),
    ("mcplex-transport-stdio", &["mcplex-proto"]),
    ("mcplex-transport-http", &["mcplex-proto"]),
    // OAuth knows nothing of MCP but an address.
    ("mcplex-auth", &[]),
    ("mcplex-supervisor", &["mcplex-proto"]),
    ("mcplex-translate", &["mcplex-proto"]),
    // What it passes on is written in the words of another revision there.
    ("mcplex-router", &["mcplex-proto", "mcplex-translate"]),
    // It carries trace contexts over the `TraceBridge` that proto defines.
    ("mcplex-telemetry", &["mcplex-proto"]),
    // Lines into files, whatever they say.
    ("mcplex-journal", &[]),
    ("mcplex-admin", &["mcplex-proto", "mcplex-journal"]),
    ("mcplex-schema", &["mcplex-proto"]),
    ("mcplex-testkit", &["mcplex-proto"]),
    (
        "mcplex-cli",
        &[
            "mcplex-proto",
            "mcplex-config",
            "mcplex-transport-stdio",
            "mcplex-transport-http",
            "mcplex-auth",
            "mcplex-supervisor",
            "mcplex-router",
            "mcplex-journal",
            "mcplex-telemetry",
            "mcplex-admin",
        ],
    ),
    // It starts mcplex and looks from outside; the rules alone it plays in made-up time.
    ("mcplex-chaos", &["mcplex-proto", "mcplex-supervisor", "mcplex-testkit"]),
    ("xtask", &[]),
];

/// What every crate may use in its tests as well.
const IN_TESTS: &[&str] = &["mcplex-proto", "mcplex-testkit", "mcplex-schema"];

/// What the examples of one crate may use as well.
///
/// An example of supervision needs something to supervise. Cargo has one list for tests and
/// examples, so the tests could use it too; they do without. The other way round is forbidden:
/// the transport must never be tested through the supervisor, or the two would stop being apart.
const IN_EXAMPLES: &[(&str, &[&str])] = &[("mcplex-supervisor", &["mcplex-transport-stdio"])];

/// Crates from outside that only some of ours may name; `*` ends a prefix.
const OWNED: &[(&str, &[&str])] = &[
    ("figment*", &["mcplex-config"]),
    // The receiver in the testkit decodes what telemetry sends.
    ("opentelemetry-proto", &["mcplex-telemetry", "mcplex-testkit"]),
    ("opentelemetry*", &["mcplex-telemetry"]),
    ("tracing-opentelemetry", &["mcplex-telemetry"]),
];

/// Crates that must work without a runtime.
const WITHOUT_TOKIO: &[&str] = &["mcplex-proto", "mcplex-translate", "mcplex-router"];

/// Past this a file is no longer read from top to bottom; the house style aims at 400.
const LINES_MAX: usize = 600;

/// Checks the workspace and prints what is wrong with it.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let wrong = check(workspace)?;
    for sentence in &wrong {
        eprintln!("arrows: {sentence}");
    }
    if !wrong.is_empty() {
        bail!("{} broken rules; they are written in xtask/src/arrows.rs", wrong.len());
    }
    println!("arrows: {} crates, all as drawn", ARROWS.len());
    Ok(())
}

/// All broken rules, each as a sentence.
fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let crates = crates(workspace)?;
    let mut wrong = table(&crates);
    for one in &crates {
        wrong.extend(dependencies(one));
        wrong.extend(lints(one));
    }
    for name in WITHOUT_TOKIO {
        wrong.extend(runtime(workspace, name)?);
    }
    wrong.extend(files(workspace, &crates)?);
    Ok(wrong)
}

/// One crate of the workspace, as far as the rules care.
#[derive(Debug)]
struct Crate {
    name: String,
    folder: String,
    manifest: String,
    /// Names of what the crate itself needs.
    normal: Vec<String>,
    /// Names of what its tests and examples need.
    dev: Vec<String>,
}

fn crates(workspace: &Workspace) -> anyhow::Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        let named = |dev: bool| {
            let wanted = |kind| (kind == DependencyKind::Development) == dev;
            let all = package.dependencies.iter().filter(|one| wanted(one.kind));
            all.map(|one| one.name.clone()).collect()
        };
        crates.push(Crate {
            name: package.name.to_string(),
            folder: package.manifest_path.parent().context("manifest without folder")?.to_string(),
            manifest: fs::read_to_string(&package.manifest_path)
                .with_context(|| format!("failed to read {}", package.manifest_path))?,
            normal: named(false),
            dev: named(true),
        });
    }
    Ok(crates)
}

/// Every crate has its row, and every row its crate.
fn table(crates: &[Crate]) -> Vec<String> {
    let mut wrong = Vec::new();
    for one in crates {
        if !ARROWS.iter().any(|(name, _)| *name == one.name) {
            wrong.push(format!("{} has no row in the table of arrows", one.name));
        }
    }
    for (name, _) in ARROWS {
        if !crates.iter().any(|one| one.name == *name) {
            wrong.push(format!("the table of arrows names {name}, which is not in the workspace"));
        }
    }
    wrong
}

fn dependencies(one: &Crate) -> Vec<String> {
    let allowed = ARROWS.iter().find(|(name, _)| *name == one.name).map_or(&[][..], |row| row.1);
    let shown = IN_EXAMPLES.iter().find(|(name, _)| *name == one.name).map_or(&[][..], |row| row.1);
    let ours = |name: &str| ARROWS.iter().any(|(row, _)| *row == name);
    let mut wrong = Vec::new();
    for name in one.normal.iter().filter(|name| ours(name)) {
        if !allowed.contains(&name.as_str()) {
            wrong.push(format!("{} must not depend on {name}", one.name));
        }
    }
    for name in one.dev.iter().filter(|name| ours(name)) {
        let name = name.as_str();
        let is_allowed = [allowed, shown, IN_TESTS].iter().any(|names| names.contains(&name));
        if !is_allowed && name != one.name {
            wrong.push(format!("the tests of {} must not depend on {name}", one.name));
        }
    }
    for name in one.normal.iter().chain(&one.dev) {
        if let Some(owners) = owners(name)
            && !owners.contains(&one.name.as_str())
        {
            wrong.push(format!(
                "{} names {name}, which is for {} only",
                one.name,
                owners.join(", ")
            ));
        }
    }
    wrong
}

/// Who alone may name an outside crate, when somebody owns it.
fn owners(name: &str) -> Option<&'static [&'static str]> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    OWNED.iter().find(|(pattern, _)| fits(pattern)).map(|(_, owners)| *owners)
}

/// Every crate takes the lints of the workspace.
fn lints(one: &Crate) -> Option<String> {
    let mut lines =
        one.manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let inherits = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    (inherits != Some("workspace = true"))
        .then(|| format!("{} lacks `[lints] workspace = true`", one.name))
}

/// The crate does not reach tokio, whatever lies between.
///
/// `cargo tree` is asked and not the metadata, because the features that count are those of
/// this crate alone.
fn runtime(workspace: &Workspace, name: &str) -> anyhow::Result<Option<String>> {
    let shell = workspace.shell()?;
    let tree = cmd!(shell, "cargo tree --package {name} --edges normal --prefix none").read()?;
    Ok(has_package(&tree, "tokio").then(|| format!("{name} reaches tokio")))
}

/// Whether an unindented `cargo tree` lists a package.
fn has_package(tree: &str, name: &str) -> bool {
    tree.lines().any(|line| line.split_whitespace().next() == Some(name))
}

/// One `clippy.toml` at the root (another would replace its bans), and no endless file.
fn files(workspace: &Workspace, crates: &[Crate]) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !workspace.root().join("clippy.toml").is_file() {
        wrong.push("the root has no clippy.toml".to_owned());
    }
    for one in crates {
        visit(Utf8Path::new(&one.folder), &mut |path| {
            let shown = path.strip_prefix(workspace.root()).unwrap_or(path);
            if matches!(path.file_name(), Some("clippy.toml" | ".clippy.toml")) {
                wrong.push(format!("{shown} replaces the bans of the root"));
            }
            if path.extension() == Some("rs") {
                let text =
                    fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
                wrong.extend(too_long(shown, &text));
            }
            Ok(())
        })?;
    }
    Ok(wrong)
}

fn too_long(path: &Utf8Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{path} has {lines} lines; {LINES_MAX} are the most"))
}

/// Walks a folder; folders that are built or installed are none of ours.
fn visit(
    folder: &Utf8Path,
    each: &mut dyn FnMut(&Utf8Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for entry in folder.read_dir_utf8().with_context(|| format!("failed to list {folder}"))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            each(entry.path())?;
        } else if !matches!(entry.file_name(), "target" | "node_modules") {
            visit(entry.path(), each)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, normal: &[&str], dev: &[&str]) -> Crate {
        Crate {
            name: name.to_owned(),
            folder: String::new(),
            manifest: String::new(),
            normal: normal.iter().map(ToString::to_string).collect(),
            dev: dev.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn this_workspace_is_as_drawn() {
        let workspace = Workspace::load().unwrap();
        assert_eq!(check(&workspace).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_middle_crates_do_not_know_each_other() {
        let wrong =
            dependencies(&named("mcplex-router", &["mcplex-proto", "mcplex-supervisor"], &[]));
        assert_eq!(wrong, ["mcplex-router must not depend on mcplex-supervisor"]);
    }

    #[test]
    fn tests_may_use_the_testkit_and_no_more() {
        let fine = named("mcplex-supervisor", &["mcplex-proto"], &["mcplex-testkit", "proptest"]);
        assert_eq!(dependencies(&fine), Vec::<String>::new());
        let wrong = dependencies(&named("mcplex-router", &[], &["mcplex-supervisor"]));
        assert_eq!(wrong, ["the tests of mcplex-router must not depend on mcplex-supervisor"]);
    }

    #[test]
    fn what_an_example_may_show_is_no_dependency_and_has_no_way_back() {
        let check = |normal: &[&str], dev: &[&str], name: &str| {
            dependencies(&named(name, normal, dev)).len()
        };
        assert_eq!(check(&[], &["mcplex-transport-stdio"], "mcplex-supervisor"), 0);
        assert_eq!(check(&["mcplex-transport-stdio"], &[], "mcplex-supervisor"), 1);
        assert_eq!(check(&[], &["mcplex-supervisor"], "mcplex-transport-stdio"), 1);
    }

    #[test]
    fn an_owned_crate_stays_with_its_owner() {
        let check = |name: &str, outside: &str| dependencies(&named(name, &[outside], &[])).len();
        assert_eq!(check("mcplex-telemetry", "opentelemetry-otlp"), 0);
        assert_eq!(check("mcplex-router", "opentelemetry"), 1);
        assert_eq!(check("mcplex-testkit", "opentelemetry-proto"), 0);
        assert_eq!(check("mcplex-testkit", "opentelemetry_sdk"), 1);
        assert_eq!(check("mcplex-cli", "tracing-opentelemetry"), 1);
        assert_eq!(check("mcplex-cli", "figment"), 1);
        assert_eq!(check("mcplex-config", "figment"), 0);
    }

    #[test]
    fn a_crate_without_a_row_is_told() {
        let mut crates: Vec<_> = ARROWS.iter().map(|(name, _)| named(name, &[], &[])).collect();
        assert_eq!(table(&crates), Vec::<String>::new());
        crates[0].name = "mcplex-new".to_owned();
        assert_eq!(table(&crates).len(), 2);
    }

    #[test]
    fn lints_must_come_from_the_workspace() {
        let check = |manifest: &str| {
            lints(&Crate { manifest: manifest.to_owned(), ..named("mcplex-proto", &[], &[]) })
                .is_none()
        };
        assert!(check("[package]\n[lints]\nworkspace = true\n"));
        assert!(!check("[package]\nname = \"a\"\n"));
        assert!(!check("[lints]\nrust.unsafe_code = \"allow\"\n[x]\nworkspace = true\n"));
    }

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let tree = "mcplex-proto v0.1.0 (/x)\ntokio-util v0.7.0\nbytes v1.0.0 (*)";
        assert!(!has_package(tree, "tokio"));
        assert!(has_package(tree, "bytes"));
    }

    #[test]
    fn a_file_may_have_lines_up_to_the_bound() {
        let path = Utf8Path::new("a.rs");
        assert_eq!(too_long(path, &"\n".repeat(LINES_MAX)), None);
        assert!(too_long(path, &"\n".repeat(LINES_MAX + 1)).is_some());
    }
}
