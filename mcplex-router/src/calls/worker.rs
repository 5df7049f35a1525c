//! Which member does a call.

use super::{job, refuse};
use crate::{
    asker::Asker,
    crew::{Lease, Wish},
    measure::Watched,
    member::Member,
    params::Params,
    session::DownstreamSession,
    spans,
    target::{Local, Target},
};
use mcplex_proto::{
    error::{ErrorObject, UPSTREAM_UNAVAILABLE},
    message::Request,
    upstream::{Upstream, UpstreamError},
    version::Era,
};
use mcplex_translate::question;
use std::sync::Arc;

/// Who does a call.
pub(super) struct Worker {
    pub(super) member: Arc<Member>,
    pub(super) upstream: Arc<dyn Upstream>,
    /// It does nothing else.
    pub(super) lease: Option<Lease>,
}

impl Worker {
    /// Finds it, for the era that is given or else for the one its upstream belonged to so far.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub(super) fn find(
        session: &DownstreamSession,
        asker: &Asker,
        (request, params): (&Request, &Params<'_>),
        target: &Target<'_>,
        (era, span): (Option<Era>, &Watched),
    ) -> Result<Self, Local> {
        let (link, shared) = (&target.link, &session.shared);
        let refused = |error: UpstreamError| {
            spans::rejected(span, &link.name, &error);
            refuse(session, &target.aim, &error)
        };
        let era = era.or_else(|| link.lists().info.as_ref().map(|info| info.version.era()));
        let may_be_asked = era != Some(Era::Modern) && question::may_need_input(&request.method);
        // What works on a task has to be there when it is asked for.
        let may_be_task = || {
            let role = job::role(target, asker, request, params, era.unwrap_or(Era::Legacy));
            matches!(role, Ok(Some(_)))
        };
        let lease = match may_be_asked && session.proves_nothing() && !may_be_task() {
            true => link.lease(shared, asker).map_err(refused)?,
            false => None,
        };
        let member = match (&target.task, &lease) {
            (Some((worker, _)), _) => worker.clone(),
            (None, Some(lease)) => lease.member.clone(),
            (None, None) => {
                let is_its_own = session.is_long() && asker.era() == Era::Legacy;
                let (place, stays) = (session.place, target.aim.stays());
                let wish = Wish { place, stays, client: is_its_own.then_some(asker) };
                link.member_for(shared, &wish).map_err(refused)?
            }
        };
        let Some(upstream) = member.upstream().cloned() else {
            let name = &link.name;
            return Err(Err(ErrorObject::new(
                UPSTREAM_UNAVAILABLE,
                format!("Upstream {name} is not there yet. The call was not sent; try again."),
            )));
        };
        Ok(Self { member, upstream, lease })
    }
}
