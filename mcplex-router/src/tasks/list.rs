//! `tasks/list`: the tasks of one client, as far as they are remembered.
//!
//! The list of an upstream is one of all its clients' tasks, so it is never asked for it. Each task
//! is asked how it is instead, a page of them at a time.

use super::{
    Key, Lone, Record, opened,
    reader::{Ask as _, Stop},
};
use crate::{params::Params, session::DownstreamSession, target::Local};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use mcplex_proto::{
    edit,
    error::{ErrorObject, INVALID_PARAMS},
    message::Outcome,
    method,
    raw::{self, Raw},
    version::{Era, Version},
};
use mcplex_translate::task;
use std::sync::Arc;

/// Tasks on one page: as many as are asked for at a time.
const PAGE: usize = 32;

impl DownstreamSession {
    /// Whether a client of this revision has tasks that it may have listed.
    pub(crate) fn lists_tasks(&self, version: Option<Version>) -> bool {
        version == Some(Version::V2025_11_25) && self.shared.catalog().offer.makes_tasks()
    }

    /// A page of the tasks of this client.
    pub(crate) async fn list_tasks(&self, params: Option<&Raw>) -> Local {
        let after = self.cursor(&Params::read(params))?;
        let bad = || ErrorObject::invalid_params("`cursor` is not one that was given out");
        let ledger = &self.shared.ledger;
        let found = ledger.of_client(self, after.as_ref(), PAGE + 1).ok_or_else(bad)?;
        let has_more = found.len() > PAGE;
        let page = &found[..found.len().min(PAGE)];
        let states: FuturesOrdered<_> = page.iter().map(|record| self.now(record)).collect();
        let states: Vec<_> = states.collect().await;
        let last = page.last().filter(|_| has_more);
        for (record, _) in page.iter().zip(&states).filter(|(_, state)| state.is_none()) {
            // The next page begins behind the last one, also if that is no more.
            if last.is_none_or(|last| last.key != record.key) {
                ledger.forget(&record.key);
            }
        }
        let tasks = edit::array(states.iter().flatten().map(Raw::as_str));
        let next = last.map(|last| ("nextCursor", last.known.as_str()));
        Ok(edit::object([("tasks", tasks.as_str())].into_iter().chain(next)))
    }

    /// The last task of the page before: a cursor is its id, which nobody else can open.
    fn cursor(&self, params: &Params<'_>) -> Result<Option<Key>, ErrorObject> {
        let Some(cursor) = params.get("cursor").filter(|cursor| cursor.get() != "null") else {
            return Ok(None);
        };
        let found = raw::string(cursor).and_then(|text| opened(self, &text));
        let (_, _, key) = found
            .ok_or_else(|| ErrorObject::invalid_params("`cursor` is not one that was given out"))?;
        Ok(Some(key))
    }

    /// How a task is now, or was when that could be asked last; nothing if it is no more.
    async fn now(&self, record: &Arc<Record>) -> Option<Raw> {
        let told = record.told();
        if record.is_over() || record.kept().is_some() {
            return Some(told);
        }
        let catalog = self.shared.catalog();
        let link = catalog.links().iter().find(|link| link.name == record.key.upstream)?;
        let member = link.member(record.key.member)?;
        let (Some(upstream), Some(era)) = (member.upstream(), member.era()) else {
            return Some(told);
        };
        let mut lone = Lone::new(&self.shared, upstream.clone(), record.key.clone(), era);
        match lone.ask(method::TASKS_GET, None).await {
            Ok(Outcome::Result(said)) => {
                let said = match era {
                    Era::Legacy => said,
                    Era::Modern => task::to_legacy(&said),
                };
                let told = edit::with_members(&said, &[("taskId", record.known.as_str())]);
                record.tell(told.clone());
                Some(told)
            }
            Ok(Outcome::Error(error)) if ErrorObject::read(&error).code == INVALID_PARAMS => None,
            Ok(Outcome::Error(_)) | Err(Stop::Failed(_) | Stop::Cancelled) => Some(told),
        }
    }
}
