//! What operators show when they come over a network.

use crate::store::private_file;
use std::{fmt, fmt::Write as _, fs, hint::black_box, io, path::Path};

/// The file with a token that was made here.
const FILE: &str = "admin-token";

/// As long as a key of AES-256: nobody finds it by trying.
const BYTES: usize = 32;

/// A secret that operators know.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl fmt::Debug for Token {
    /// Shows nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Token {
    /// One that somebody has chosen.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// A new one that nobody can guess.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a text takes everything");
        }
        Ok(Self(text.into()))
    }

    /// The one that is kept in a folder; made when there is none, or when others could have read or
    /// written it.
    ///
    /// # Errors
    /// When none can be made or kept.
    pub fn kept_in(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        if let Some(token) = read(&path) {
            return Ok(token);
        }
        let token = Self::random()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private_file().create_new(true).write(true).open(&path)?;
        io::Write::write_all(&mut file, token.0.as_bytes())?;
        Ok(token)
    }

    /// The token, for a link that only its owner gets to see.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an `Authorization` header shows it. How long that takes says nothing but whether
    /// the length is right.
    #[must_use]
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        const SCHEME: &[u8] = b"Bearer ";
        let Some((scheme, shown)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        let own = self.0.as_bytes();
        if !scheme.eq_ignore_ascii_case(SCHEME) || shown.len() != own.len() {
            return false;
        }
        // All bytes are looked at, wherever the first other one is.
        let other =
            own.iter().zip(shown).fold(0, |all, (own, shown)| black_box(all | (own ^ shown)));
        other == 0
    }
}

fn read(path: &Path) -> Option<Token> {
    let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let is_own = found.uid() == rustix::process::getuid().as_raw();
        if !is_own || found.permissions().mode() & 0o077 != 0 {
            return None;
        }
    }
    if found.len() != 2 * BYTES as u64 {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| Token(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_good() {
        let token = Token::new("0123456789abcdef");
        let check = |header: &str, expect| {
            assert_eq!(token.is_shown_by(header.as_bytes()), expect, "{header:?}");
        };
        check("Bearer 0123456789abcdef", true);
        check("bearer 0123456789abcdef", true);
        check("Bearer 0123456789abcdeX", false);
        check("Bearer X123456789abcdef", false);
        check("Bearer 0123456789abcde", false);
        check("Bearer 0123456789abcdef0", false);
        check("Bearer", false);
        check("Basic 0123456789abcdef", false);
        check("", false);
        assert_eq!(format!("{token:?}"), "Token(hidden)");
    }

    #[cfg(unix)]
    #[test]
    fn a_made_one_stays_and_is_read_by_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let first = Token::kept_in(dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::kept_in(dir.path()).unwrap(), first);
        // Who could have read it may know it.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let second = Token::kept_in(dir.path()).unwrap();
        assert_ne!(second, first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        assert_ne!(Token::kept_in(dir.path()).unwrap(), second);
    }
}
