//! What attributes of spans say.

use std::{borrow::Cow, sync::Arc};

use tracing::Span;

use crate::upstream::UpstreamName;

/// What an attribute says.
///
/// A field of `tracing` is borrowed, so whoever exports it copies each text. A request has two spans
/// with a dozen attributes each, and nearly all say what was known long before: a word of the
/// conventions, the name of an upstream. Those are handed on as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word of this program.
    Word(&'static str),
    /// A text that many spans have.
    Shared(Arc<str>),
    /// A text of this span alone.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// An attribute of a span: its name, and what it says if it is there.
pub type Attribute = (&'static str, Option<Value>);

impl Value {
    /// Writes it into a field of a span, for those who read spans without a bridge.
    pub(super) fn record(&self, span: &Span, name: &'static str) {
        match self {
            Self::Word(word) => span.record(name, *word),
            Self::Shared(text) => span.record(name, &**text),
            Self::Text(text) => span.record(name, &**text),
            Self::Number(number) => span.record(name, *number),
            Self::Flag(flag) => span.record(name, *flag),
        };
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(word) => Self::Word(word),
            Cow::Owned(text) => Self::Text(text),
        }
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Self::Shared(Arc::clone(text))
    }
}

impl From<&UpstreamName> for Value {
    fn from(name: &UpstreamName) -> Self {
        Self::Shared(name.shared())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    /// More than OpenTelemetry can say becomes the most that it can.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_copied() {
        let name = UpstreamName::new("files").unwrap();
        let Value::Shared(shared) = Value::from(&name) else { panic!("it is copied") };
        assert!(std::ptr::eq(&raw const *shared, name.as_str()));
        assert_eq!(Value::from(Cow::Borrowed("ping")), Value::Word("ping"));
        assert_eq!(Value::from(Cow::<str>::Owned("x/y".to_owned())), Value::Text("x/y".to_owned()));
    }

    #[test]
    fn a_number_that_is_too_large_is_the_largest() {
        assert_eq!(Value::from(u64::MAX), Value::Number(i64::MAX));
        assert_eq!(Value::from(7_u64), Value::Number(7));
    }
}
