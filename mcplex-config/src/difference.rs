//! What a changed file changes, by what it takes to apply it.

use crate::{Admin, Audit, Auth, Config, Gateway, History, Host, Router, Server, Telemetry};
use std::fmt;

/// What differs between what runs and what a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Servers that are new, in their order; a new name is a new server.
    pub added: Vec<String>,
    /// Servers that are gone.
    pub removed: Vec<String>,
    /// Servers that need another process.
    pub changed: Vec<String>,
    /// Servers whose limits differ; their processes can stay.
    pub limits: Vec<String>,
    /// Servers that are the same.
    pub untouched: Vec<String>,
    /// Whether the servers that stay have another order.
    pub reordered: bool,
    /// Other settings that are applied to what runs, such as `router.naming`.
    pub settings: Vec<String>,
    /// Settings that only the next start of mcplex can apply, such as `gateway.listen`.
    pub needs_restart: Vec<String>,
}

/// Every field of a section by name, so that a new one is not forgotten here.
macro_rules! fields {
    ($differing:expr, $section:literal, $type:ident, $old:expr, $new:expr => $($field:ident)*) => {{
        let $type { $($field: _),* } = $old;
        $(if $old.$field != $new.$field {
            $differing.push(concat!($section, ".", stringify!($field)).to_owned());
        })*
    }};
}

impl Difference {
    /// What it takes to come from `old` to `new`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut it = Self::default();
        it.compare_sections(old, new);
        it.compare_servers(&old.servers, &new.servers);
        it
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let untouched = self.untouched.clone();
        *self == Self { untouched, ..Self::default() }
    }

    fn compare_sections(&mut self, old: &Config, new: &Config) {
        let restart = &mut self.needs_restart;
        fields!(restart, "gateway", Gateway, &old.gateway, &new.gateway =>
            name listen path sse_path allowed_hosts allowed_origins max_body max_bodies max_head
            max_depth max_batch max_connections max_sessions max_calls max_listens head_timeout
            body_timeout write_timeout session_idle drain control state_dir watch);
        fields!(restart, "auth", Auth, &old.auth, &new.auth =>
            issuers resource scopes audiences algorithms skew keys_age keys_pause
            private_addresses);
        fields!(restart, "admin", Admin, &old.admin, &new.admin =>
            listen token allowed_hosts traces);
        fields!(restart, "telemetry", Telemetry, &old.telemetry, &new.telemetry =>
            endpoint protocol prometheus service_name log log_format log_file log_file_size log_file_age
            log_file_total incoming_context propagate stderr_tail);
        fields!(restart, "audit", Audit, &old.audit, &new.audit =>
            file arguments allow size age total);
        fields!(restart, "history", History, &old.history, &new.history =>
            log_size log_files log_total crash_reports crash_total);
        fields!(restart, "host", Host, &old.host, &new.host =>
            max_starts starts_per_second starts_burst fd_reserve);
        // Each server has its own copy of these.
        restart.retain(|key| !["telemetry.propagate", "telemetry.stderr_tail"].contains(&&**key));
        // The watch belongs to whoever reloads, and can be begun and ended at any time; how requests
        // are traced belongs to the router.
        let at_once = ["gateway.watch", "telemetry.incoming_context"];
        self.settings = restart.extract_if(.., |key| at_once.contains(&&**key)).collect();
        fields!(self.settings, "router", Router, &old.router, &new.router =>
            naming separator down_reply list_changed_interval first_list_wait single_user
            input_wait max_suspended max_suspended_per_client);
    }

    fn compare_servers(&mut self, old: &[Server], new: &[Server]) {
        for now in new {
            let list = match old.iter().find(|before| before.name == now.name) {
                None => &mut self.added,
                Some(before) if before == now => &mut self.untouched,
                Some(before) if needs_another_process(before, now) => &mut self.changed,
                Some(_) => &mut self.limits,
            };
            list.push(now.name.clone());
        }
        let names = |list: &[Server], other: &[Server]| -> Vec<String> {
            let stays = |one: &&Server| other.iter().any(|other| other.name == one.name);
            list.iter().filter(stays).map(|server| server.name.clone()).collect()
        };
        let stay = names(old, new);
        self.reordered = stay != names(new, old);
        self.removed = old.iter().map(|server| server.name.clone()).collect();
        self.removed.retain(|name| !stay.contains(name));
    }
}

