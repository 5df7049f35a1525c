//! How a running mcplex of the configuration is: its endpoint, its upstreams, and whether it is what
//! the file and this program say.

use super::{
    Found,
    finding::{Check, Finding},
    knock::{self, Who},
};
use crate::settings::Settings;
use mcplex_admin::{
    client::ClientError,
    status::{Breaker, UpstreamStatus},
};
use mcplex_proto::{handshake::title, redact::redact, upstream::Health};
use std::{net::SocketAddr, path::Path};

/// Everything but its upstreams.
pub(crate) async fn checks(settings: &Settings, found: &Found) -> Vec<Check> {
    let mut checks = vec![program(found), file(settings, found)];
    checks.extend(endpoint(settings, found).await);
    if found.instance.lost_lines + found.instance.lost_reports > 0 {
        let what = format!(
            "{} lines of logs and {} crash reports were not kept",
            found.instance.lost_lines, found.instance.lost_reports
        );
        let hint = "the disk is too slow or full; what is still coming is kept once there is room";
        checks.push(Check::new("history", Finding::warning("disk", what, hint)));
    }
    if found.instance.lost_spans + found.instance.lost_records > 0 {
        let what = format!(
            "{} spans and {} log records since the start were taken by no collector",
            found.instance.lost_spans, found.instance.lost_records
        );
        let hint = "the log of mcplex says why, a line a minute: look for `an export failed`";
        checks.push(Check::new("telemetry", Finding::warning("lost", what, hint)));
    }
    if found.instance.lost_audit + found.instance.lost_log > 0 {
        let what = format!(
            "{} lines of the audit log and {} of the log file were not kept",
            found.instance.lost_audit, found.instance.lost_log
        );
        let hint = "the disk is too slow or full; where they are missing, the files say so";
        checks.push(Check::new("journals", Finding::warning("disk", what, hint)));
    }
    checks
}

/// It was found, and is silent.
pub(crate) fn silent(error: &ClientError) -> Check {
    let pid = if let ClientError::Silent { pid: Some(pid) } = error {
        pid.to_string()
    } else {
        "PID".to_owned()
    };
    let hint = format!(
        "`kill -CONT {pid}` lets it go on if somebody stopped it; else end it with `kill {pid}`, and \
         start it again"
    );
    let finding = Finding::broken("silent", error.to_string(), hint);
    Check::new("mcplex", finding)
}

/// It says what this program does not understand.
pub(crate) fn strange(socket: &Path, pid: Option<u32>) -> Check {
    let who = pid.map_or_else(|| "something".to_owned(), |pid| format!("process {pid}"));
    let what = format!("{who} answers at {} in words that are not understood", socket.display());
    let hint =
        "if it is an mcplex of another version, restart it; if not, end it and remove that file";
    Check::new("mcplex", Finding::broken("version", what, hint))
}

/// Whether it is the program that asks.
fn program(found: &Found) -> Check {
    let instance = &found.instance;
    let (pid, theirs, ours) = (instance.pid, &*instance.version, env!("CARGO_PKG_VERSION"));
    let hint = "restart it (`mcplex service status` says whether it is a service)";
    let finding = if theirs != ours {
        let what = format!("process {pid} is mcplex {theirs}, and this program is {ours}");
        Finding::warning("version", what, hint)
    } else if is_replaced(pid) {
        let what = format!("the program of process {pid} was replaced since it started");
        Finding::warning("version", what, hint)
    } else {
        Finding::well(format!("process {pid}, version {theirs}, runs this configuration"))
    };
    Check::new("mcplex", finding)
}

/// Whether the file of its program is another one now, as far as the system tells.
fn is_replaced(pid: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program.to_string_lossy().ends_with(" (deleted)"))
}

/// Whether it runs what the file says.
fn file(settings: &Settings, found: &Found) -> Check {
    let ours = settings.config().fingerprint().to_string();
    let instance = &found.instance;
    let finding = if instance.version != env!("CARGO_PKG_VERSION")
        || instance.fingerprint.is_empty()
    {
        Finding::skipped("two versions cannot be compared by what they run")
    } else if instance.fingerprint != ours {
        let what = "what runs is not what the file says now, with the variables of this shell";
        let hint = if settings.config().gateway.watch {
            "`mcplex reload` applies the file and says what changed; if it says nothing did, the \
             variables of this shell differ from those it was started with"
        } else {
            "`mcplex reload` applies the file, which is not watched (`gateway.watch`)"
        };
        Finding::warning("skew", what, hint)
    } else if !instance.needs_restart.is_empty() {
        let what =
            format!("these settings wait for a restart: {}", instance.needs_restart.join(", "));
        Finding::warning("skew", what, "restart mcplex when it suits")
    } else {
        Finding::well("what runs is what the file says")
    };
    Check::new("in use", finding)
}

