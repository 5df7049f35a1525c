//! Tokens that were found good, so that a signature is not checked anew with every request.

use crate::{resource::verdict::Grant, secret::Secret};
use ring::digest::{SHA256, digest};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How many tokens are remembered; each client has one at a time, and a gateway has hundreds.
const TOKENS_MAX: usize = 1024;

/// How long a token is believed without another look at its signature; 60 s. Its key may have been
/// withdrawn meanwhile.
const BELIEVED: Duration = Duration::from_secs(60);

/// A token by its hash, which says nothing of it.
pub(crate) type Digest = [u8; 32];

/// The tokens that were found good.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    tokens: Mutex<BTreeMap<Digest, One>>,
}

#[derive(Debug)]
struct One {
    grant: Arc<Grant>,
    since: Duration,
}

impl Seen {
    pub(crate) fn digest(token: &Secret) -> Digest {
        let hash = digest(&SHA256, token.expose().as_bytes());
        hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// What a token allows, if that is known.
    pub(crate) fn find(&self, token: &Digest, now: u64, uptime: Duration) -> Option<Arc<Grant>> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let one = tokens.get(token)?;
        one.is_good(now, uptime).then(|| Arc::clone(&one.grant))
    }

    /// Remembers one. When there are too many, all are forgotten: that costs one look each.
    pub(crate) fn keep(&self, token: Digest, grant: Arc<Grant>, uptime: Duration) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(token, One { grant, since: uptime });
    }
}

impl One {
    fn is_good(&self, now: u64, uptime: Duration) -> bool {
        now < self.grant.expires && uptime.saturating_sub(self.since) < BELIEVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::verdict::Principal;

    fn grant() -> Arc<Grant> {
        let principal = Principal::new("https://as.example", "ada", "c");
        Arc::new(Grant { principal, scopes: Vec::new(), expires: 1000 })
    }

    #[test]
    fn a_token_is_believed_for_a_while() {
        let seen = Seen::default();
        let digest = Seen::digest(&Secret::new("token"));
        let start = Duration::from_secs(5);
        seen.keep(digest, grant(), start);
        let check = |now: u64, uptime: Duration, expect: bool| {
            assert_eq!(seen.find(&digest, now, uptime).is_some(), expect);
        };
        check(999, start, true);
        check(1000, start, false);
        check(10, start + BELIEVED, false);
        assert_eq!(seen.find(&Seen::digest(&Secret::new("tokem")), 10, start), None);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let seen = Seen::default();
        for number in 0..3 * TOKENS_MAX {
            let digest = Seen::digest(&Secret::new(number.to_string()));
            seen.keep(digest, grant(), Duration::ZERO);
            assert!(seen.tokens.lock().unwrap().len() <= TOKENS_MAX);
        }
    }
}
