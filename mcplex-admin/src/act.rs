//! One verb at a time for an upstream, until it has had its effect.

use crate::{
    nearest::nearest,
    operator::{Operator, Verb},
    status::UpstreamStatus,
};
use mcplex_proto::{trace::TraceContext, upstream::Health};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What a verb has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// To which upstream.
    pub upstream: String,
    /// The verb.
    pub verb: String,
    /// What happened, in a few words.
    pub what: String,
    /// How the upstream was right after it.
    pub status: UpstreamStatus,
}

/// Why a verb has not done what was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// There is no such upstream.
    #[error("there is no upstream {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// Another verb has not finished.
    #[error("`{verb}` of {upstream} is still under way")]
    Busy {
        /// Whose verb.
        upstream: String,
        /// Which one.
        verb: Verb,
    },
    /// It makes no sense now; nothing was done.
    #[error("{upstream} {why}")]
    Refused {
        /// Who.
        upstream: String,
        /// Why, as the end of a sentence.
        why: String,
        /// What to do instead.
        hint: String,
    },
    /// It was done, and the upstream died of it.
    #[error("{upstream} was told to {verb}, and failed: {why}")]
    Failed {
        /// Who.
        upstream: String,
        /// The verb.
        verb: Verb,
        /// How it ended.
        why: String,
        /// How it is.
        status: Box<UpstreamStatus>,
    },
    /// It was told, and has not got there in time.
    #[error("{upstream} was told to {verb}, and after {} s it is still {}", .waited.as_secs(), .status.health.as_str())]
    Late {
        /// Who.
        upstream: String,
        /// The verb.
        verb: Verb,
        /// How long was waited.
        waited: Duration,
        /// How it is.
        status: Box<UpstreamStatus>,
    },
}

impl ActError {
    /// That none of these names is this one, with the one that was probably meant.
    #[must_use]
    pub fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        // Who names one of several children knows the name of all.
        let of_all = name.split('/').next().unwrap_or_default();
        let near = |name| nearest(name, known.iter().copied());
        let meant = near(name).or_else(|| near(of_all)).map(str::to_owned);
        Self::Unknown { name: name.to_owned(), meant }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { meant: Some(meant), .. } => Some(format!("did you mean {meant}?")),
            Self::Unknown { meant: None, .. } => Some("`mcplex status` lists them".to_owned()),
            Self::Busy { .. } => Some("wait for it, and look at `mcplex status`".to_owned()),
            Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Failed { upstream, .. } | Self::Late { upstream, .. } => {
                Some(format!("`mcplex why {upstream}` says more"))
            }
        }
    }
}

/// Which verbs are under way.
#[derive(Clone, Debug, Default)]
pub struct Acts(Arc<Mutex<BTreeMap<String, Verb>>>);