/// Whether clients reach it.
async fn endpoint(settings: &Settings, found: &Found) -> Option<Check> {
    let url = found.instance.endpoint.as_deref()?;
    let (place, path) = url.strip_prefix("http://")?.split_once('/')?;
    let address: SocketAddr = place.parse().ok()?;
    let host = knock::host_of(settings.config(), address);
    let who = knock::knock(address, &host, &format!("/{path}")).await;
    let broken = |what: String| {
        let hint = match knock::holder(address) {
            Some(holder) => format!("{holder} has the port; end it, or restart mcplex at another"),
            None => "restart mcplex, and look into its log".to_owned(),
        };
        Finding::broken("endpoint", format!("{url}: {what}"), hint)
    };
    let name = &settings.config().gateway.name;
    let finding = match who {
        Who::Mcp(info) if title(&info).starts_with(&format!("{name} ")) => {
            Finding::well(format!("{url} answers as {}", title(&info)))
        }
        Who::Mcp(info) => broken(format!("another MCP server answers, {}", title(&info))),
        Who::Guarded if !settings.config().auth.issuers.is_empty() => {
            Finding::well(format!("{url} answers, and asks for a token"))
        }
        Who::Guarded => broken("somebody asks for a token, and this configuration does not".into()),
        Who::OtherHost => Finding::warning(
            "endpoint",
            format!("{url} refuses every name of this machine"),
            "write the names that clients use into `gateway.allowed_hosts`",
        ),
        Who::Foreign(what) => broken(what),
        Who::Nobody => broken("nobody listens there".to_owned()),
        Who::Mute => broken("it takes connections and does not answer".to_owned()),
        Who::Away(why) => broken(why),
    };
    Some(Check::new("endpoint", finding))
}

/// How one of its upstreams is.
pub(crate) fn upstream(row: &UpstreamStatus) -> Finding {
    let who = row.member.as_ref().map(|member| format!("{member}: ")).unwrap_or_default();
    let name = &row.name;
    let because = row.reason.as_deref().or(row.last_error.as_deref());
    let because = because.map(|why| format!(": {}", redact(why))).unwrap_or_default();
    let why = format!("`mcplex why {name}` says more");
    match row.health {
        _ if !row.is_enabled => Finding::skipped(format!("{who}disabled in the configuration")),
        Health::Tripped => Finding::broken(
            "tripped",
            format!("{who}given up for now, its breaker is open{because}"),
            format!("{why}; when it is repaired: `mcplex reset {name}`"),
        ),
        Health::Recovering if row.deaths > 0 => Finding::broken(
            "crash-loop",
            format!("{who}died {}, and waits for its next life{because}", times(row)),
            format!("{why}; `mcplex logs {name}` shows its last words"),
        ),
        Health::Recovering => Finding::warning("starting", format!("{who}starting{because}"), why),
        Health::Degraded => Finding::warning(
            "degraded",
            format!("{who}runs, but answered no ping while idle"),
            format!(
                "`mcplex restart {name}` if calls hang; `probe = false` if it never answers pings"
            ),
        ),
        Health::Stopped => Finding::warning(
            "stopped",
            format!("{who}stopped by somebody"),
            format!("`mcplex start {name}`"),
        ),
        Health::Idle => Finding::well(format!("{who}not needed now; the next call starts it")),
        Health::Ready if row.breaker == Breaker::HalfOpen => Finding::warning(
            "trial",
            format!("{who}ready, on trial after {} trips", row.trips),
            why,
        ),
        Health::Ready if row.deaths > 0 => {
            Finding::warning("deaths", format!("{who}ready, and died {}{because}", times(row)), why)
        }
        Health::Ready => Finding::well(format!(
            "{who}ready{}, life {}, {} tools",
            row.protocol.as_ref().map(|version| format!(", {version}")).unwrap_or_default(),
            row.incarnation,
            row.tools
        )),
    }
}

fn times(row: &UpstreamStatus) -> String {
    let times = if row.deaths == 1 { "once".to_owned() } else { format!("{} times", row.deaths) };
    format!("{times} in {} s ({} are borne)", row.window_ms / 1000, row.max_deaths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn each_health_has_its_word() {
        let check = |change: fn(&mut UpstreamStatus), level: Level, cause: Option<&str>| {
            let mut row = UpstreamStatus { name: "mail".to_owned(), ..UpstreamStatus::default() };
            row.health = Health::Ready;
            change(&mut row);
            let finding = upstream(&row);
            assert_eq!((finding.level, finding.cause), (level, cause), "{row:?}");
        };
        check(|_| {}, Level::Ok, None);
        check(|row| row.deaths = 2, Level::Warning, Some("deaths"));
        check(|row| row.breaker = Breaker::HalfOpen, Level::Warning, Some("trial"));
        check(|row| row.health = Health::Tripped, Level::Broken, Some("tripped"));
        check(|row| row.health = Health::Recovering, Level::Warning, Some("starting"));
        let looping = |row: &mut UpstreamStatus| {
            (row.health, row.deaths) = (Health::Recovering, 3);
        };
        check(looping, Level::Broken, Some("crash-loop"));
        check(|row| row.health = Health::Idle, Level::Ok, None);
        check(|row| row.health = Health::Stopped, Level::Warning, Some("stopped"));
        check(|row| row.is_enabled = false, Level::Skipped, None);
    }
}
