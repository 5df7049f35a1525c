//! Tasks that mcplex holds itself: of calls that a client wants as tasks, and that were answered at once.

use super::{Key, Owner, Record, is_over, seal};
use crate::{asker::Asker, link::Link, member::Member, session::DownstreamSession, target::Local};
use mcplex_proto::{edit, error::ErrorObject, message::Outcome, method, raw::Raw};
use mcplex_translate::task::{self, Status};
use std::sync::Arc;

/// Makes a task of what has ended already, for a client that wants a task; the task as it is told.
pub(crate) fn hold(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    (link, member): (&Link, &Member),
    result: Raw,
) -> Raw {
    /// How long it is said to be held, in milliseconds; the ledger forgets it sooner only when it is
    /// full. Ten minutes, in which every client has asked for it.
    const TTL: &str = "600000";
    let shared = &session.shared;
    let key = Key::new(link.name.clone(), member.key, &shared.ledger.mint());
    let known = seal(session, &key);
    let now = Raw::of(&humantime::format_rfc3339_seconds(shared.clock.wall()).to_string());
    let status = if task::is_error(result.as_str()) { Status::Failed } else { Status::Completed };
    let told = edit::object([
        ("taskId", known.as_str()),
        ("status", Raw::of(status.word()).as_str()),
        ("createdAt", now.as_str()),
        ("lastUpdatedAt", now.as_str()),
        ("ttl", TTL),
    ]);
    let kept = Some(Outcome::Result(result));
    let owner = Owner::of(session);
    shared.ledger.note(Record::new(key, known, owner, asker.clone(), (told.clone(), kept)));
    told
}

/// The answer to a session's request about a task that mcplex holds itself.
pub(super) fn answer(record: &Record, kept: Outcome, method: &str) -> Local {
    match (method, kept) {
        (method::TASKS_RESULT, Outcome::Result(result)) => {
            Ok(task::related(&result, &record.known))
        }
        (method::TASKS_RESULT, Outcome::Error(error)) => Err(ErrorObject::read(&error)),
        (method::TASKS_CANCEL, _) => Err(is_over()),
        _ => Ok(record.told()),
    }
}
