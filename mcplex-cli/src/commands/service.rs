//! `mcplex service`: installs, removes and looks at mcplex as a service of the user's session.

use crate::{
    args::{InstallOptions, ServiceCommand, ServiceNameOptions, ServiceStatusOptions},
    console,
    exit::{Code, Failure, print},
    places::Places,
    service::{self, Installed, Job, Tool, launchd, systemd},
};
use mcplex_admin::client::{Client, ClientError};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn run(command: &ServiceCommand) -> Result<(), Failure> {
    if cfg!(windows) {
        let what = "mcplex knows no manager of services on this system";
        return Err(Failure::new(Code::Failed, what)
            .with_hint("let the Task Scheduler start `mcplex serve` when you log on"));
    }
    match command {
        ServiceCommand::Install(options) => console::run(install(options)),
        ServiceCommand::Uninstall(options) => console::run(uninstall(options)),
        ServiceCommand::Status(options) => console::run(status(options)),
    }
}

/// Where the file of a service is on this system.
fn file(name: &str) -> Result<PathBuf, Failure> {
    let home = service::home()?;
    Ok(match Tool::of_this_system() {
        Tool::Systemctl => systemd::file(&home, name),
        Tool::Launchctl => launchd::file(&home, name),
    })
}

/// How launchd names the session of this user.
#[cfg(unix)]
fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

/// No launchd is there.
#[cfg(not(unix))]
fn domain() -> String {
    "gui".to_owned()
}

async fn install(options: &InstallOptions) -> Result<(), Failure> {
    let name = &options.name.name;
    let job = Job::of(name, &options.config)?;
    let tool = Tool::of_this_system();
    let text = match tool {
        Tool::Systemctl => systemd::unit(&job),
        Tool::Launchctl => launchd::plist(&job),
    };
    if options.print {
        return print(&text);
    }
    let file = file(name)?;
    // Asked first, so that nothing is left behind where nobody would read it.
    if tool == Tool::Systemctl {
        tool.tell(&["show", "--property=Version"]).await?;
    }
    service::write(&file, &text)?;
    let unit = format!("{name}.service");
    match tool {
        Tool::Systemctl => {
            tool.tell(&["daemon-reload"]).await?;
            tool.tell(&["enable", &unit]).await?;
            if options.now {
                // One that runs already takes up the new file.
                tool.tell(&["restart", &unit])
                    .await
                    .map_err(|failure| not_started(failure, name))?;
            }
        }
        Tool::Launchctl if options.now => {
            let (domain, target) = (domain(), format!("{}/{}", domain(), launchd::label(name)));
            // It may not be there yet.
            let _was_there = tool.ask(&["bootout", &target]).await?;
            tool.tell(&["bootstrap", &domain, &file.display().to_string()]).await?;
        }
        Tool::Launchctl => {}
    }
    print(&installed(&job, &file, options.now))
}

/// The manager says that it did not start, and seldom why.
fn not_started(failure: Failure, name: &str) -> Failure {
    if failure.hint().is_some() {
        return failure;
    }
    failure.with_hint(format!(
        "`journalctl --user -u {name} -n 50` shows why; an mcplex that runs in a terminal has the address \
         until it ends"
    ))
}

/// What was done, and what is left to do.
fn installed(job: &Job, file: &Path, is_started: bool) -> String {
    let (name, tool) = (&job.name, Tool::of_this_system());
    let mut parts = vec![format!("{} is written.", file.display())];
    parts.push(match (is_started, tool) {
        (true, _) => "It runs, and starts with your session from now on.".to_owned(),
        (false, Tool::Systemctl) => format!(
            "It starts with your next session; `systemctl --user start {name}` starts it now."
        ),
        (false, Tool::Launchctl) => "It starts with your next session; --now starts it now.".into(),
    });
    if tool == Tool::Systemctl {
        let linger = "It ends when you log out, unless you run `loginctl enable-linger` once.";
        parts.push(linger.to_owned());
    }
    let variables = service::variables(&fs::read_to_string(&job.config).unwrap_or_default());
    if !variables.is_empty() {
        let how = match tool {
            Tool::Systemctl => {
                "write NAME=VALUE lines into ~/.config/mcplex/environment (chmod 600)."
            }
            Tool::Launchctl => "`launchctl setenv NAME VALUE` sets one for the session.",
        };
        parts.push(format!(
            "\nThe configuration takes {} from the environment, which a service does not \
             have:\n{how}",
            variables.join(", ")
        ));
    }
    parts.push("\n`mcplex service status` says how it is.\n".to_owned());
    parts.join("\n")
}

async fn uninstall(options: &ServiceNameOptions) -> Result<(), Failure> {
    let name = &options.name;
    let file = file(name)?;
    match service::installed(&file) {
        Installed::No => return print(&format!("{name} is not installed.\n")),
        Installed::Foreign => return Err(service::foreign(&file)),
        Installed::Yes(_) => {}
    }
    let tool = Tool::of_this_system();
    match tool {
        Tool::Systemctl => tool.tell(&["disable", "--now", &format!("{name}.service")]).await?,
        Tool::Launchctl => {
            // One that does not run is not there to be removed.
            let target = format!("{}/{}", domain(), launchd::label(name));
            let _was_there = tool.ask(&["bootout", &target]).await?;
        }
    }
    fs::remove_file(&file).map_err(|error| {
        let what = format!("{} cannot be removed", file.display());
        Failure::from_error(Code::Failed, what, &error)
    })?;
    if tool == Tool::Systemctl {
        tool.tell(&["daemon-reload"]).await?;
    }
    print(&format!("{} is removed, and what it ran has ended.\n", file.display()))
}

