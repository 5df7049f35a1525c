//! The header `Authorization`: where the one token is.

use crate::{jose::TOKEN_MAX, secret::Secret};

/// What the headers of a request hold.
#[derive(Debug)]
pub(crate) enum Bearer {
    /// No token.
    None,
    /// Something that cannot be one token.
    Malformed,
    /// One token.
    Token(Secret),
}

impl Bearer {
    /// Reads all values of the header.
    pub(crate) fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Self::None };
        // Of two, somebody before us may have checked the other one.
        if values.next().is_some() {
            return Self::Malformed;
        }
        let Ok(value) = str::from_utf8(value) else { return Self::Malformed };
        let value = value.trim_matches([' ', '\t']);
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::None;
        }
        let token = token.trim_start_matches(' ');
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || token.len() > TOKEN_MAX || !token.bytes().all(is_token) {
            return Self::Malformed;
        }
        Self::Token(Secret::new(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_of_the_scheme_is_read() {
        let check = |values: &[&str], expect: Option<Option<&str>>| {
            let read = Bearer::read(values.iter().map(|value| value.as_bytes()));
            let found = match &read {
                Bearer::None => None,
                Bearer::Malformed => Some(None),
                Bearer::Token(token) => Some(Some(token.expose())),
            };
            assert_eq!(found, expect, "{values:?}");
        };
        check(&[], None);
        check(&["Basic YTpi"], None);
        check(&[""], None);
        check(&["Bearer a.b.c"], Some(Some("a.b.c")));
        check(&["bEARER  a.b.c "], Some(Some("a.b.c")));
        check(&["Bearer"], Some(None));
        check(&["Bearer a b"], Some(None));
        check(&["Bearer a,b"], Some(None));
        check(&["Bearer a", "Bearer a"], Some(None));
        check(&["Basic YTpi", "Bearer a"], Some(None));
        check(&["Bearerer a"], None);
        assert!(matches!(Bearer::read([&[0xff, 0xfe][..]]), Bearer::Malformed));
    }
}
