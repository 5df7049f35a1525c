//! The command of the service manager: `systemctl --user` or `launchctl`.

use crate::exit::{Code, Failure};
use std::{ffi::OsStr, io, process::Stdio, time::Duration};
use tokio::time::timeout;

/// How long a command may take: a start waits until mcplex is ready, which the unit bounds by 60 s,
/// an end for as long as the slowest server.
const PATIENCE: Duration = Duration::from_secs(120);

/// A service manager's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Systemctl,
    Launchctl,
}

/// What a command said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) is_ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tool {
    /// The one of this system.
    pub(crate) fn of_this_system() -> Self {
        if cfg!(target_os = "macos") { Self::Launchctl } else { Self::Systemctl }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Systemctl => "systemctl",
            Self::Launchctl => "launchctl",
        }
    }

    /// Runs it to its end.
    pub(crate) async fn ask(self, args: &[&str]) -> Result<Answer, Failure> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a service manager's own command, which is no server and needs no guard"
        )]
        let mut command = tokio::process::Command::new(self.program());
        if self == Self::Systemctl {
            command.arg("--user");
        }
        command.args(args.iter().map(OsStr::new)).stdin(Stdio::null()).kill_on_drop(true);
        let shown = format!("{} {}", self.program(), args.join(" "));
        match timeout(PATIENCE, command.output()).await {
            Ok(Ok(output)) => Ok(Answer {
                is_ok: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(self.missing()),
            Ok(Err(error)) => {
                Err(Failure::from_error(Code::Failed, format!("{shown} cannot be run"), &error))
            }
            Err(_) => {
                let what = format!("{shown} did not end within {} s", PATIENCE.as_secs());
                Err(Failure::new(Code::Failed, what))
            }
        }
    }

    /// Runs it, and takes anything but success for a failure.
    pub(crate) async fn tell(self, args: &[&str]) -> Result<(), Failure> {
        let answer = self.ask(args).await?;
        if answer.is_ok { Ok(()) } else { Err(self.refused(args, &answer)) }
    }

    fn missing(self) -> Failure {
        let what =
            format!("there is no {}, so nothing here runs services of users", self.program());
        Failure::new(Code::Failed, what).with_hint(INSTEAD)
    }

    /// What a refusal means.
    pub(crate) fn refused(self, args: &[&str], answer: &Answer) -> Failure {
        let nobody = ["connect to bus", "not been booted with systemd", "No medium found"];
        if nobody.iter().any(|words| answer.stderr.contains(words)) {
            let what = format!("no service manager of this user answers: {}", answer.stderr);
            return Failure::new(Code::Failed, what).with_hint(format!(
                "log in as this user itself, not by `su` or `sudo` (which set no \
                 XDG_RUNTIME_DIR), or have it run without a login: `loginctl enable-linger`. {INSTEAD}"
            ));
        }
        let what = format!("{} {} failed: {}", self.program(), args.join(" "), answer.stderr);
        Failure::new(Code::Failed, what)
    }
}

/// What there is without a service manager.
const INSTEAD: &str = "Without one, let whatever starts programs here (a container, cron's @reboot, a \
                       shell) run `mcplex serve -c FILE`; `mcplex service install --print` shows the \
                       unit for elsewhere";
