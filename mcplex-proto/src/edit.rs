//! Changes a few members of a JSON object and leaves every other byte as it was.

use crate::{message::Key, raw::Raw};
use bytes::{BufMut as _, BytesMut};
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A member of an object: its name and its unread value.
pub type Member<'a> = (std::borrow::Cow<'a, str>, &'a RawValue);

/// An object with more members than this is not looked into; 65,536.
///
/// A list of its members takes several times the memory of its text. Real objects with names that
/// mean something to us have a few dozen.
const MAX_MEMBERS: usize = 65_536;

/// The members of an object in the order they stand; `None` when the value is no object, or one
/// with very many members.
#[must_use]
pub fn members(object: &str) -> Option<Vec<Member<'_>>> {
    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(MembersVisitor).ok()
}

/// The value of one member of an object.
#[must_use]
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(MemberVisitor { name }).ok().flatten()
}

/// The elements of an array in order; `None` when the value is no array.
#[must_use]
pub fn elements(array: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array).ok()
}

/// The elements of an array, if they are no more than `max`.
///
/// # Errors
/// When the text is no array, or has more elements: then `is_data` is true of the error.
pub fn elements_within(array: &[u8], max: usize) -> Result<Vec<&RawValue>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(array);
    let elements = reader.deserialize_seq(ElementsVisitor { max })?;
    reader.end()?;
    Ok(elements)
}

/// Collects changes to one JSON text and then makes them in one copy.
///
/// Every value handed in must come from the same text, read with [`members`] or [`elements`].
#[derive(Debug)]
pub struct Edit<'a> {
    text: &'a str,
    splices: Vec<Splice>,
}

#[derive(Debug)]
struct Splice {
    start: usize,
    end: usize,
    new: String,
}

impl<'a> Edit<'a> {
    /// Begins to change `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, splices: Vec::new() }
    }

    /// Puts `new`, which must be JSON, in the place of `value`.
    pub fn replace(&mut self, value: &RawValue, new: impl Into<String>) {
        let start = self.offset_of(value);
        self.splices.push(Splice { start, end: start + value.get().len(), new: new.into() });
    }

    /// Adds a member to `object`, which must not have it yet, in front of its other
    /// members; several go in the order of the calls.
    pub fn insert(&mut self, object: &str, name: &str, value: &str) {
        let start = offset(self.text, object) + 1;
        let name = serde_json::to_string(name).expect("a string is always JSON");
        let is_empty = object[1..].trim_start().starts_with('}');
        let is_first = !self.splices.iter().any(|old| old.start == start && old.end == start);
        let (before, after) = match (is_empty, is_first) {
            (false, _) => ("", ","),
            (true, true) => ("", ""),
            (true, false) => (",", ""),
        };
        let new = format!("{before}{name}:{value}{after}");
        self.splices.push(Splice { start, end: start, new });
    }

    /// Replaces the member, or adds it when the object does not have it.
    pub fn set(&mut self, object: &'a str, name: &str, value: &str) {
        match member(object, name) {
            Some(old) => self.replace(old, value),
            None => self.insert(object, name, value),
        }
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.splices.is_empty()
    }

    /// The changed text.
    #[must_use]
    pub fn finish(mut self) -> Raw {
        self.splices.sort_by_key(|splice| splice.start);
        let grown: usize = self.splices.iter().map(|splice| splice.new.len()).sum();
        let mut out = BytesMut::with_capacity(self.text.len() + grown);
        let mut at = 0;
        for splice in &self.splices {
            debug_assert!(at <= splice.start, "two changes of the same place");
            out.put_slice(&self.text.as_bytes()[at..splice.start]);
            out.put_slice(splice.new.as_bytes());
            at = splice.end;
        }
        out.put_slice(&self.text.as_bytes()[at..]);
        Raw::trusted(out.freeze())
    }

    fn offset_of(&self, value: &RawValue) -> usize {
        offset(self.text, value.get())
    }
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset(whole: &str, part: &str) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    assert!(at + part.len() <= whole.len(), "the value is not a part of this text");
    at
}

/// The object with the members `new` set; those it had keep their place.
///
/// Text that is no object is returned as it is.
#[must_use]
pub fn with_members(object: &Raw, new: &[(&str, &str)]) -> Raw {
    let text = object.as_str();
    if !text.starts_with('{') {
        return object.clone();
    }
    let mut edit = Edit::new(text);
    for (name, value) in new {
        edit.set(text, name, value);
    }
    edit.finish()
}

