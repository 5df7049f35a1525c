//! The name that was probably meant.

/// The nearest of `names`, if it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(
    found: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (found.chars().count() / 3).max(1);
    let found = found.to_lowercase();
    names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let starts = found.len() >= 3 && lower.starts_with(&found);
            (if starts { 1 } else { strsim::damerau_levenshtein(&found, &lower) }, name)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let names = ["files", "telegram", "git"];
        let check = |found, expect| assert_eq!(nearest(found, names), expect, "{found}");
        check("flies", Some("files"));
        check("Files", Some("files"));
        check("tele", Some("telegram"));
        check("gti", Some("git"));
        check("mail", None);
        check("", None);
    }
}
