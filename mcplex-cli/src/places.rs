//! Where a configuration's sockets, logs and crash reports are.
//!
//! Every mcplex of a configuration comes to the same answer, whether it serves or asks. The sockets
//! depend on the place of the file and on the environment alone, so that a command finds them also
//! when it cannot read the file, for want of a variable.

use mcplex_admin::socket;
use mcplex_config::{Config, Fingerprint};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// What the built-in demo is called.
const DEMO: &str = "demo";

/// How much of a file's name is kept for people to see; a socket's path must stay short.
const STEM: usize = 16;

/// Where things of one configuration are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Names the configuration in files and folders.
    pub(crate) name: String,
    /// Folders in which its sockets may be; the first that can be used is.
    pub(crate) run: Vec<PathBuf>,
    /// The folder of the user's session, for whoever is not told of it: a service has it, and cron,
    /// `sudo` and monitors do not. Only looked into for a file of its own, never for whatever runs.
    session: Option<PathBuf>,
    /// The usual folder for what outlives mcplex, of all configurations.
    state: Option<PathBuf>,
}

impl Places {
    /// The places of a configuration file, or of the demo.
    pub(crate) fn of(file: Option<&Path>) -> Self {
        Self::by(file, |name| env::var_os(name), &env::temp_dir())
    }

    fn by(file: Option<&Path>, var: impl Fn(&str) -> Option<OsString>, temp: &Path) -> Self {
        let folder = |name| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = folder("XDG_STATE_HOME")
            .or_else(|| Some(folder("HOME")?.join(".local/state")))
            .map(|path| path.join("mcplex"));
        let run = [
            folder("XDG_RUNTIME_DIR").map(|path| path.join("mcplex")),
            state.as_ref().map(|path| path.join("run")),
            // A home may be too deep for the path of a socket.
            Some(temp.join(format!("mcplex-{}", user()))),
        ];
        let is_untold = cfg!(target_os = "linux") && var("XDG_RUNTIME_DIR").is_none();
        let session = || PathBuf::from(format!("/run/user/{}/mcplex", user()));
        let session = (file.is_some() && is_untold).then(session);
        Self { name: name(file), run: run.into_iter().flatten().collect(), session, state }
    }

    /// Folders in which the sockets of this very configuration may be, the usual one first.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.run.iter().chain(&self.session).cloned().collect()
    }

    /// Where its control socket may be, the usual place first.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = PathBuf> {
        let folders = self.run.iter().chain(&self.session);
        folders.map(|folder| socket::control_path(folder, &self.name))
    }

    /// The same folder while nobody knows what the configuration says.
    pub(crate) fn usual_state(&self) -> Option<PathBuf> {
        Some(self.state.as_ref()?.join(&self.name))
    }

    /// The folder in which this configuration's logs and crash reports are kept.
    pub(crate) fn state(&self, config: &Config) -> Option<PathBuf> {
        let state = config.gateway.state_dir.as_ref().or(self.state.as_ref())?;
        Some(state.join(&self.name))
    }
}

/// The beginning of the file's name for people, and a hash of its whole path against mistakes.
fn name(file: Option<&Path>) -> String {
    let Some(file) = file else { return DEMO.to_owned() };
    let path = mounted(file).or_else(|| fs::canonicalize(file).ok());
    let path = path.or_else(|| std::path::absolute(file).ok());
    let path = path.unwrap_or_else(|| file.to_owned());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = stem.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let hash = Fingerprint::of(path.as_os_str().as_encoded_bytes());
    format!("{}-{hash}", plain.take(STEM).collect::<String>())
}

/// A file of a config map or secret of Kubernetes, by the folder it is mounted in.
///
/// There the file is a link into `..data`, which is a link to another folder after each change: what
/// is behind them would be another configuration each time, and the mcplex that runs be lost.
fn mounted(file: &Path) -> Option<PathBuf> {
    let target = fs::read_link(file).ok()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or_else(|| Path::new("."))).ok()?;
    target.starts_with("..data").then_some(folder.join(file.file_name()?))
}

#[cfg(unix)]
fn user() -> String {
    rustix::process::getuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn user() -> String {
    // The folder for temporary files belongs to one user there.
    "user".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(file: Option<&Path>, vars: &[(&str, &str)]) -> Places {
        let var = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(found.1))
        };
        Places::by(file, var, Path::new("/tmp"))
    }

    #[test]
    fn the_environment_says_where_to_look() {
        let places_of = |vars: &[(&str, &str)]| {
            let places = places(None, vars);
            let run: Vec<_> = places.run.iter().map(|path| path.display().to_string()).collect();
            (places.state, run)
        };
        let temp = format!("/tmp/mcplex-{}", user());
        let home = [("HOME", "/home/a"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        let (state, run) = places_of(&home);
        assert_eq!(state.unwrap(), Path::new("/home/a/.local/state/mcplex"));
        assert_eq!(run, ["/run/user/1/mcplex", "/home/a/.local/state/mcplex/run", &temp]);
        let (state, run) = places_of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/home/a")]);
        assert_eq!(state.unwrap(), Path::new("/s/mcplex"));
        assert_eq!(run, ["/s/mcplex/run", &temp]);
        assert_eq!(places_of(&[("HOME", "relative")]), (None, vec![temp]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_is_not_told_of_the_session_finds_its_service_all_the_same() {
        let session = format!("/run/user/{}/mcplex/", user());
        let is_looked_into = |file: Option<&Path>, vars: &[(&str, &str)]| {
            places(file, vars).sockets().any(|socket| socket.starts_with(&session))
        };
        let file = Some(Path::new("/etc/hosts"));
        assert!(is_looked_into(file, &[("HOME", "/home/a")]));
        assert!(!is_looked_into(file, &[("HOME", "/home/a"), ("XDG_RUNTIME_DIR", "/run/x")]));
        assert!(!is_looked_into(None, &[("HOME", "/home/a")]));
    }

    #[test]
    fn a_file_has_one_name_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my servers.toml");
        fs::write(&file, "").unwrap();
        let other = dir.path().join(".").join("link.toml");
        std::os::unix::fs::symlink(&file, &other).unwrap();
        let name = name(Some(&file));
        assert!(name.starts_with("myservers-"), "{name}");
        assert_eq!(places(Some(&other), &[]).name, name);
        assert_eq!(places(None, &[]).name, "demo");
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_config_map_is_the_same_after_each_change() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcplex.toml");
        symlink("..data/mcplex.toml", &file).unwrap();
        let name_with = |folder: &str| {
            fs::create_dir(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("mcplex.toml"), "").unwrap();
            symlink(folder, dir.path().join("..new")).unwrap();
            fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
            name(Some(&file))
        };
        let before = name_with("..2026_11_26");
        assert_eq!(name_with("..2026_11_27"), before);
        assert!(before.starts_with("mcplex-"), "{before}");
    }
}
