//! Tells whether a resource's URI belongs to a family that a URI template describes.
//!
//! Only enough of RFC 6570 to find the owner: a literal part must stand as it is; a simple
//! expression stands for one or more characters other than `/`; an expression with an operator
//! (`{+path}`, `{?query}`, `{rest*}` …) stands for anything, also nothing.

use std::collections::BTreeSet;

/// Whether `uri` could come from `template`.
pub(crate) fn matches(template: &str, uri: &str) -> bool {
    let Some(parts) = parse(template) else { return template == uri };
    // Where in the URI the parts so far can have ended; no backtracking, so a hostile template
    // costs at most its length times the square of the URI's.
    let mut reached = BTreeSet::from([0]);
    for part in &parts {
        reached = reached.into_iter().flat_map(|at| part.ends(uri, at)).collect();
    }
    reached.contains(&uri.len())
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Literal(&'a str),
    /// One or more characters other than `/`.
    Segment,
    /// Anything.
    Anything,
}

/// The parts of a template, or `None` when its braces do not match.
fn parse(template: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}')?;
        if open > 0 {
            parts.push(Part::Literal(&rest[..open]));
        }
        let expression = &rest[open + 1..close];
        let is_simple = expression.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
        parts.push(if is_simple { Part::Segment } else { Part::Anything });
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Some(parts)
}

impl Part<'_> {
    /// Every place where the part can end when it begins at `at`.
    fn ends(&self, uri: &str, at: usize) -> Vec<usize> {
        let rest = &uri[at..];
        match self {
            Self::Literal(text) if rest.starts_with(text) => vec![at + text.len()],
            Self::Literal(_) => Vec::new(),
            Self::Segment => rest
                .char_indices()
                .take_while(|&(_, c)| c != '/')
                .map(|(offset, c)| at + offset + c.len_utf8())
                .collect(),
            Self::Anything => {
                rest.char_indices().map(|(offset, _)| at + offset).chain([uri.len()]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_finds_its_family() {
        let check = |template: &str, uri: &str, expect: bool| {
            assert_eq!(matches(template, uri), expect, "{template} {uri}");
        };
        check("demo://resource/dynamic/text/{id}", "demo://resource/dynamic/text/1", true);
        check("demo://resource/dynamic/text/{id}", "demo://resource/dynamic/text/", false);
        check("demo://resource/dynamic/text/{id}", "demo://resource/dynamic/text/1/2", false);
        check("file:///{+path}", "file:///a/b/c", true);
        check("x://{a}/y/{b}.txt", "x://1/y/2.txt", true);
        check("x://{a}/y/{b}.txt", "x://1/y/2.png", false);
        check("x://q{?a,b}", "x://q?a=1&b=2", true);
        check("x://plain", "x://plain", true);
        check("x://{broken", "x://{broken", true);
        check("x://{a}", "x://ünï", true);
    }
}
