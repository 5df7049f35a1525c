//! All faults, in lists by what kind they are.

use crate::fault::Fault;

mod start;

mod death;

mod stop;

mod tree;

mod runners;

mod bytes;

mod pipes;

mod time;

mod host;

mod sim;

/// All faults, in order.
pub(crate) fn all() -> Vec<Fault> {
    let lists = [
        ("start", start::FAULTS),
        ("death", death::FAULTS),
        ("tree", tree::FAULTS),
        ("tree", runners::FAULTS),
        ("stop", stop::FAULTS),
        ("bytes", bytes::FAULTS),
        ("pipes", pipes::FAULTS),
        ("time", time::FAULTS),
        ("host", host::FAULTS),
        ("start", host::START),
        ("death", sim::DEATH),
        ("tree", sim::TREE),
        ("time", sim::TIME),
    ];
    let mut all = Vec::new();
    for (group, list) in lists {
        all.extend(list.iter().map(|fault| Fault { group, ..*fault }));
    }
    all.sort_by_key(|fault| fault.id);
    all
}

/// The wait between two lives; the rules of the breaker stay as they are.
pub(crate) const FAST: &str = "backoff_first = \"150ms\"\nbackoff_factor = 1";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_its_own_number_and_name() {
        let all = all();
        let ids: BTreeSet<_> = all.iter().map(|fault| fault.id.to_owned()).collect();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.name).collect();
        assert_eq!((ids.len(), names.len()), (all.len(), all.len()));
        // The catalogue of known faults ends with F76.
        assert_eq!(ids, (1..=76).map(|n| format!("F{n:02}")).collect());
    }
}
