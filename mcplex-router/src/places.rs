//! Whose place is whose among those who ask without a session.

use crate::isolation::Place;
use mcplex_proto::downstream::Principal;
use std::collections::BTreeMap;

/// Principals whose places are known: many more than have a member of their own at once. One that was
/// forgotten begins anew, as after a long absence.
const MAX: usize = 1024;

/// One place for each principal that was proven lately.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: BTreeMap<Principal, Known>,
    /// Counts the times that a place was asked for.
    uses: u64,
}

#[derive(Debug)]
struct Known {
    place: Place,
    used: u64,
}

impl Places {
    /// The place of a principal, and that of another one which made room for it.
    pub(crate) fn of(
        &mut self,
        principal: &Principal,
        next: impl FnOnce() -> Place,
    ) -> (Place, Option<Place>) {
        self.uses += 1;
        if let Some(known) = self.all.get_mut(principal) {
            known.used = self.uses;
            return (known.place, None);
        }
        let forgotten = if self.all.len() >= MAX { self.forget() } else { None };
        let place = next();
        self.all.insert(principal.clone(), Known { place, used: self.uses });
        (place, forgotten)
    }

    /// Forgets who was away for longest.
    fn forget(&mut self) -> Option<Place> {
        let (oldest, _) = self.all.iter().min_by_key(|(_, known)| known.used)?;
        let oldest = oldest.clone();
        self.all.remove(&oldest).map(|known| known.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_for_longest_is_forgotten_first() {
        let mut places = Places::default();
        let mut last = 0;
        let mut of = |name: &str| {
            let next = || {
                last += 1;
                Place(last)
            };
            places.of(&Principal::Known(name.into()), next)
        };
        let first = of("0").0;
        for number in 1..MAX {
            assert_eq!(of(&number.to_string()).1, None);
        }
        assert_eq!(of("0"), (first, None));
        let (_, forgotten) = of("new");
        assert_eq!(forgotten, Some(Place(2)), "the second one, as the first was there again");
        assert_eq!(of("0"), (first, None));
        assert_ne!(of("1").0, Place(2), "it begins anew");
    }
}
