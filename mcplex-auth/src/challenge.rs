//! The header `WWW-Authenticate`: what a server says about the token it wants.

use std::fmt;

/// A challenge of the scheme `Bearer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the metadata of the resource lies (RFC 9728).
    pub resource_metadata: Option<String>,
    /// What a token must allow, with spaces between.
    pub scope: Option<String>,
    /// What is wrong with the token that was sent: `invalid_token`, `insufficient_scope`, ….
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

impl Challenge {
    /// Finds the first challenge for a bearer token in the value of a header.
    ///
    /// Reads what can be read: other schemes, unknown parameters and parameters that break the
    /// rules are passed over. The first value of a parameter counts.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        for item in items(header) {
            match item {
                Item::Scheme(scheme) => {
                    if found.is_some() {
                        break;
                    }
                    if scheme.eq_ignore_ascii_case("bearer") {
                        found = Some(Self::default());
                    }
                }
                Item::Parameter(name, value) => {
                    if let Some(challenge) = &mut found {
                        challenge.take(name, value);
                    }
                }
            }
        }
        found
    }

    /// The scopes it names.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.as_deref().unwrap_or_default().split_ascii_whitespace()
    }

    fn take(&mut self, name: &str, value: String) {
        let field = match name.to_ascii_lowercase().as_str() {
            "resource_metadata" => &mut self.resource_metadata,
            "scope" => &mut self.scope,
            "error" => &mut self.error,
            "error_description" => &mut self.error_description,
            _ => return,
        };
        field.get_or_insert(value);
    }
}

impl fmt::Display for Challenge {
    /// Writes the value of the header; what no header may hold is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")?;
        let fields = [
            ("resource_metadata", &self.resource_metadata),
            ("scope", &self.scope),
            ("error", &self.error),
            ("error_description", &self.error_description),
        ];
        let mut separator = " ";
        for (name, value) in fields {
            let Some(value) = value else { continue };
            write!(f, "{separator}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '"' | '\\' => write!(f, "\\{character}")?,
                    ' '..='~' => write!(f, "{character}")?,
                    _ => {}
                }
            }
            f.write_str("\"")?;
            separator = ", ";
        }
        Ok(())
    }
}

enum Item<'a> {
    Scheme(&'a str),
    Parameter(&'a str, String),
}

/// Cuts a header into schemes and parameters; what is neither is passed over.
fn items(header: &str) -> impl Iterator<Item = Item<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return None;
            }
            let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                // No word begins here: go on behind whatever this is.
                rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
                continue;
            }
            let next = after.trim_start_matches([' ', '\t']);
            match next.strip_prefix('=') {
                Some(value) => {
                    let (value, left) = value_of(value.trim_start_matches([' ', '\t']));
                    rest = left;
                    return Some(Item::Parameter(word, value));
                }
                None => {
                    rest = after;
                    return Some(Item::Scheme(word));
                }
            }
        }
    })
}

/// Reads the value of a parameter, quoted or not.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// Whether a character may be in a token of HTTP.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn challenges_of_real_servers_are_read() {
        let check = |header: &str, expect: Option<Challenge>| {
            assert_eq!(Challenge::read(header), expect, "{header}");
        };
        check("Basic realm=\"a\"", None);
        check("", None);
        check("Bearer", Some(Challenge::default()));
        check(
            "Bearer resource_metadata=\"https://m.example/.well-known/oauth-protected-resource\"",
            Some(Challenge {
                resource_metadata: some("https://m.example/.well-known/oauth-protected-resource"),
                ..Challenge::default()
            }),
        );
        check(
            "Basic realm=\"a, Bearer scope=\\\"x\\\"\", bEARER Error=invalid_token , scope = \"a b\"",
            Some(Challenge {
                error: some("invalid_token"),
                scope: some("a b"),
                ..Challenge::default()
            }),
        );
        check(
            "Bearer scope=\"a\", scope=\"b\", DPoP scope=\"c\", error=\"x\"",
            Some(Challenge { scope: some("a"), ..Challenge::default() }),
        );
        check(
            "Negotiate abc==, Bearer error=\"e\"",
            Some(Challenge { error: some("e"), ..Challenge::default() }),
        );
        check(
            "Bearer scope=\"open",
            Some(Challenge { scope: some("open"), ..Challenge::default() }),
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_quoted_text() {
        let written =
            Challenge { scope: some("a\", error=\"x\r\nSet-Cookie: é"), ..Challenge::default() };
        let text = written.to_string();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let read = Challenge::read(&text).unwrap();
        assert_eq!(read.error, None);
        assert_eq!(read.scope.unwrap(), "a\", error=\"xSet-Cookie: ");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            resource_metadata in proptest::option::of("[ -~]{0,40}"),
            scope in proptest::option::of("[ -~]{0,40}"),
            error in proptest::option::of("[ -~]{0,20}"),
            error_description in proptest::option::of("[ -~]{0,40}"),
        ) {
            let written = Challenge { resource_metadata, scope, error, error_description };
            prop_assert_eq!(Challenge::read(&written.to_string()), Some(written));
        }

        #[test]
        fn any_text_is_borne(text in "\\PC{0,200}") {
            drop(Challenge::read(&text));
        }
    }
}
