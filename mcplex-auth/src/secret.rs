//! Text that nobody may see.

use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A token, a password or a key: its text is left out of `Debug` and wiped when it is dropped.
///
/// There is no `Display`, no comparison and no way into serde: what wants the text says
/// [`expose`](Self::expose), which is easy to search for.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself, for a wire or a file that only its owner reads.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(secret.clone())), "[secret] Some([secret])");
        assert_eq!(secret.expose(), "hunter2");
    }
}
