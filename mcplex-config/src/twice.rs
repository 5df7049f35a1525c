//! Finds a key that one JSON object holds twice; parsers take the last and say nothing.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeSet, fmt};

/// The path of the first key that is written twice, such as `mcpServers.files`, if there is one.
#[derive(Debug)]
pub(crate) struct Twice(pub(crate) Option<String>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

/// Walks a whole document, as deep as the parser allows.
struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Twice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Twice, A::Error> {
        let mut keys = BTreeSet::new();
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let Twice(inner) = map.next_value()?;
            if found.is_some() {
                continue;
            }
            found = inner.map(|inner| format!("{key}.{inner}"));
            if keys.contains(&key) {
                found = Some(key);
            } else {
                keys.insert(key);
            }
        }
        Ok(Twice(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Twice, A::Error> {
        let mut found = None;
        let mut at = 0_usize;
        while let Some(Twice(inner)) = list.next_element()? {
            found = found.or_else(|| inner.map(|inner| format!("{at}.{inner}")));
            at += 1;
        }
        Ok(Twice(found))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Twice, E> {
        Ok(Twice(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Twice, E> {
        Ok(Twice(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Twice, E> {
        Ok(Twice(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Twice, E> {
        Ok(Twice(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Twice, E> {
        Ok(Twice(None))
    }

    fn visit_unit<E>(self) -> Result<Twice, E> {
        Ok(Twice(None))
    }
}
