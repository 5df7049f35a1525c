//! mcplex as a service of the user's own session: what is written where, and who is told.
//!
//! Nothing of the system is touched and no administrator is asked: systemd's user manager and
//! launchd's user domain run the service, and end it at logout unless they are told otherwise. The
//! part for launchd was never run by its authors.

pub(crate) mod launchd;

pub(crate) mod systemd;

mod tool;

pub(crate) use tool::Tool;

use crate::{
    args::{ConfigOptions, LogOptions},
    exit::{Code, Failure},
    settings, wire,
};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How much longer than its own steps an end may take until the manager kills everything.
const SLACK: Duration = Duration::from_secs(10);

/// What a file that we wrote begins with, as a comment; any other is left alone.
pub(crate) const MARK: &str = "Written by `mcplex service install`";

/// How the line begins in which such a file names its configuration.
const NAMES_CONFIG: &str = "configuration: ";

/// A service as it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Tells several services of one user apart.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) config: PathBuf,
    /// Where programs are looked for: a manager knows nothing of what a shell's files say.
    pub(crate) path: String,
    pub(crate) home: PathBuf,
    /// How long its end may take.
    pub(crate) stop: Duration,
}

impl Job {
    /// The service of a configuration, with the PATH of this shell.
    pub(crate) fn of(name: &str, options: &ConfigOptions) -> Result<Self, Failure> {
        let Some(file) = options.config.clone().or_else(settings::find) else {
            let what = "a service needs a configuration file, and there is none";
            return Err(Failure::new(Code::Configuration, what)
                .with_hint("write mcplex.toml, or name the file with -c"));
        };
        let settings = settings::load(options, None, &LogOptions::default())?;
        settings::check_telemetry(&settings)?;
        let config = settings.config();
        let ends = config.servers.iter().map(|server| wire::longest_end(&server.supervise));
        let failed = |what: &str, error: &std::io::Error| {
            Failure::from_error(Code::Failed, what.to_owned(), error)
        };
        let program = env::current_exe()
            .map_err(|error| failed("mcplex does not know its own program", &error))?;
        let config_file = fs::canonicalize(&file)
            .map_err(|error| failed("the configuration has no absolute path", &error))?;
        writable(&program)?;
        writable(&config_file)?;
        Ok(Self {
            name: name.to_owned(),
            program,
            config: config_file,
            path: env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned(),
            home: home()?,
            stop: config.gateway.drain + ends.max().unwrap_or_default() + SLACK,
        })
    }

    /// Where a server's command is started, unless it says otherwise.
    pub(crate) fn folder(&self) -> &Path {
        self.config.parent().unwrap_or(&self.config)
    }

    /// The comments that such a file begins with.
    pub(crate) fn comments(&self) -> [String; 2] {
        let config = self.config.display();
        [format!("{MARK}; the next one writes it anew."), format!("{NAMES_CONFIG}{config}")]
    }
}

/// Refuses a path that a line of a unit or of a property list cannot hold: a line break would begin a
/// setting of its own, and what ends a folder's name would not be read as a part of it.
fn writable(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
    let is_odd = folder.ends_with(|c: char| c.is_whitespace() || c == '\\');
    let fits = path.to_str().is_some_and(|text| !text.contains(char::is_control));
    if fits && !is_odd {
        return Ok(());
    }
    let what = format!("no service can be given the path {:?}", path.display().to_string());
    Err(Failure::new(Code::Failed, what)
        .with_hint("move it to a folder with a plain name: no line breaks, no space at the end"))
}

/// The folder of the user.
pub(crate) fn home() -> Result<PathBuf, Failure> {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.ok_or_else(|| Failure::new(Code::Failed, "HOME is not set").with_hint("set it"))
}

/// What is there of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    No,
    /// With the configuration it serves.
    Yes(Option<PathBuf>),
    /// Somebody else's file of that name.
    Foreign,
}

/// Looks at the file of a service.
pub(crate) fn installed(file: &Path) -> Installed {
    let Ok(text) = fs::read_to_string(file) else {
        return if file.exists() { Installed::Foreign } else { Installed::No };
    };
    if !text.contains(MARK) {
        return Installed::Foreign;
    }
    let named = text.lines().find_map(|line| line.split_once(NAMES_CONFIG));
    let plain = |path: &str| launchd::uncommented(path.trim_end_matches("-->").trim());
    Installed::Yes(named.map(|(_, path)| PathBuf::from(plain(path))))
}

/// Writes a file as a whole; one of somebody else stays.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    if installed(file) == Installed::Foreign {
        return Err(foreign(file));
    }
    let put = || {
        let folder = file.parent().unwrap_or(file);
        fs::create_dir_all(folder)?;
        let half = file.with_extension("new");
        fs::write(&half, text)?;
        fs::rename(&half, file)
    };
    put().map_err(|error| {
        let what = format!("{} cannot be written", file.display());
        Failure::from_error(Code::Failed, what, &error)
    })
}

pub(crate) fn foreign(file: &Path) -> Failure {
    let what = format!("{} was not written by mcplex, and is left alone", file.display());
    Failure::new(Code::Failed, what)
        .with_hint("remove it yourself, or give this service another --name")
}

/// Variables that a configuration names and that a manager does not know.
pub(crate) fn variables(text: &str) -> Vec<String> {
    // Of those that every manager sets.
    const KNOWN: [&str; 5] = ["HOME", "USER", "PATH", "SHELL", "LOGNAME"];
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let names: BTreeSet<String> = lines
        .flat_map(|line| line.split("${").skip(1).zip(line.split("${")))
        .filter(|(_, before)| !before.ends_with('$'))
        .filter_map(|(after, _)| after.split_once('}'))
        // One with a default needs not be there.
        .map(|(name, _)| name)
        .filter(|name| !name.contains(":-") && !KNOWN.contains(name))
        .map(str::to_owned)
        .collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_where_they_are_needed() {
        let text =
            "# ${COMMENT}\na = \"${API_KEY} $${NOT} ${WITH:-x}\"\nb = \"${HOME}/${API_KEY}\"\n";
        assert_eq!(variables(text), ["API_KEY"]);
    }

    #[test]
    fn a_path_that_would_be_read_as_something_else_is_refused() {
        for good in ["/a b/c%d/mcplex.toml", "/ü/'q\"/$x/mcplex.toml", "/a\\b/--x/mcplex.toml"] {
            assert!(writable(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["/a\nExecStartPre=evil/mcplex.toml", "/a /mcplex.toml", "/a\\/mcplex.toml"] {
            let failure = writable(Path::new(bad)).unwrap_err();
            assert!(!failure.sentence().contains('\n'), "{bad:?}");
        }
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/mcplex.service");
        assert_eq!(installed(&file), Installed::No);
        write(&file, &format!("# {MARK}\n# {NAMES_CONFIG}/a b/c.toml\n")).unwrap();
        assert_eq!(installed(&file), Installed::Yes(Some(PathBuf::from("/a b/c.toml"))));
        write(&file, &format!("# {MARK}\n")).unwrap();
        assert_eq!(installed(&file), Installed::Yes(None));
        fs::write(&file, "[Unit]").unwrap();
        assert!(write(&file, "").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "[Unit]");
    }
}
