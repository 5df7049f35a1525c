//! An object laid open to be changed; values that are not touched stay as they were written.

use mcplex_proto::{edit, raw::Raw};
use std::borrow::Cow;

pub(crate) struct Draft<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    is_changed: bool,
}

impl<'a> Draft<'a> {
    /// `None` when the text is no object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let members = edit::members(text)?;
        let members = members.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get())));
        Some(Self { members: members.collect(), is_changed: false })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, name: &str) {
        let before = self.members.len();
        self.members.retain(|(key, _)| key != name);
        self.is_changed |= self.members.len() != before;
    }

    /// Replaces a member where it stands, or puts it behind the others.
    pub(crate) fn set(&mut self, name: &'a str, value: impl Into<String>) {
        let value = Cow::Owned(value.into());
        self.is_changed = true;
        match self.members.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
    }

    /// Adds a member that is not there yet.
    pub(crate) fn add(&mut self, name: &'a str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Replaces a member by what a function makes of it, if that is something else.
    pub(crate) fn map(&mut self, name: &'a str, change: impl FnOnce(&str) -> Option<String>) {
        if let Some(new) = self.get(name).and_then(change) {
            self.set(name, new);
        }
    }

    /// The object; `None` when nothing was changed.
    pub(crate) fn finish(self) -> Option<Raw> {
        self.is_changed
            .then(|| edit::object(self.members.iter().map(|(name, value)| (&**name, &**value))))
    }

    /// The same as text.
    pub(crate) fn text(self) -> Option<String> {
        self.finish().map(|raw| raw.as_str().to_owned())
    }
}

/// An array with its elements changed; `None` when none was.
pub(crate) fn map_elements(
    array: &str,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    let elements = edit::elements(array)?;
    let new: Vec<_> = elements.iter().map(|element| change(element.get())).collect();
    if new.iter().all(Option::is_none) {
        return None;
    }
    let all =
        new.iter().zip(&elements).map(|(new, old)| new.as_deref().unwrap_or_else(|| old.get()));
    Some(edit::array(all).as_str().to_owned())
}
