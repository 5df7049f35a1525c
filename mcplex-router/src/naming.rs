//! Turns upstream names into client names and back, without collisions.
//!
//! A name is never taken apart to find its upstream: the way back is a table. Only names that
//! mcplex forms itself (the prefixed ones) are kept within [`MAX_FORMED`] characters; a name that
//! an upstream chose is passed on as it is.

use mcplex_proto::upstream::UpstreamName;
use std::collections::{BTreeMap, BTreeSet};

/// When a client sees a tool or prompt under a longer name than its upstream gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Always `upstream__name`.
    Prefix,
    /// `upstream__name` for names that several upstreams use; all others as they are.
    #[default]
    OnCollision,
    /// Never; of several equal names the first configured upstream's wins.
    None,
}

/// When and how names get a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) naming: Naming,
    /// Stands between the upstream's name and its own.
    pub(crate) separator: String,
}

/// The longest name that is formed: several model APIs refuse tool names over 64 characters.
const MAX_FORMED: usize = 64;

/// The names of one kind of thing, from all upstreams.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// In the order of upstreams and of their lists.
    pub(crate) shown: Vec<Shown>,
    /// Own names that were not given out alone, with the names that were given out instead.
    pub(crate) ambiguous: BTreeMap<String, Vec<String>>,
    /// Things that cannot be reached because of an equal name before them.
    pub(crate) shadowed: Vec<(usize, String)>,
}

/// One name as clients see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The name clients use.
    pub(crate) name: String,
    /// Whose it is, as an index into the upstreams.
    pub(crate) upstream: usize,
    /// Its index in the upstream's own list.
    pub(crate) index: usize,
}

/// Gives every own name a client name; each client name stands once.
pub(crate) fn assign(rule: &Rule, upstreams: &[UpstreamName], own: &[Vec<String>]) -> Names {
    let holders = holders(own);
    // A name under another upstream's prefix is not given out bare: calls by that name may already
    // mean a tool of that upstream, and what comes later must never take them over.
    let is_bare = |upstream: usize, name: &str| match rule.naming {
        Naming::Prefix => false,
        Naming::OnCollision => {
            holders[name].len() == 1 && !rule.is_anothers(name, upstream, upstreams)
        }
        Naming::None => true,
    };
    let mut names = Names::default();
    // Names that upstreams chose go first, so that a formed one never takes their place.
    let mut taken: BTreeSet<String> = own
        .iter()
        .enumerate()
        .flat_map(|(upstream, list)| list.iter().filter(move |name| is_bare(upstream, name)))
        .cloned()
        .collect();
    let mut given = BTreeSet::new();
    for (upstream, list) in own.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (index, own_name) in list.iter().enumerate() {
            if !seen.insert(own_name) {
                names.shadowed.push((upstream, own_name.clone()));
                continue;
            }
            let name = if is_bare(upstream, own_name) {
                if !given.insert(own_name.clone()) {
                    names.shadowed.push((upstream, own_name.clone()));
                    continue;
                }
                own_name.clone()
            } else {
                let name = form(rule, upstream, upstreams, own_name, &taken);
                taken.insert(name.clone());
                names.ambiguous.entry(own_name.clone()).or_default().push(name.clone());
                name
            };
            names.shown.push(Shown { name, upstream, index });
        }
    }
    names
}

fn holders(own: &[Vec<String>]) -> BTreeMap<&str, BTreeSet<usize>> {
    let mut holders: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (upstream, list) in own.iter().enumerate() {
        for name in list {
            holders.entry(name).or_default().insert(upstream);
        }
    }
    holders
}

/// `upstream__name`, shortened with a hash where it is too long, taken, or could be another's.
fn form(
    rule: &Rule,
    upstream: usize,
    upstreams: &[UpstreamName],
    own_name: &str,
    taken: &BTreeSet<String>,
) -> String {
    let name = &upstreams[upstream];
    let whole = format!("{name}{}{own_name}", rule.separator);
    let is_unclear = rule.is_anothers(&whole, upstream, upstreams);
    if !is_unclear && whole.chars().count() <= MAX_FORMED && !taken.contains(&whole) {
        return whole;
    }
    // The hash depends on the two names alone, so the result is the same after every restart.
    (0u8..=u8::MAX)
        .map(|round| {
            let suffix = format!("_{:08x}", fnv1a(&format!("{round}/{name}/{own_name}")));
            let kept: String = whole.chars().take(MAX_FORMED - suffix.len()).collect();
            kept + &suffix
        })
        .find(|name| !taken.contains(name))
        .unwrap_or(whole)
}

impl Rule {
    /// Whether a name begins like those that are formed for another upstream.
    fn is_anothers(&self, name: &str, upstream: usize, upstreams: &[UpstreamName]) -> bool {
        upstreams
            .iter()
            .enumerate()
            .any(|(other, prefix)| other != upstream && self.strip_prefix(name, prefix).is_some())
    }

