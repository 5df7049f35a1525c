//! A release archive for this machine: the binary and all that must come with it.

use crate::{
    archive::{self, Entry},
    workspace::Workspace,
};
use anyhow::{Context as _, ensure};
use cargo_metadata::{
    DependencyKind, Metadata, MetadataCommand, Package, PackageId,
    camino::{Utf8Path, Utf8PathBuf},
};
use clap::Args;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};
use xshell::{Shell, cmd};

/// The package that is released.
const PACKAGE: &str = "mcplex-cli";

/// Files of the repository, and their names in the archive.
const FILES: &[(&str, &str)] = &[
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("mcplex-config/default.toml", "mcplex.default.toml"),
];

/// What `mcplex` writes about itself.
const GENERATED: &[(&[&str], &str)] = &[
    (&["man"], "man/mcplex.1"),
    (&["completions", "bash"], "completions/mcplex.bash"),
    (&["completions", "zsh"], "completions/_mcplex"),
    (&["completions", "fish"], "completions/mcplex.fish"),
];

/// Where the archive goes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder that the archive is written to.
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: Utf8PathBuf,
}

/// Builds, gathers, packs, and prints what came of it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let shell = workspace.shell()?;
    let target = host(&shell)?;
    let binary = binary(workspace, &shell)?;
    let mut files = BTreeMap::new();
    for &(from, to) in FILES {
        let path = workspace.root().join(from);
        let bytes = fs::read(&path).with_context(|| format!("failed to read {path}"))?;
        files.insert(to.to_owned(), Entry { bytes, executable: false });
    }
    for &(arguments, to) in GENERATED {
        let bytes = cmd!(shell, "{binary} {arguments...}").output()?.stdout;
        ensure!(!bytes.is_empty(), "`mcplex {}` wrote nothing", arguments.join(" "));
        files.insert(to.to_owned(), Entry { bytes, executable: false });
    }
    let licenses = third_party(workspace, &target)?.into_bytes();
    files.insert("THIRD-PARTY.md".to_owned(), Entry { bytes: licenses, executable: false });
    let bytes = fs::read(&binary).with_context(|| format!("failed to read {binary}"))?;
    files.insert("mcplex".to_owned(), Entry { bytes, executable: true });

    let folder = format!("mcplex-{}-{target}", version(&workspace.metadata)?);
    let name = format!("{folder}.tar.gz");
    let packed = archive::pack(&folder, &files)?;
    let sum = archive::checksum(&name, &packed);
    let out = shell.current_dir().join(&options.out);
    fs::create_dir_all(&out).with_context(|| format!("failed to create {}", out.display()))?;
    for (path, entry) in &files {
        println!("  {:>9} bytes  {path}", entry.bytes.len());
    }
    for (name, bytes) in [(name.clone(), packed), (format!("{name}.sha256"), sum.into())] {
        let path = out.join(name);
        fs::write(&path, &bytes).with_context(|| format!("failed to write {}", path.display()))?;
        println!("{} ({} bytes)", path.display(), bytes.len());
    }
    Ok(())
}

/// The triple that cargo builds for here.
fn host(shell: &Shell) -> anyhow::Result<String> {
    let said = cmd!(shell, "rustc -vV").quiet().read()?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn version(metadata: &Metadata) -> anyhow::Result<String> {
    let package = metadata.packages.iter().find(|package| package.name == PACKAGE);
    Ok(package.with_context(|| format!("{PACKAGE} is not in the workspace"))?.version.to_string())
}

/// Builds the binary and strips a copy of it.
fn binary(workspace: &Workspace, shell: &Shell) -> anyhow::Result<Utf8PathBuf> {
    let built = workspace.built("release", "mcplex");
    let stripped = workspace.target().join("dist").join("mcplex");
    fs::create_dir_all(workspace.target().join("dist"))?;
    let has_strip = cmd!(shell, "strip --version").quiet().ignore_stdout().ignore_stderr();
    if has_strip.run().is_ok() {
        cmd!(shell, "cargo build --release --package {PACKAGE} --locked").run()?;
        cmd!(shell, "strip -o {stripped} {built}").run()?;
    } else {
        // The compiler strips as well, at the price of a build that shares nothing with others.
        println!("$ CARGO_PROFILE_RELEASE_STRIP=symbols \\");
        cmd!(shell, "cargo build --release --package {PACKAGE} --locked")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .run()?;
        fs::copy(&built, &stripped)?;
    }
    Ok(stripped)
}

/// The crates inside the binary, with their licenses and the texts of these.
fn third_party(workspace: &Workspace, target: &str) -> anyhow::Result<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.root().join("Cargo.toml"))
        .other_options(["--filter-platform".to_owned(), target.to_owned()])
        .exec()?;
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in inside(&metadata)? {
        let license = package.license.as_deref().unwrap_or("see the text of its license file");
        let named = format!("{} {}", package.name, package.version);
        writeln!(list, "- {named}: {license}")?;
        for text in license_texts(package.manifest_path.parent().context("no folder")?)? {
            texts.entry(text).or_default().push(named.clone());
        }
    }
    let mut page = format!(
        "# Third-party licenses\n\nThe binary `mcplex` contains these crates:\n\n{list}\n\
         The texts of their licenses, each with the crates that carry it:\n"
    );
    for (text, crates) in texts {
        write!(page, "\n## {}\n\n~~~text\n{}\n~~~\n", crates.join(", "), text.trim_end())?;
    }
    Ok(page)
}

/// All crates of others that the binary is linked from, sorted by name.
fn inside(metadata: &Metadata) -> anyhow::Result<Vec<&Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let linked = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (&node.id, linked.map(|dep| &dep.pkg).collect())
        })
        .collect();
    let root = metadata.packages.iter().find(|package| package.name == PACKAGE);
    let reached = reach(&edges, &root.context("no package to release")?.id);
    let mut packages: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| reached.contains(&package.id) && package.source.is_some())
        .collect();
    packages.sort_by_key(|package| (package.name.to_string(), package.version.clone()));
    Ok(packages)
}

/// Everything that a walk along the edges meets.
fn reach<T: Ord + Copy>(edges: &BTreeMap<T, Vec<T>>, root: T) -> BTreeSet<T> {
    let (mut seen, mut open) = (BTreeSet::from([root]), vec![root]);
    while let Some(node) = open.pop() {
        for next in edges.get(&node).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    seen
}

/// The license files that a crate carries, in the order of their names.
fn license_texts(folder: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in folder.read_dir_utf8().with_context(|| format!("failed to list {folder}"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_license(entry.file_name()) {
            paths.push(entry.into_path());
        }
    }
    paths.sort();
    let read = |path: &Utf8PathBuf| Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    paths.iter().map(read).collect()
}

fn is_license(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["license", "licence", "copying", "copyright", "notice", "unlicense"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_meets_what_is_linked_and_ends_in_circles() {
        let edges = BTreeMap::from([(1, vec![2]), (2, vec![3, 1]), (4, vec![1])]);
        assert_eq!(reach(&edges, 1), BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn license_files_are_known_by_their_names() {
        for (name, expect) in [
            ("LICENSE-MIT", true),
            ("license.txt", true),
            ("COPYING", true),
            ("NOTICE", true),
            ("README.md", false),
            ("build.rs", false),
        ] {
            assert_eq!(is_license(name), expect, "{name}");
        }
    }

    #[test]
    fn the_list_of_this_workspace_has_others_only() {
        let workspace = Workspace::load().unwrap();
        let packages = inside(&workspace.metadata).unwrap();
        assert!(packages.iter().all(|package| !package.name.starts_with("mcplex")));
    }
}
