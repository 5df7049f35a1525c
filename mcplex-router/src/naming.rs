//! Turns upstream names into client names and back, without collisions.
//!
//! A name is never taken apart to find its upstream: the way back is a table. Only names that
//! mcplex forms itself are kept within [`MAX_FORMED`] characters; a name that an upstream chose is
//! passed on as it is, if it is one that the newer revisions let be. Of any other one a name is formed
//! in all revisions, which stays the same as long as the two names do; clients that know the upstream's
//! own are served by that as well.

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

/// The longest name that the newer revisions let be.
const MAX_OWN: usize = 128;

/// The names of one kind of thing, from all upstreams.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// In the order of upstreams and of their lists.
    pub(crate) shown: Vec<Shown>,
    /// Own names that were not given out alone, with the names that were given out instead.
    pub(crate) ambiguous: BTreeMap<String, Vec<String>>,
    /// Own names that clients are not shown, and the names that they are shown instead.
    pub(crate) aliases: Vec<(String, String)>,
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
    let is_alone = |upstream: usize, name: &str| match rule.naming {
        Naming::Prefix => false,
        Naming::OnCollision => {
            holders[name].len() == 1 && !rule.is_anothers(name, upstream, upstreams)
        }
        Naming::None => true,
    };
    let is_bare = |upstream: usize, name: &str| is_valid(name) && is_alone(upstream, name);
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
                let is_alone = is_alone(upstream, own_name);
                let name = form(rule, upstream, upstreams, (own_name, is_alone), &taken);
                taken.insert(name.clone());
                if is_alone {
                    names.aliases.push((own_name.clone(), name.clone()));
                } else {
                    names.ambiguous.entry(own_name.clone()).or_default().push(name.clone());
                }
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

/// Whether the newer revisions let a name be.
fn is_valid(name: &str) -> bool {
    (1..=MAX_OWN).contains(&name.len()) && name.chars().all(is_allowed)
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// `upstream__name`, or the name alone if nobody else has it; with a hash, and short, where it is too
/// long, taken, could be another's or has characters that names do not have.
fn form(
    rule: &Rule,
    upstream: usize,
    upstreams: &[UpstreamName],
    (own_name, is_alone): (&str, bool),
    taken: &BTreeSet<String>,
) -> String {
    let name = &upstreams[upstream];
    let whole = match is_alone {
        true => own_name.to_owned(),
        false => format!("{name}{}{own_name}", rule.separator),
    };
    let is_unclear = rule.is_anothers(&whole, upstream, upstreams);
    let clean = |c: char| if is_allowed(c) { c } else { '_' };
    let (before, whole) = (whole.clone(), whole.chars().map(clean).collect::<String>());
    if !is_unclear
        && before == whole
        && whole.chars().count() <= MAX_FORMED
        && !taken.contains(&whole)
    {
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
    fn a_name_that_may_not_be_is_formed_anew_and_leads_back() {
        let own: &[&[&str]] =
            &[&["b/2 \"q\" é", "b_2", "fine.name-1"], &["b/2 \"q\" é2"], &["x/y"]];
        for naming in [Naming::Prefix, Naming::OnCollision, Naming::None] {
            let names = names(naming, own);
            let all: Vec<_> = names.shown.iter().map(|shown| &shown.name).collect();
            assert!(all.iter().all(|name| is_valid(name)), "{all:?}");
            assert_eq!(all.len(), 5);
            assert_eq!(names.aliases.len(), if naming == Naming::Prefix { 0 } else { 3 });
        }
        let shown = names(Naming::OnCollision, own);
        let first = &shown.shown[0].name;
        assert!(first.starts_with("b_2__q____") && first.len() == 18, "{first}");
        assert_eq!(shown.aliases[2], ("x/y".to_owned(), shown.shown[4].name.clone()));
        // What others have changes nothing.
        let later = names(Naming::OnCollision, &[own[0], &["b_2__q__"], &["x/y"]]);
        assert_eq!(shown.shown[0].name, later.shown[0].name);
        // Too long is as bad, and as long as may be is fine.
        let (long, longer) = ("n".repeat(128), "n".repeat(129));
        let shown = names(Naming::OnCollision, &[&[&long, &longer]]).shown;
        assert_eq!((shown[0].name.len(), shown[1].name.len()), (128, MAX_FORMED));
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
            own in prop::collection::vec(prop::collection::vec("[ab_/ ]{1,6}", 0..5), 1..4)
        ) {
            let upstreams: Vec<_> =
                (0..own.len()).map(|n| UpstreamName::new(&format!("a{n}")).unwrap()).collect();
            for naming in [Naming::Prefix, Naming::OnCollision, Naming::None] {
                let names = assign(&rule(naming), &upstreams, &own);
                let unique: BTreeSet<_> = names.shown.iter().map(|shown| &shown.name).collect();
                prop_assert_eq!(unique.len(), names.shown.len());
                prop_assert!(unique.iter().all(|name| is_valid(name)), "{:?}", unique);
                let all: usize = own.iter().map(Vec::len).sum();
                prop_assert_eq!(names.shown.len() + names.shadowed.len(), all);
            }
        }
    }
}
