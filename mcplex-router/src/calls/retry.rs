//! What a call brings of an earlier try: the state that mcplex gave it, and answers.

use crate::{
    asker::Asker,
    params::Params,
    seal::{Bond, State},
    session::DownstreamSession,
    suspend::{Suspended, Ticket},
    target::Local,
};
use mcplex_proto::{
    edit,
    error::ErrorObject,
    message::Request,
    raw::{self, Raw},
    upstream::UpstreamName,
    version::Era,
};
use mcplex_translate::question;

/// The member that carries the state.
pub(super) const STATE: &str = "requestState";
/// The member that carries the answers.
const ANSWERS: &str = "inputResponses";

/// What stands in a call beside what its first try said.
pub(super) enum Brought {
    /// Nothing that any upstream would read.
    Nothing,
    /// Answers without a state, which only a stateless upstream may take for any; to others the call
    /// is made anew.
    Answers,
    /// A call of ours that goes on.
    Call(Box<Suspended>),
    /// The state of an upstream.
    State { upstream: UpstreamName, state: Raw },
}

/// Reads it.
///
/// # Errors
/// When the state is not one of ours for this call.
pub(super) fn read(
    session: &DownstreamSession,
    asker: &Asker,
    request: &Request,
    params: &Params<'_>,
) -> Result<Brought, Local> {
    let (state, answers) = (params.get(STATE), params.get(ANSWERS));
    if state.is_none() && answers.is_none() || !question::may_need_input(&request.method) {
        return Ok(Brought::Nothing);
    }
    let Some(state) = state.filter(|_| asker.era() == Era::Modern) else {
        return Ok(Brought::Answers);
    };
    let bond = Bond::of(&session.arrival.principal, &request.method, request.params.as_ref());
    let open = raw::string(state).and_then(|text| session.shared.seals.open(&text, &bond));
    let found = match open {
        Some(State::Suspended { number, round }) => {
            let held = session.shared.suspensions.take(session, Ticket { number, round });
            held.map(|held| Brought::Call(Box::new(held)))
        }
        Some(State::Bound { upstream, state }) => Some(Brought::State { upstream, state }),
        Some(State::Task { .. }) | None => None,
    };
    found.ok_or_else(|| Err(bad_state()))
}

pub(super) fn bad_state() -> ErrorObject {
    let why = "`requestState` is not one of this call, was used already, or has expired";
    ErrorObject::invalid_params(why)
}

impl Brought {
    /// Checks whom it is for.
    ///
    /// # Errors
    /// When the state is another upstream's.
    pub(super) fn check(&self, upstream: &UpstreamName, era: Era) -> Result<(), ErrorObject> {
        match self {
            Self::State { upstream: of, .. } if era == Era::Legacy || of != upstream => {
                Err(bad_state())
            }
            Self::Nothing | Self::Answers | Self::Call(_) | Self::State { .. } => Ok(()),
        }
    }

    /// The parameters as an upstream may read them.
    pub(super) fn apply(&self, asker: &Asker, era: Era, params: Option<Raw>) -> Option<Raw> {
        match self {
            Self::Answers if (asker.era(), era) == (Era::Modern, Era::Modern) => params,
            Self::Answers => question::first_round(params.as_ref()),
            Self::State { state, .. } => {
                params.map(|params| edit::with_members(&params, &[(STATE, state.as_str())]))
            }
            Self::Nothing | Self::Call(_) => params,
        }
    }
}
