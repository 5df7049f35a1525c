//! Whether somebody is logged in, and how that ends.

use super::{LoginSource, Shared};
use crate::{
    client::{error::AuthError, kept::Kept},
    metadata::Issuer,
    secret::Secret,
};

/// How it stands with a login.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nobody has logged in.
    Nobody,
    /// Somebody has, at this issuer, and has to do it again.
    Over(Issuer),
    /// Somebody has, and it holds as far as can be told.
    In(Box<Kept>),
}

impl LoginSource {
    /// How it stands with the login, without asking anybody.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn standing(&self) -> Result<Standing, AuthError> {
        let shared = &self.shared;
        let Some(kept) = shared.options.file.load().map_err(AuthError::store)? else {
            return Ok(Standing::Nobody);
        };
        let is_good = shared.credentials(&kept).is_ok() && kept.is_usable(shared.clock.unix());
        Ok(if is_good { Standing::In(Box::new(kept)) } else { Standing::Over(kept.issuer) })
    }

    /// Forgets the login and has the issuer do the same, if it can: whose it was, as far as the file
    /// can be read, and whether the issuer was told. `None` when nobody had logged in.
    ///
    /// # Errors
    /// When it is still there.
    pub async fn log_out(&self) -> Result<Option<(Option<Issuer>, bool)>, AuthError> {
        let shared = &self.shared;
        let _lock = shared.options.file.lock().await.map_err(AuthError::store)?;
        // A damaged one is removed like any other.
        let kept = shared.options.file.load().unwrap_or_default();
        let was_there = shared.options.file.remove().map_err(AuthError::store)?;
        match kept {
            Some(kept) => {
                let is_told = shared.tell(&kept).await.unwrap_or(false);
                Ok(Some((Some(kept.issuer), is_told)))
            }
            None => Ok(was_there.then_some((None, false))),
        }
    }
}

impl Shared {
    /// Has the issuer forget a login.
    async fn tell(&self, kept: &Kept) -> Result<bool, AuthError> {
        let credentials = self.credentials(kept)?;
        let found = self.server(kept, credentials.clone()).await?;
        let access = kept
            .access
            .as_ref()
            .and_then(|access| access.header.expose().strip_prefix("Bearer ").map(Secret::new));
        let refresh = kept.refresh.clone().map(|token| (token, "refresh_token"));
        // With a refresh token goes all that came of it.
        match refresh.or_else(|| access.map(|token| (token, "access_token"))) {
            Some((token, kind)) => self.asker.revoke(&found, &credentials, &token, kind).await,
            None => Ok(false),
        }
    }
}