/// How a service is.
#[derive(Clone, Debug, Default, Serialize)]
struct Status {
    name: String,
    file: PathBuf,
    installed: bool,
    configuration: Option<PathBuf>,
    /// As the manager calls it, such as `enabled`.
    enabled: Option<String>,
    /// As the manager calls it, such as `active (running)`.
    active: Option<String>,
    pid: Option<u32>,
    /// How often the manager has started it again.
    restarts: Option<u32>,
    /// The line that mcplex told the manager.
    status: Option<String>,
    /// `yes`, `no`, or `silent`.
    answers: &'static str,
    /// Why the manager could not be asked.
    manager: Option<String>,
}

async fn status(options: &ServiceStatusOptions) -> Result<(), Failure> {
    let name = &options.name.name;
    let file = file(name)?;
    let found = service::installed(&file);
    let is_foreign = found == Installed::Foreign;
    let mut status = Status {
        name: name.clone(),
        installed: matches!(found, Installed::Yes(_)),
        file,
        answers: "no",
        ..Status::default()
    };
    if let Installed::Yes(configuration) = found {
        status.configuration = configuration;
        match ask_manager(name).await {
            Ok(facts) => facts.fill(&mut status),
            Err(failure) => status.manager = Some(failure.sentence()),
        }
        status.answers = answers(status.configuration.as_deref()).await;
    }
    let text = if options.json {
        let value = serde_json::to_value(&status).unwrap_or_default();
        format!("{value:#}\n")
    } else {
        table(&status)
    };
    print(&text)?;
    match status.answers {
        "yes" => Ok(()),
        "silent" => Err(Failure::new(Code::Silent, "the service runs, and does not answer")),
        _ if is_foreign => {
            let what = format!("{} was not written by mcplex", status.file.display());
            Err(Failure::new(Code::NotRunning, what)
                .with_hint("give this service another --name, or look at that one with systemctl"))
        }
        _ if !status.installed => Err(Failure::new(Code::NotRunning, "it is not installed")
            .with_hint("`mcplex service install --now` installs and starts it")),
        _ => Err(Failure::new(Code::NotRunning, "it does not run").with_hint(match Tool::of_this_system() {
            Tool::Systemctl => format!(
                "`journalctl --user -u {name} -n 50` shows why; `systemctl --user restart {name}` \
                 starts it"
            ),
            Tool::Launchctl => {
                format!("{} shows why", launchd::log(&service::home()?, name).display())
            }
        })),
    }
}

/// What the manager knows.
struct Facts(Vec<(String, String)>);

impl Facts {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn fill(&self, status: &mut Status) {
        let own = |key| self.get(key).map(str::to_owned);
        status.enabled = own("UnitFileState");
        status.active = match (self.get("ActiveState"), self.get("SubState")) {
            (Some(active), Some(sub)) => Some(format!("{active} ({sub})")),
            (active, _) => active.or_else(|| self.get("state")).map(str::to_owned),
        };
        let pid = self.get("MainPID").or_else(|| self.get("pid"));
        status.pid = pid.and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0);
        status.restarts = self.get("NRestarts").and_then(|count| count.parse().ok());
        status.status = own("StatusText");
    }
}

async fn ask_manager(name: &str) -> Result<Facts, Failure> {
    let tool = Tool::of_this_system();
    let (target, unit) =
        (format!("{}/{}", domain(), launchd::label(name)), format!("{name}.service"));
    let args: &[&str] = match tool {
        Tool::Systemctl => &[
            "show",
            &unit,
            "--property=UnitFileState,ActiveState,SubState,MainPID,NRestarts,StatusText",
        ],
        Tool::Launchctl => &["print", &target],
    };
    let answer = tool.ask(args).await?;
    if !answer.is_ok {
        return Err(tool.refused(args, &answer));
    }
    let pairs = answer.stdout.lines().filter_map(|line| line.split_once('='));
    Ok(Facts(pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()))
}

/// Whether an mcplex of the configuration answers.
async fn answers(configuration: Option<&Path>) -> &'static str {
    for path in Places::of(configuration).sockets() {
        let answer = match Client::connect(&path).await {
            Ok(mut client) => client.get("/v1/status").await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(_) => return "yes",
            Err(ClientError::Silent { .. }) => return "silent",
            Err(_) => {}
        }
    }
    "no"
}

fn table(status: &Status) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let unknown = || status.manager.clone().unwrap_or_else(|| "-".to_owned());
    let configuration = status.configuration.as_ref().map(|file| file.display().to_string());
    let pid = status.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let again = status.restarts.filter(|count| *count > 0);
    let again = again.map(|count| format!(", started again {count} times")).unwrap_or_default();
    let active = status.active.as_ref().map(|active| format!("{active}{pid}{again}"));
    let rows = [
        ("file", status.file.display().to_string()),
        ("installed", yes(status.installed)),
        ("configuration", configuration.unwrap_or_else(|| "-".to_owned())),
        ("enabled", status.enabled.clone().unwrap_or_else(unknown)),
        ("active", active.unwrap_or_else(unknown)),
        ("answers", status.answers.to_owned()),
        ("says", status.status.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    rows.iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect()
}
