//! The word that was probably meant.

/// The nearest of `words`, if it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(
    found: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (found.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (distance(&plain(found), &plain(word)), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Letters only in lower case: `logFormat` and `log-format` mean `log_format`.
fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// How many letters must be put in, taken out or changed (Levenshtein's distance).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let words = ["listen", "log_format", "max_body"];
        for (found, meant) in [
            ("listn", Some("listen")),
            ("logFormat", Some("log_format")),
            ("max-boddy", Some("max_body")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, words), meant, "{found}");
        }
    }
}