    /// What follows an upstream's prefix.
    pub(crate) fn strip_prefix<'a>(
        &self,
        name: &'a str,
        upstream: &UpstreamName,
    ) -> Option<&'a str> {
        name.strip_prefix(upstream.as_str())?.strip_prefix(&*self.separator)
    }
}

/// FNV-1a, 32 bit: small, stable over versions of Rust, and good enough to tell names apart.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(naming: Naming) -> Rule {
        Rule { naming, separator: "__".to_owned() }
    }

    fn shown(naming: Naming, own: &[&[&str]]) -> Vec<String> {
        names(naming, own).shown.into_iter().map(|shown| shown.name).collect()
    }

    fn names(naming: Naming, own: &[&[&str]]) -> Names {
        let upstreams: Vec<_> =
            ["a", "b", "c"].iter().map(|name| UpstreamName::new(name).unwrap()).collect();
        let own: Vec<Vec<String>> =
            own.iter().map(|list| list.iter().map(|&name| name.to_owned()).collect()).collect();
        assign(&rule(naming), &upstreams, &own)
    }

    #[test]
    fn only_names_that_collide_get_a_prefix_by_default() {
        let own: &[&[&str]] = &[&["echo", "x"], &["echo", "y"], &["z"]];
        assert_eq!(shown(Naming::OnCollision, own), ["a__echo", "x", "b__echo", "y", "z"]);
        assert_eq!(shown(Naming::Prefix, own), ["a__echo", "a__x", "b__echo", "b__y", "c__z"]);
        assert_eq!(shown(Naming::None, own), ["echo", "x", "y", "z"]);
        assert_eq!(names(Naming::None, own).shadowed, [(1, "echo".to_owned())]);
        assert_eq!(names(Naming::OnCollision, own).ambiguous["echo"], ["a__echo", "b__echo"]);
    }

    #[test]
    fn a_name_like_one_that_is_formed_for_another_is_not_taken_over() {
        let early = shown(Naming::OnCollision, &[&["echo"], &["echo"], &[]]);
        let late = shown(Naming::OnCollision, &[&["echo"], &["echo"], &["a__echo"]]);
        assert_eq!(early, ["a__echo", "b__echo"]);
        assert_eq!(late, ["a__echo", "b__echo", "c__a__echo"]);
        // A name of its own that only looks like it.
        let own = shown(Naming::OnCollision, &[&["a__echo"], &[], &[]]);
        assert_eq!(own, ["a__echo"]);
    }

    #[test]
    fn prefixes_that_contain_each_other_lead_to_names_that_never_change_hands() {
        let upstreams: Vec<_> =
            ["a", "a__b"].iter().map(|name| UpstreamName::new(name).unwrap()).collect();
        let names = |own: &[Vec<String>]| -> Vec<String> {
            let names = assign(&rule(Naming::Prefix), &upstreams, own);
            names.shown.into_iter().map(|shown| shown.name).collect()
        };
        let (one, two) = (vec!["b__c".to_owned()], vec!["c".to_owned()]);
        let both = names(&[one.clone(), two.clone()]);
        assert_ne!(both[0], both[1]);
        assert_eq!(both[0], names(&[one, Vec::new()])[0]);
        assert_eq!(both[1], names(&[Vec::new(), two])[0]);
    }

    #[test]
    fn a_name_that_stands_twice_in_one_list_is_shown_once() {
        let names = names(Naming::OnCollision, &[&["t", "t"]]);
        assert_eq!((names.shown.len(), names.shadowed.len()), (1, 1));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "n".repeat(70);
        let shown = shown(Naming::Prefix, &[&[&format!("{long}1"), &format!("{long}2")]]);
        assert!(shown.iter().all(|name| name.len() == MAX_FORMED), "{shown:?}");
        assert_ne!(shown[0], shown[1]);
    }

    proptest! {
        #[test]
        fn client_names_are_unique_and_nothing_gets_lost(
            own in prop::collection::vec(prop::collection::vec("[ab_]{1,6}", 0..5), 1..4)
        ) {
            let upstreams: Vec<_> =
                (0..own.len()).map(|n| UpstreamName::new(&format!("a{n}")).unwrap()).collect();
            for naming in [Naming::Prefix, Naming::OnCollision, Naming::None] {
                let names = assign(&rule(naming), &upstreams, &own);
                let unique: BTreeSet<_> = names.shown.iter().map(|shown| &shown.name).collect();
                prop_assert_eq!(unique.len(), names.shown.len());
                let all: usize = own.iter().map(Vec::len).sum();
                prop_assert_eq!(names.shown.len() + names.shadowed.len(), all);
            }
        }
    }
}
