//! How much of an upstream's log a client wants.

use mcplex_proto::{
    edit,
    message::{Message, Request},
    method,
    modern::LOG_LEVELS,
};

/// The levels of syslog, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// All of them, in the order of their names.
const ALL: [Level; 8] = [
    Level::Debug,
    Level::Info,
    Level::Notice,
    Level::Warning,
    Level::Error,
    Level::Critical,
    Level::Alert,
    Level::Emergency,
];

impl Level {
    pub(crate) fn read(name: &str) -> Option<Self> {
        LOG_LEVELS.iter().zip(ALL).find_map(|(known, level)| (*known == name).then_some(level))
    }

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        LOG_LEVELS[self as usize]
    }

    /// The `logging/setLevel` that asks an upstream for it.
    pub(crate) fn request(self, id: u64) -> Message {
        let params = edit::object([("level", &*format!("\"{}\"", self.as_str()))]);
        Request::new(id, method::SET_LEVEL, Some(params)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_stand_in_the_same_order() {
        for (index, (name, level)) in LOG_LEVELS.into_iter().zip(ALL).enumerate() {
            assert_eq!(level as usize, index);
            assert_eq!(level.as_str(), name);
            assert_eq!(Level::read(name), Some(level));
        }
        assert_eq!(Level::read("loud"), None);
        assert!(Level::Debug < Level::Emergency);
    }
}