impl Acts {
    /// Does a verb, and waits until it has had its effect unless told not to.
    ///
    /// When the future is dropped nobody waits any more; what was told stays told.
    ///
    /// # Errors
    /// When it was not done, or has not had its effect.
    pub async fn act(
        &self,
        operator: &dyn Operator,
        name: &str,
        (verb, waits): (Verb, bool),
        request: Option<TraceContext>,
    ) -> Result<Done, ActError> {
        let before = all(operator, name)?;
        let _place = self.take(name, verb)?;
        let farthest = find(operator, name, verb)?;
        if let Some(what) = needless(verb, &farthest)? {
            return Ok(done(verb, what, farthest));
        }
        // Before it is told, so that no change is missed.
        let mut changes = operator.changes();
        operator.tell(name, verb, request).await;
        if !waits {
            return Ok(done(verb, "told", find(operator, name, verb)?));
        }
        let waited = operator.patience(name);
        let effect = async {
            loop {
                let now = all(operator, name)?;
                if let Some(result) = effect_on_all(verb, &before, &now) {
                    let farthest = find(operator, name, verb)?;
                    return match result {
                        Ok(what) => Ok(done(verb, what, farthest)),
                        Err(why) => Err(failed(verb, why, farthest)),
                    };
                }
                if changes.changed().await.is_err() {
                    // mcplex ends, which ends this too.
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(waited, effect).await {
            Ok(result) => result,
            Err(_) => {
                let status = Box::new(find(operator, name, verb)?);
                Err(ActError::Late { upstream: name.to_owned(), verb, waited, status })
            }
        }
    }

    fn take(&self, name: &str, verb: Verb) -> Result<Place, ActError> {
        let mut table = lock(&self.0);
        if let Some(&verb) = table.get(name) {
            return Err(ActError::Busy { upstream: name.to_owned(), verb });
        }
        table.insert(name.to_owned(), verb);
        Ok(Place { table: Arc::clone(&self.0), name: name.to_owned() })
    }
}

/// Keeps other verbs away from an upstream.
#[derive(Debug)]
struct Place {
    table: Arc<Mutex<BTreeMap<String, Verb>>>,
    name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.name);
    }
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The upstream of a name; of several members the one that is farthest from what a verb wants.
pub(crate) fn find(
    operator: &dyn Operator,
    name: &str,
    verb: Verb,
) -> Result<UpstreamStatus, ActError> {
    let all = all(operator, name)?;
    let farthest = match verb {
        Verb::Stop => all.into_iter().min_by_key(|one| one.health),
        Verb::Start | Verb::Restart | Verb::Reset => all.into_iter().max_by_key(|one| one.health),
    };
    Ok(farthest.expect("a name that is known has a row"))
}

/// The child of a label such as `mail/2`, or what [`find`] gives for a name.
pub(crate) fn find_child(operator: &dyn Operator, label: &str) -> Result<UpstreamStatus, ActError> {
    let children = operator.upstreams().into_iter();
    match children.into_iter().find(|one| one.member.as_deref() == Some(label)) {
        Some(child) => Ok(child),
        None => find(operator, label, Verb::Start),
    }
}

/// All rows of a name; at least one.
fn all(operator: &dyn Operator, name: &str) -> Result<Vec<UpstreamStatus>, ActError> {
    let (own, others): (Vec<_>, Vec<_>) =
        operator.upstreams().into_iter().partition(|one| one.name == name);
    if own.is_empty() {
        return Err(ActError::unknown(name, others.iter().map(|one| one.name.as_str())));
    }
    Ok(own)
}

/// Whether a verb has had its effect on every member that was there and still is.
fn effect_on_all(
    verb: Verb,
    before: &[UpstreamStatus],
    now: &[UpstreamStatus],
) -> Option<Result<&'static str, String>> {
    let mut what = None;
    for old in before {
        let Some(new) = now.iter().find(|new| new.member == old.member) else { continue };
        match effect(verb, old, new)? {
            Ok(word) => what = what.or(Some(word)),
            Err(why) => return Some(Err(why)),
        }
    }
    Some(Ok(what.unwrap_or("done")))
}

fn done(verb: Verb, what: &str, status: UpstreamStatus) -> Done {
    Done {
        upstream: status.name.clone(),
        verb: verb.as_str().to_owned(),
        what: what.to_owned(),
        status,
    }
}

fn failed(verb: Verb, why: String, status: UpstreamStatus) -> ActError {
    ActError::Failed { upstream: status.name.clone(), verb, why, status: Box::new(status) }
}

/// What need not be done, or must not.
fn needless(verb: Verb, now: &UpstreamStatus) -> Result<Option<&'static str>, ActError> {
    let refuse = |why: &str, hint: String| {
        let (upstream, why) = (now.name.clone(), why.to_owned());
        Err(ActError::Refused { upstream, why, hint })
    };
    match verb {
        Verb::Start | Verb::Restart | Verb::Reset if !now.is_enabled => refuse(
            "is disabled in the configuration",
            "set `enabled = true` there, since its variables were not read either".to_owned(),
        ),
        Verb::Start if now.health == Health::Tripped => refuse(
            "is tripped, which a start does not change",
            format!("`mcplex reset {}` forgets its deaths and starts it", now.name),
        ),
        Verb::Start if now.is_up() => Ok(Some("was running already")),
        Verb::Stop if now.health == Health::Stopped && now.pid.is_none() => {
            Ok(Some("was stopped already"))
        }
        Verb::Start | Verb::Stop | Verb::Restart | Verb::Reset => Ok(None),
    }
}

/// Whether a verb has had its effect, and which.
fn effect(
    verb: Verb,
    before: &UpstreamStatus,
    now: &UpstreamStatus,
) -> Option<Result<&'static str, String>> {
    let is_new = now.incarnation > before.incarnation;
    match verb {
        // While a process is still being ended it is as good as stopped to others, but not here.
        Verb::Stop => (now.health == Health::Stopped && now.pid.is_none()).then_some(Ok("stopped")),
        Verb::Reset if before.is_up() && now.is_up() => Some(Ok("forgot its deaths")),
        Verb::Start | Verb::Restart | Verb::Reset => {
            // What was starting before may be what is ready now, unless a new life was asked for.
            let was_starting = before.health == Health::Recovering && !before.is_backing_off();
            let counts = is_new || (was_starting && verb != Verb::Restart);
            if !counts {
                return None;
            }
            let is_down = matches!(now.health, Health::Stopped | Health::Idle);
            // Nobody may have used it for so long that it rests already.
            let rests = is_new && now.health == Health::Idle && !now.has_left;
            if now.is_up() || rests {
                return Some(Ok(if verb == Verb::Restart { "restarted" } else { "started" }));
            }
            // Somebody else may have stopped it, or it has left and nothing is to follow.
            let has_ended = is_down && (is_new || (now.has_left && !before.has_left));
            let has_failed = has_ended || now.health == Health::Tripped || now.is_backing_off();
            has_failed.then(|| {
                let why = now.reason.clone().or_else(|| now.last_error.clone());
                Err(why.unwrap_or_else(|| "it ended before it was ready".to_owned()))
            })
        }
    }
}

#[cfg(test)]
mod tests;
