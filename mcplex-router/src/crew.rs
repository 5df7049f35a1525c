//! Which members an upstream has, and which of them a call goes to.

use crate::{
    asker::Asker,
    isolation::{Isolation, MemberKey, Members, Place},
    link::Link,
    member::Member,
    relay::Relay,
    router::{Shared, lock},
    session::SessionNumber,
};
use mcplex_proto::upstream::{Health, Upstream, UpstreamError};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Default)]
pub(crate) struct Crew {
    first: Arc<Member>,
    /// Who is the first after the next attachment; its events may come before that.
    next: Option<Arc<Member>>,
    isolation: Isolation,
    /// Makes the others; `None` before there may be any, and once the upstream was removed.
    maker: Option<Arc<dyn Members>>,
    others: BTreeMap<MemberKey, Arc<Member>>,
    /// Counts the times that members of clients were asked for.
    uses: u64,
}

impl Crew {
    fn all(&self) -> impl Iterator<Item = &Arc<Member>> {
        std::iter::once(&self.first).chain(self.others.values())
    }

    fn get(&self, key: MemberKey) -> Option<&Arc<Member>> {
        if key == MemberKey::First { Some(&self.first) } else { self.others.get(&key) }
    }

    /// The member with the fewest calls in flight; one that is down only if all are.
    fn idlest(&self) -> &Arc<Member> {
        let load = |member: &&Arc<Member>| {
            let health = member.health();
            let is_down = match health {
                None | Some(Health::Tripped | Health::Stopped) => 2,
                Some(Health::Recovering) => 1,
                Some(Health::Ready | Health::Degraded | Health::Idle) => 0,
            };
            // Of two that have nothing to do, one that runs is asked, and the other sleeps on.
            (is_down, member.flights(), health == Some(Health::Idle))
        };
        self.all().min_by_key(load).unwrap_or(&self.first)
    }

    /// Whether clients may get members of their own: who stopped the upstream meant all of it, and
    /// what makes the first trip would make them trip one by one.
    fn may_grow(&self) -> bool {
        let health = self.first.health();
        health.is_some_and(|health| !matches!(health, Health::Stopped | Health::Tripped))
    }

    fn open(
        &mut self,
        shared: &Arc<Shared>,
        link: &Arc<Link>,
        member: Member,
        client: Option<&Asker>,
    ) -> Option<Arc<Member>> {
        let maker = self.maker.as_ref()?;
        let client = client.map(Asker::declared);
        let (key, member) = (member.key, Arc::new(member));
        let relay = Relay::new(shared.clone(), link.clone(), member.clone());
        member.attach(maker.open(key, client.as_ref(), Arc::new(relay))?);
        self.others.insert(key, member.clone());
        Some(member)
    }

    /// One more of which there may be so many, if need be in the place of another.
    fn grow(
        &mut self,
        shared: &Arc<Shared>,
        link: &Arc<Link>,
        limit: usize,
        member: Member,
        client: Option<&Asker>,
    ) -> Result<Arc<Member>, UpstreamError> {
        let upstream = || link.name.clone();
        if self.others.len() >= limit && !self.evict(shared) {
            return Err(UpstreamError::SessionsFull { upstream: upstream(), limit });
        }
        let stopped = || UpstreamError::Stopped { upstream: upstream(), reason: None };
        self.open(shared, link, member, client).ok_or_else(stopped)
    }

    fn close(&mut self, key: MemberKey) {
        if let (Some(_), Some(maker)) = (self.others.remove(&key), &self.maker) {
            maker.close(key);
        }
    }

    /// Makes room by ending a member that has no process and no call; else that of somebody who asks
    /// without a session, has set nothing up and was away for longest: nobody says when such a
    /// client has left.
    fn evict(&mut self, shared: &Shared) -> bool {
        // One of a call ends by itself, and has its call in a moment if it has none yet.
        let is_free = |key: MemberKey, member: &Member| {
            member.flights() == 0 && !matches!(key, MemberKey::Call(_))
        };
        let others = || self.others.iter().filter(|(key, member)| is_free(**key, member));
        let rests =
            |member: &Member| matches!(member.health(), Some(Health::Idle | Health::Stopped));
        let is_of_session = |key: MemberKey| match key {
            MemberKey::Session(number) => shared.session(SessionNumber(number)).is_some(),
            MemberKey::First | MemberKey::Pool(_) | MemberKey::Call(_) => true,
        };
        let resting = others().find(|(_, member)| rests(member));
        let left = || {
            let free =
                others().filter(|(key, member)| !member.has_guests() && !is_of_session(**key));
            free.min_by_key(|(_, member)| member.used())
        };
        let free = resting.or_else(left).map(|(&key, _)| key);
        free.inspect(|&key| self.close(key)).is_some()
    }
}

/// What a client wants of the member that its call goes to.
pub(crate) struct Wish<'a> {
    pub(crate) place: Place,
    /// Later calls build on this one, or it builds on an earlier.
    pub(crate) stays: bool,
    /// The client, where nobody else will be served in that place.
    pub(crate) client: Option<&'a Asker>,
}

/// A member that serves one call: whoever made it proved nothing, so nobody may find in there what it
/// left behind. It ends with the call.
#[derive(Debug)]
pub(crate) struct Lease {
    link: Arc<Link>,
    pub(crate) member: Arc<Member>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.link.crew).close(self.member.key);
    }
}

