//! Which part of mcplex makes a span, as collectors are told it: its instrumentation scope.

use super::Word;

words! {
    /// The instrumentation scopes of spans, one for each crate that makes some.
    SCOPES;
    /// The program: its start.
    SCOPE_PROGRAM: value = "mcplex";
    /// Lives of upstreams, and what their handshakes ask.
    SCOPE_SUPERVISOR: value = "mcplex.supervisor";
    /// The starts of processes.
    SCOPE_STDIO: value = "mcplex.transport.stdio";
    /// Requests and notifications on their way through.
    SCOPE_ROUTER: value = "mcplex.router";
    /// What operators ask for.
    SCOPE_ADMIN: value = "mcplex.admin";
}

/// How the targets of lifecycle spans begin; sampling and the queue of their own look for it.
pub const TARGET_LIFECYCLE: &str = "mcplex::lifecycle";
/// How the targets of request spans begin.
pub const TARGET_REQUEST: &str = "mcplex::request";

/// The target of the startup span.
pub const TARGET_STARTUP: &str = "mcplex::lifecycle::program";
/// The target of spans of a life.
pub const TARGET_LIFE: &str = "mcplex::lifecycle::supervisor";
/// The target of spans of a spawn.
pub const TARGET_SPAWN: &str = "mcplex::lifecycle::stdio";
/// The target of spans of requests that belong to a handshake.
pub const TARGET_HANDSHAKE: &str = "mcplex::request::supervisor";
/// The target of spans of what is routed.
pub const TARGET_ROUTED: &str = "mcplex::request::router";
/// The target of spans of what operators ask for.
pub const TARGET_OPERATOR: &str = "mcplex::request::admin";

/// The scope that the target of a span stands for; that of the program if it names none.
///
/// `tracing` knows one thing of a span that costs nothing and tells who made it: its target.
#[must_use]
pub fn scope_of(target: &str) -> &'static str {
    match target {
        TARGET_LIFE | TARGET_HANDSHAKE => SCOPE_SUPERVISOR,
        TARGET_SPAWN => SCOPE_STDIO,
        TARGET_ROUTED => SCOPE_ROUTER,
        TARGET_OPERATOR => SCOPE_ADMIN,
        _ => SCOPE_PROGRAM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_what_kind_of_span_it_is_and_who_made_it() {
        let check = |target: &str, begin: &str, scope: &str| {
            assert!(target.starts_with(begin), "{target}");
            assert_eq!(scope_of(target), scope);
            assert!(SCOPES.iter().any(|word| word.name == scope), "{scope}");
        };
        check(TARGET_STARTUP, TARGET_LIFECYCLE, "mcplex");
        check(TARGET_LIFE, TARGET_LIFECYCLE, "mcplex.supervisor");
        check(TARGET_SPAWN, TARGET_LIFECYCLE, "mcplex.transport.stdio");
        check(TARGET_HANDSHAKE, TARGET_REQUEST, "mcplex.supervisor");
        check(TARGET_ROUTED, TARGET_REQUEST, "mcplex.router");
        check(TARGET_OPERATOR, TARGET_REQUEST, "mcplex.admin");
    }
}
