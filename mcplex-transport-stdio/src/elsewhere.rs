//! Where programs lie that the PATH of a desktop or of a service does not reach.
//!
//! A shell of a person reads files that set PATH; launchd, systemd and a desktop read none of them,
//! so that `npx` is there in a terminal and missing everywhere else. No shell is started to find
//! out: what its files do is not for us to run, and most installers use one of a few folders.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// Folders below the home of a user. A `*` stands for every version, the newest first.
const OF_THE_USER: &[&str] = &[
    ".nvm/versions/node/*/bin",
    ".local/share/fnm/node-versions/*/installation/bin",
    ".fnm/node-versions/*/installation/bin",
    ".volta/bin",
    ".asdf/shims",
    ".local/share/mise/shims",
    ".bun/bin",
    ".deno/bin",
    ".local/share/pnpm",
    ".npm-global/bin",
    ".local/bin",
    ".cargo/bin",
    ".pyenv/shims",
    "go/bin",
    ".nix-profile/bin",
];

/// Folders that are the same for everybody.
const OF_THE_SYSTEM: &[&str] = &[
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "/opt/local/bin",
    "/snap/bin",
    "/nix/var/nix/profiles/default/bin",
    "/run/current-system/sw/bin",
    "/usr/bin",
    "/bin",
];

/// How many entries of a folder of versions are looked at; a person has a handful.
const ENTRIES: usize = 256;

/// How many versions are looked through.
const VERSIONS: usize = 32;

/// Finds `program` in the folders that a PATH often lacks; the likeliest place comes first.
///
/// `home` is the folder of the user, whose own tools come before those of the system. It costs at
/// most some hundred looks at the disk, so it is for a lookup that has failed already. A name with a
/// slash is found nowhere: it says itself where it is.
#[must_use]
pub fn elsewhere(program: &str, home: Option<&Path>) -> Vec<PathBuf> {
    let is_a_name = !program.is_empty() && !program.contains(['/', '\\', '\0']);
    if !is_a_name {
        return Vec::new();
    }
    let of_the_user = home.into_iter().flat_map(|home| {
        OF_THE_USER.iter().flat_map(|folder| match folder.split_once('*') {
            Some((before, after)) => versions(&home.join(before), after.trim_start_matches('/')),
            None => vec![home.join(folder)],
        })
    });
    of_the_user
        .chain(OF_THE_SYSTEM.iter().map(PathBuf::from))
        .filter_map(|folder| which::which_in(program, Some(&folder), &folder).ok())
        .collect()
}

/// The same folder of every version in a folder, the newest first.
fn versions(folder: &Path, inside: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(ENTRIES).flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort_by_cached_key(|name| std::cmp::Reverse((numbers(name), name.clone())));
    names.iter().take(VERSIONS).map(|name| folder.join(name).join(inside)).collect()
}

/// The numbers in a name, in order: `v22.1.0` is newer than `v9.11.2`.
fn numbers(name: &OsString) -> Vec<u64> {
    let name = name.to_string_lossy();
    let digits = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    digits.map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A name that no system has.
    const PROGRAM: &str = "mcplex-test-of-elsewhere";

    fn program(home: &Path, folder: &str, mode: u32) -> PathBuf {
        let file = home.join(folder).join(PROGRAM);
        fs::create_dir_all(home.join(folder)).unwrap();
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_newest_version_comes_first_and_then_the_other_folders() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert_eq!(elsewhere(PROGRAM, Some(home)), Vec::<PathBuf>::new());
        let old = program(home, ".nvm/versions/node/v9.11.2/bin", 0o755);
        let new = program(home, ".nvm/versions/node/v22.1.0/bin", 0o755);
        let newer = program(home, ".nvm/versions/node/v22.10.0/bin", 0o755);
        let fnm = program(home, ".local/share/fnm/node-versions/v20.0.0/installation/bin", 0o755);
        let cargo = program(home, ".cargo/bin", 0o755);
        program(home, ".volta/bin", 0o644);
        // One without the program is passed over.
        fs::create_dir_all(home.join(".nvm/versions/node/v99.0.0/bin")).unwrap();
        assert_eq!(elsewhere(PROGRAM, Some(home)), [newer, new, old, fnm, cargo]);
        assert_eq!(elsewhere(PROGRAM, None), Vec::<PathBuf>::new());
    }

    #[test]
    fn only_a_name_is_looked_for() {
        let home = tempfile::tempdir().unwrap();
        program(home.path(), ".cargo/bin", 0o755);
        for program in ["", "./x", "../bin/mcplex-test-of-elsewhere", "/bin/sh", "a\0b"] {
            assert_eq!(elsewhere(program, Some(home.path())), Vec::<PathBuf>::new(), "{program:?}");
        }
    }

    #[test]
    fn what_the_system_has_is_found_without_a_home() {
        assert!(
            elsewhere("sh", None).iter().all(|file| file.is_absolute() && file.ends_with("sh"))
        );
        assert!(!elsewhere("sh", None).is_empty());
    }

    #[test]
    fn a_folder_of_countless_versions_costs_no_more() {
        let home = tempfile::tempdir().unwrap();
        for n in 0..ENTRIES + 10 {
            fs::create_dir_all(home.path().join(format!(".nvm/versions/node/v{n}"))).unwrap();
        }
        let folder = home.path().join(".nvm/versions/node");
        assert_eq!(versions(&folder, "bin").len(), VERSIONS);
    }
}