impl Link {
    /// A member for one call alone; `None` where members are not clients' own, or none are made now.
    ///
    /// # Errors
    /// When there may be no more members.
    pub(crate) fn lease(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &Asker,
    ) -> Result<Option<Lease>, UpstreamError> {
        let mut crew = lock(&self.crew);
        let Isolation::Session { limit } = crew.isolation else { return Ok(None) };
        if !crew.may_grow() {
            return Ok(None);
        }
        let member = Member::new(MemberKey::Call(shared.next_number()));
        let member = crew.grow(shared, self, limit, member, Some(client))?;
        Ok(Some(Lease { link: self.clone(), member }))
    }

    /// The member that a client's call goes to, with whatever it needs of before.
    ///
    /// # Errors
    /// When there may be no more members.
    pub(crate) fn member_for(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        wish: &Wish<'_>,
    ) -> Result<Arc<Member>, UpstreamError> {
        let Wish { place, stays, client } = *wish;
        let mut crew = lock(&self.crew);
        let home = crew.isolation.home(place);
        match crew.isolation {
            Isolation::Shared => Ok(crew.first.clone()),
            Isolation::Pool { .. } if stays => Ok(crew.get(home).unwrap_or(&crew.first).clone()),
            Isolation::Pool { .. } => Ok(crew.idlest().clone()),
            Isolation::Session { limit } => {
                crew.uses += 1;
                if let Some(member) = crew.get(home) {
                    member.note_use(crew.uses, stays);
                    return Ok(member.clone());
                }
                if !crew.may_grow() {
                    return Ok(crew.first.clone());
                }
                let member = crew.grow(shared, self, limit, Member::new(home), client)?;
                member.note_use(crew.uses, stays);
                Ok(member)
            }
        }
    }

    /// How its members are shared out.
    pub(crate) fn isolation(&self) -> Isolation {
        lock(&self.crew).isolation
    }

    /// Where what a client has set up stays.
    pub(crate) fn home(&self, place: Place) -> MemberKey {
        self.isolation().home(place)
    }

    /// A member that is there.
    pub(crate) fn member(&self, key: MemberKey) -> Option<Arc<Member>> {
        lock(&self.crew).get(key).cloned()
    }

    /// The member that every upstream has.
    pub(crate) fn first(&self) -> Arc<Member> {
        lock(&self.crew).first.clone()
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.crew).all().cloned().collect()
    }

    /// The member to read lists from: the first if it runs, else any that does.
    pub(crate) fn reader(&self) -> Option<Arc<Member>> {
        lock(&self.crew).all().find(|member| member.is_live()).cloned()
    }

    /// Whether calls go to this member.
    pub(crate) fn has(&self, member: &Arc<Member>) -> bool {
        lock(&self.crew).get(member.key).is_some_and(|here| Arc::ptr_eq(here, member))
    }

    /// The member that the next attachment is for.
    pub(crate) fn prepare(&self) -> Arc<Member> {
        let mut crew = lock(&self.crew);
        if crew.first.upstream().is_none() {
            return crew.first.clone();
        }
        crew.next.get_or_insert_default().clone()
    }

    /// Makes the prepared member the first, and gives it its upstream.
    pub(crate) fn attach(&self, upstream: Arc<dyn Upstream>) {
        let member = self.prepare();
        member.attach(upstream);
        let is_replaced = {
            let mut crew = lock(&self.crew);
            crew.next = None;
            let before = std::mem::replace(&mut crew.first, member.clone());
            !Arc::ptr_eq(&before, &member)
        };
        // A life that was ready before it was attached was not noted: it was not the first.
        if is_replaced {
            member.misses();
            member.freshen();
            self.mark(|stale| *stale = [true; 4]);
        } else {
            self.signal.raise();
        }
    }

    /// Shares the members out in another way; who has a place in it as well stays.
    pub(crate) fn isolate(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        isolation: Isolation,
        maker: Arc<dyn Members>,
    ) {
        let mut crew = lock(&self.crew);
        let before = std::mem::replace(&mut crew.isolation, isolation);
        crew.maker = Some(maker);
        let leaving: Vec<_> =
            crew.others.keys().copied().filter(|&key| !isolation.has(key)).collect();
        for key in leaving {
            crew.close(key);
        }
        for key in isolation.standing() {
            let is_there = crew.get(key).is_some();
            if !is_there && crew.open(shared, self, Member::new(key), None).is_none() {
                tracing::warn!(upstream = %self.name, member = key.label(&self.name),
                    "a member of the pool was not started, because the upstream is ending");
            }
        }
        if before != isolation {
            // Subscriptions may be at home elsewhere now.
            crew.all().for_each(|member| member.freshen());
            drop(crew);
            self.signal.raise();
        }
    }

    /// Ends what a session had for itself.
    pub(crate) fn leave(&self, place: Place) {
        lock(&self.crew).close(MemberKey::Session(place.0));
    }

    /// Ends what a client had for itself that is not known any more, unless it is in use.
    pub(crate) fn forget(&self, place: Place) {
        let mut crew = lock(&self.crew);
        let key = MemberKey::Session(place.0);
        if crew.get(key).is_some_and(|member| member.flights() == 0 && !member.has_guests()) {
            crew.close(key);
        }
    }

    /// Ends all members but the first, and what keeps it up to date.
    pub(crate) fn close(&self) {
        let mut crew = lock(&self.crew);
        let others: Vec<_> = crew.others.keys().copied().collect();
        for key in others {
            crew.close(key);
        }
        crew.maker = None;
        drop(crew);
        self.signal.close();
        self.watch.close();
    }
}