/// Whether what runs cannot become what is wanted.
fn needs_another_process(old: &Server, new: &Server) -> bool {
    // All fields by name: whoever adds one decides here. `supervise` is limits, but for what only
    // a start can do, and how it is traced changes no process.
    let Server { name: _, reach, enabled, supervise, telemetry: _ } = old;
    (reach, enabled) != (&new.reach, &new.enabled)
        || (supervise.guard, supervise.era) != (new.supervise.guard, new.supervise.era)
}

impl fmt::Display for Difference {
    /// Writes what is done in one line, such as `added: files; needs a restart: gateway.listen`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing differs");
        }
        let parts = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
            ("new limits", &self.limits),
            ("applied", &self.settings),
            ("needs a restart", &self.needs_restart),
        ];
        let mut gap = "";
        for (what, names) in parts.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{gap}{what}: {}", names.join(", "))?;
            gap = "; ";
        }
        if self.reordered {
            write!(f, "{gap}another order")?;
            gap = "; ";
        }
        match self.untouched.len() {
            0 => Ok(()),
            many => write!(f, "{gap}untouched: {many}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Format, Sources};

    fn config(toml: &str) -> Config {
        let document =
            Document::Text { name: "a.toml".into(), text: toml.into(), format: Format::Toml };
        Config::load(Sources { document: Some(document), ..Sources::default() }).unwrap().config
    }

    fn server(name: &str, more: &str) -> String {
        format!("[[servers]]\nname = \"{name}\"\ncommand = \"true\"\n{more}\n")
    }

    fn check(old: &str, new: &str, expect: &str) {
        let difference = Difference::between(&config(old), &config(new));
        assert_eq!(difference.to_string(), expect, "{old} -> {new}");
    }

    #[test]
    fn each_server_is_in_one_list() {
        let [a, b] = [server("a", ""), server("b", "")];
        check("", "", "nothing differs");
        check(&a, &a, "nothing differs");
        check("", &a, "added: a");
        check(&a, "", "removed: a");
        check(&(a.clone() + &b), &(b.clone() + &a), "another order; untouched: 2");
        // A rename is another server; what stays keeps its order.
        check(&(a.clone() + &b), &(server("c", "") + &b), "added: c; removed: a; untouched: 1");
        for other in ["args = [\"x\"]", "env = { X = \"1\" }", "cwd = \"/\"", "enabled = false"] {
            check(&(a.clone() + &b), &(server("a", other) + &b), "changed: a; untouched: 1");
            check(&server("a", other), &a, "changed: a");
        }
    }

    #[test]
    fn a_server_elsewhere_is_another_one_at_another_address() {
        let away =
            |more: &str| format!("[[servers]]\nname = \"a\"\nurl = \"http://a/mcp\"\n{more}\n");
        check(&away(""), &away(""), "nothing differs");
        check(&away(""), &away("headers = { K = \"1\" }"), "changed: a");
        check(&away(""), &away("transport = \"sse\""), "changed: a");
        check(&away(""), &away("[servers.supervise]\nmax_deaths = 9"), "new limits: a");
        check(&away(""), &server("a", ""), "changed: a");
    }

    #[test]
    fn limits_are_a_servers_own_wherever_they_stand() {
        let [a, own] = [server("a", ""), server("a", "[servers.supervise]\nmax_deaths = 9")];
        check(&a, &own, "new limits: a");
        let both = a.clone() + &own.replace("\"a\"", "\"b\"");
        let global = "[supervise]\nmax_deaths = 7\n".to_owned() + &both;
        check(&both, &global, "new limits: a; untouched: 1");
        check(&a, &server("a", "args = [\"x\"]\nsupervise.max_run = 1"), "changed: a");
        check("", "[supervise]\nmax_deaths = 7", "nothing differs");
    }

    #[test]
    fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
        let gateway = "[gateway]\nlisten = \"127.0.0.1:1\"\npath = \"/x\"\nwatch = false\n";
        let new = gateway.to_owned() + "[router]\nnaming = \"none\"\n[telemetry]\nlog = \"debug\"";
        check(
            "",
            &new,
            "applied: gateway.watch, router.naming; \
             needs a restart: gateway.listen, gateway.path, telemetry.log",
        );
    }
}
