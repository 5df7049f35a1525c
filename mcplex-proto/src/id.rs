//! Request ids that keep `1` and `"1"` apart.

use serde_json::value::RawValue;
use std::fmt;

/// The id of a request: an integer or a string, as the sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// An integer; wide enough for every id seen in the wild.
    Integer(i128),
    /// A string.
    Text(Box<str>),
}

impl Id {
    /// Reads an id; `null`, fractions, and everything else is refused, as every schema does.
    #[must_use]
    pub fn read(value: &RawValue) -> Option<Self> {
        let text = value.get();
        if text.starts_with('"') {
            return serde_json::from_str::<String>(text).ok().map(|text| Self::Text(text.into()));
        }
        text.parse().ok().map(Self::Integer)
    }

    /// The id as a `u64`, when it is one that we could have minted.
    ///
    /// Some servers give a number back as a string, and the official SDKs take that; we mint no
    /// strings that are numbers, so it can mean nothing else.
    #[must_use]
    pub fn minted(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => {
                let number = text.parse().ok()?;
                // `+7` and `007` are numbers to the parser, and nobody's way to write one.
                (u64::to_string(&number) == **text).then_some(number)
            }
        }
    }

    /// The id as other programs write it down: a string without the quotes of JSON.
    #[must_use]
    pub fn bare(&self) -> impl fmt::Display + '_ {
        Bare(self)
    }

    /// Whether a peer that gives back `self` means `asked`, an id of ours.
    #[must_use]
    pub fn is_back(&self, asked: &Self) -> bool {
        self == asked || (asked.minted().is_some() && self.minted() == asked.minted())
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

struct Bare<'a>(&'a Id);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Id::Integer(number) => number.fmt(f),
            Id::Text(text) => f.write_str(text),
        }
    }
}

/// JSON text: `92` and `"92"` differ.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => {
                f.write_str(&serde_json::to_string(text).expect("a string is always JSON"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_strings_are_ids_and_nothing_else_is() {
        let check = |text: &str, expect: Option<&str>| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(Id::read(&raw).map(|id| id.to_string()).as_deref(), expect, "{text}");
        };
        check("1", Some("1"));
        check("-7", Some("-7"));
        check("9007199254740993", Some("9007199254740993"));
        check(r#""1""#, Some(r#""1""#));
        check(r#""a\"b""#, Some(r#""a\"b""#));
        check("1.5", None);
        check("1e3", None);
        check("null", None);
        check("true", None);
        check("[1]", None);
    }

    #[test]
    fn others_write_an_id_without_quotes() {
        assert_eq!(Id::from(7).bare().to_string(), "7");
        assert_eq!(Id::Text("req \"7\"".into()).bare().to_string(), "req \"7\"");
    }

    #[test]
    fn a_number_that_comes_back_as_a_string_is_known_again() {
        let text = |text: &str| Id::Text(text.into());
        let check = |id: Id, expect: Option<u64>| assert_eq!(id.minted(), expect, "{id}");
        check(7.into(), Some(7));
        check(text("7"), Some(7));
        check(text("0"), Some(0));
        check(text("+7"), None);
        check(text("007"), None);
        check(text(" 7"), None);
        check(text(""), None);
        check(Id::Integer(-7), None);
        assert!(text("7").is_back(&7.into()) && text("a").is_back(&text("a")));
        assert!(!text("7").is_back(&8.into()) && !text("a").is_back(&text("b")));
    }
}