/// Joins JSON values to an array.
#[must_use]
pub fn array<'a>(elements: impl IntoIterator<Item = &'a str>) -> Raw {
    let mut out = BytesMut::new();
    out.put_u8(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(element.as_bytes());
    }
    out.put_u8(b']');
    Raw::trusted(out.freeze())
}

/// Joins names and JSON values to an object.
#[must_use]
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> Raw {
    let mut out = BytesMut::new();
    out.put_u8(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&serde_json::to_vec(name).expect("a string is always JSON"));
        out.put_u8(b':');
        out.put_slice(value.as_bytes());
    }
    out.put_u8(b'}');
    Raw::trusted(out.freeze())
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if members.len() >= MAX_MEMBERS {
                return Err(M::Error::custom("too many members"));
            }
            members.push((key.0, map.next_value()?));
        }
        Ok(members)
    }
}

/// Finds one member, without a list of the others; the first of several that have its name.
struct MemberVisitor<'a> {
    name: &'a str,
}

impl<'de> Visitor<'de> for MemberVisitor<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut found, mut count) = (None, 0);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            count += 1;
            if count > MAX_MEMBERS {
                return Err(M::Error::custom("too many members"));
            }
            if found.is_none() && key.0 == self.name {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct ElementsVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} elements", self.max)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() >= self.max {
                return Err(S::Error::invalid_length(elements.len() + 1, &self));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(object: &str, name: &str, value: &str) -> String {
        let raw = Raw::parse(object.to_owned()).unwrap();
        with_members(&raw, &[(name, value)]).as_str().to_owned()
    }

    #[test]
    fn one_member_changes_and_every_other_byte_stays() {
        let before = r#"{ "b" : 1.50, "name":"x", "a":[ 1E5 ] , "é":null}"#;
        assert_eq!(
            set(before, "name", "\"y\""),
            r#"{ "b" : 1.50, "name":"y", "a":[ 1E5 ] , "é":null}"#
        );
    }

    #[test]
    fn a_missing_member_is_added() {
        assert_eq!(set("{}", "a", "1"), r#"{"a":1}"#);
        assert_eq!(set("{ }", "a", "1"), r#"{"a":1 }"#);
        assert_eq!(set(r#"{"b":2}"#, "a", "1"), r#"{"a":1,"b":2}"#);
        assert_eq!(set("[1]", "a", "1"), "[1]");
    }

    #[test]
    fn several_changes_are_made_in_the_order_of_the_text() {
        let text = r#"{"a":1,"m":{"x":2},"z":3}"#;
        let mut edit = Edit::new(text);
        edit.replace(member(text, "z").unwrap(), "30");
        let inner = member(text, "m").unwrap().get();
        edit.insert(inner, "new", "\"n\"");
        edit.replace(member(text, "a").unwrap(), "10");
        assert_eq!(edit.finish().as_str(), r#"{"a":10,"m":{"new":"n","x":2},"z":30}"#);
    }

    #[test]
    fn several_new_members_keep_their_order() {
        let raw = Raw::parse(r#"{"c":3}"#).unwrap();
        let out = with_members(&raw, &[("a", "1"), ("b", "2")]);
        assert_eq!(out.as_str(), r#"{"a":1,"b":2,"c":3}"#);
        let out = with_members(&Raw::empty_object(), &[("a", "1"), ("b", "2")]);
        assert_eq!(out.as_str(), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn what_is_collected_is_bounded() {
        assert_eq!(elements_within(b"[1, [2]]", 2).unwrap()[1].get(), "[2]");
        assert!(elements_within(b"[1,2,3]", 2).unwrap_err().is_data());
        for text in ["[1,", "[1] x", "1"] {
            assert!(elements_within(text.as_bytes(), 2).is_err(), "{text}");
        }
        let object = |count| format!("{{{}\"z\":0}}", "\"a\":1,".repeat(count));
        assert_eq!(members(&object(MAX_MEMBERS - 1)).unwrap().len(), MAX_MEMBERS);
        assert!(members(&object(MAX_MEMBERS)).is_none());
    }

    #[test]
    fn escaped_names_are_found() {
        assert_eq!(member(r#"{"n\u0061me":7}"#, "name").unwrap().get(), "7");
    }
}
