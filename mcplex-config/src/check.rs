//! What is wrong only between two settings.

use crate::{
    Admin, Audit, Config, ConfigError, Gateway, Reach, Supervise, Telemetry, load::Layers,
};
use std::time::Duration;
use url::{Host, Url};

impl Layers {
    /// Refuses one path for two things.
    pub(crate) fn check_gateway(&self, gateway: &Gateway) -> Result<(), Box<ConfigError>> {
        if gateway.sse_path.as_ref() != Some(&gateway.path) {
            return Ok(());
        }
        let step = if self.has(&["gateway"], "sse_path") { "sse_path" } else { "path" };
        let key = format!("gateway.{step}");
        let what = format!("`{key}`: `path` and `sse_path` are both {:?}", gateway.path);
        let hint = "choose two paths, or set sse_path to \"\"".to_owned();
        Err(ConfigError::new(what, self.place(&["gateway", step], &key), hint))
    }

    /// Refuses an address for operators that anybody could use, or that clients have.
    pub(crate) fn check_admin(
        &self,
        admin: &Admin,
        gateway: &Gateway,
    ) -> Result<(), Box<ConfigError>> {
        let Some(listen) = admin.listen else { return Ok(()) };
        let refuse = |why: String, hint: &str| {
            let key = "admin.listen";
            let place = self.place(&["admin", "listen"], key);
            Err(ConfigError::new(format!("`{key}`: {why}"), place, hint.to_owned()))
        };
        if !listen.ip().is_loopback() && admin.token.is_none() {
            return refuse(
                format!("other machines can reach {listen}, and there is no `admin.token`"),
                "set `admin.token`, such as \"${ADMIN_TOKEN}\", or listen at 127.0.0.1",
            );
        }
        let clients = gateway.listen;
        let is_same_ip = [listen.ip(), clients.ip()].iter().any(|ip| ip.is_unspecified())
            || listen.ip() == clients.ip();
        if is_same_ip && listen.port() == clients.port() && listen.port() != 0 {
            return refuse(
                format!("{listen} is where clients connect (`gateway.listen`)"),
                "choose another port",
            );
        }
        Ok(())
    }

    /// Refuses a log file whose older ones would all be removed at once.
    pub(crate) fn check_log_file(&self, words: &Telemetry) -> Result<(), Box<ConfigError>> {
        let (size, total) = (words.log_file_size, words.log_file_total);
        self.check_total(["telemetry", "log_file_size", "log_file_total"], size, total)
    }

    /// The same for the audit log.
    pub(crate) fn check_audit(&self, words: &Audit) -> Result<(), Box<ConfigError>> {
        self.check_total(["audit", "size", "total"], words.size, words.total)
    }

    fn check_total(
        &self,
        [section, size, total]: [&str; 3],
        one: usize,
        all: usize,
    ) -> Result<(), Box<ConfigError>> {
        if all / 2 >= one {
            return Ok(());
        }
        let step = if self.has(&[section], total) { total } else { size };
        let key = format!("{section}.{step}");
        let what = format!("`{key}`: `{total}` has no room for two files of `{size}`");
        let hint = format!("raise {total} or lower {size}");
        Err(ConfigError::new(what, self.place(&[section, step], &key), hint))
    }

    /// Refuses waits whose longest is shorter than their first.
    pub(crate) fn check_supervise(
        &self,
        supervise: &Supervise,
        path: &[&str],
        label: &str,
    ) -> Result<(), Box<ConfigError>> {
        let waits: [(_, Duration, _, Duration); 2] = [
            ("backoff_first", supervise.backoff_first, "backoff_max", supervise.backoff_max),
            ("cooldown_first", supervise.cooldown_first, "cooldown_max", supervise.cooldown_max),
        ];
        for (first, shortest, max, longest) in waits {
            if longest < shortest {
                let key = format!("{label}.{max}");
                let what = format!(
                    "`{key}`: {} is shorter than `{first}`, which is {}",
                    humantime::format_duration(longest),
                    humantime::format_duration(shortest),
                );
                let step = if self.has(path, max) { max } else { first };
                let place = self.place(&[path, &[step]].concat(), &key);
                return Err(ConfigError::new(what, place, format!("raise {max} or lower {first}")));
            }
        }
        Ok(())
    }
}

/// What works but is probably not meant.
pub(crate) fn warnings(config: &Config, has_file: bool, warnings: &mut Vec<String>) {
    let is_open = config.auth.issuers.is_empty();
    if !config.gateway.listen.ip().is_loopback() && is_open {
        warnings.push(format!(
            "gateway.listen is {}: other machines can reach every tool, and nobody is asked who \
             they are",
            config.gateway.listen
        ));
    }
    if !is_open && config.auth.resource.is_none() && !config.gateway.listen.ip().is_loopback() {
        warnings.push(
            "auth.resource is not set: tokens must name an address that only this machine has"
                .to_owned(),
        );
    }
    if let Some(listen) = config.admin.listen.filter(|listen| !listen.ip().is_loopback()) {
        warnings.push(format!(
            "admin.listen is {listen}: the token of operators goes over the network in plain text \
             unless a proxy with TLS stands before it"
        ));
    }
    let own = config.servers.iter().map(|server| (&server.supervise, server.name.as_str()));
    for (supervise, name) in own.filter(|(own, _)| own.cooldown_first < own.window) {
        warnings.push(format!(
            "servers.{name}: cooldown_first ({}) is shorter than window ({}), which is used instead",
            humantime::format_duration(supervise.cooldown_first),
            humantime::format_duration(supervise.window),
        ));
    }
    for server in config.servers.iter().filter(|server| server.enabled) {
        if let Reach::Http(remote) = &server.reach
            && !remote.headers.is_empty()
            && is_overheard(&remote.url)
        {
            warnings.push(format!(
                "servers.{}.url: its `headers` go over the network in plain text; use https",
                server.name
            ));
        }
    }
    if has_file && !config.servers.iter().any(|server| server.enabled) {
        warnings.push("no server is enabled: clients will see no tools".to_owned());
    }
}

/// Whether others can read what goes to an address.
fn is_overheard(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => true,
    };
    url.scheme() == "http" && !is_here
}

#[cfg(test)]
mod tests {
    use crate::{AllowedArgument, Config, Document, Format, Sources};

    fn load(toml: &str) -> Result<Config, String> {
        let document =
            Document::Text { name: "a.toml".into(), text: toml.into(), format: Format::Toml };
        let sources = Sources { document: Some(document), ..Sources::default() };
        Config::load(sources).map(|loaded| loaded.config).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_kept_has_room_for_an_older_file() {
        let check = |toml: &str, expect: &str| {
            let error = load(toml).unwrap_err();
            assert!(error.contains(expect), "{toml}: {error}");
        };
        check("[audit]\nsize = \"1GiB\"", "`audit.size`: `total` has no room for two files");
        check("[audit]\ntotal = \"20MiB\"", "`audit.total`");
        check("[telemetry]\nlog_file_total = \"1MiB\"", "`telemetry.log_file_total`");
        load("[audit]\nsize = \"1KiB\"\ntotal = \"2KiB\"").unwrap();
    }

    #[test]
    fn allowed_arguments_name_a_server_a_tool_and_a_place() {
        let allow = |text: &str| load(&format!("[audit]\nallow = [{text:?}]"));
        let config = allow("files/read/all /a b/0").unwrap();
        let expect = AllowedArgument {
            upstream: "files".to_owned(),
            tool: "read/all".to_owned(),
            pointer: "/a b/0".to_owned(),
        };
        assert_eq!(config.audit.allow, [expect]);
        for bad in ["files", "files/read", "files/read path", "/read /path", "files/ /path", ""] {
            let error = allow(bad).unwrap_err();
            assert!(error.contains("files/read_file /path"), "{bad}: {error}");
        }
    }
}
