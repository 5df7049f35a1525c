//! Judges the tokens that clients send: mcplex as a resource server.

mod options;
pub use options::{Options, OptionsError};

mod verdict;
pub use verdict::{Grant, Invalid, Judged, Principal, Refusal, Verdict};

mod bearer;

mod claims;

mod keys;

mod seen;

#[cfg(test)]
mod tests;

use crate::{
    clock::Clock,
    fetch::Fetch,
    jose::{Algorithm, Compact},
    metadata::{self, ResourceMetadata},
    secret::Secret,
};
use bearer::Bearer;
use claims::{Claims, Policy};
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderValue},
};
use keys::{IssuerKeys, Limits};
use seen::Seen;
use serde::Deserialize;
use std::sync::Arc;
use url::Url;

/// Judges tokens for one resource.
///
/// Keys are fetched when the first token of an issuer comes, and again when they are old or a token
/// names one that is not known; [`Options`] bounds how often.
#[derive(Debug)]
pub struct ResourceServer {
    options: Options,
    policy: Policy,
    metadata: Url,
    document: String,
    paths: Vec<String>,
    issuers: Vec<IssuerKeys>,
    seen: Seen,
    clock: Arc<dyn Clock>,
}

impl ResourceServer {
    /// Judges by these rules.
    ///
    /// # Errors
    /// When the rules would let nobody in, or anybody.
    pub fn new(
        options: Options,
        fetch: &Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OptionsError> {
        let resource = options.check()?;
        let document = ResourceMetadata {
            resource: options.resource.clone(),
            authorization_servers: options.issuers.iter().map(ToString::to_string).collect(),
            scopes_supported: options.scopes.clone(),
            bearer_methods_supported: vec!["header".to_owned()],
            resource_name: options.name.clone(),
        };
        let limits = Limits { age: options.keys_age, pause: options.keys_pause };
        let issuers = options.issuers.iter();
        Ok(Self {
            policy: Policy::new(&options, resource.clone()),
            metadata: metadata::resource_well_known(&resource).swap_remove(0),
            paths: metadata::resource_paths(&resource),
            document: serde_json::to_string(&document).expect("strings are JSON"),
            issuers: issuers
                .map(|issuer| {
                    IssuerKeys::new(issuer.clone(), limits, Arc::clone(fetch), Arc::clone(&clock))
                })
                .collect(),
            seen: Seen::default(),
            options,
            clock,
        })
    }

    /// Judges a request by its header `Authorization`.
    ///
    /// A token is looked for nowhere else: what stands in a URL ends up in logs and histories.
    pub fn judge<'a>(
        &'a self,
        headers: &HeaderMap,
    ) -> impl Future<Output = Verdict> + Send + use<'a> {
        let values = headers.get_all(AUTHORIZATION).iter();
        let judged = self.decide(Bearer::read(values.map(HeaderValue::as_bytes)));
        async { judged.await.verdict }
    }

    /// Judges a request by the one value of that header, for callers that have refused two, and
    /// says whose token it is.
    pub fn judge_value<'a>(
        &'a self,
        authorization: Option<&[u8]>,
    ) -> impl Future<Output = Judged> + Send + use<'a> {
        self.decide(Bearer::read(authorization))
    }

    async fn decide(&self, bearer: Bearer) -> Judged {
        let judged = match bearer {
            Bearer::None => Verdict::Missing.into(),
            Bearer::Malformed => Verdict::Invalid(Invalid::Header).into(),
            Bearer::Token(token) => self.judge_token(&token).await,
        };
        match &judged.verdict {
            Verdict::Granted(_) | Verdict::Missing => {}
            Verdict::Invalid(why) => tracing::debug!(%why, "a token was refused"),
            Verdict::InsufficientScope { .. } => {
                tracing::debug!("a token was refused: it allows too little");
            }
            Verdict::Unavailable => {}
        }
        judged
    }

    async fn judge_token(&self, token: &Secret) -> Judged {
        let now = self.clock.unix();
        let digest = Seen::digest(token);
        if let Some(grant) = self.seen.find(&digest, now, self.clock.uptime()) {
            return self.weigh(grant);
        }
        let grant = match self.verify(token, now).await {
            Ok(grant) => Arc::new(grant),
            Err(Unverified::Invalid(why)) => return Verdict::Invalid(why).into(),
            Err(Unverified::Unfit(why, principal)) => {
                return Judged { verdict: Verdict::Invalid(why), principal };
            }
            Err(Unverified::NoKeys) => return Verdict::Unavailable.into(),
        };
        self.seen.keep(digest, Arc::clone(&grant), self.clock.uptime());
        self.weigh(grant)
    }

    /// Whether a sound token allows enough.
    fn weigh(&self, grant: Arc<Grant>) -> Judged {
        let principal = Some(grant.principal.clone());
        let verdict = match grant.allows(&self.options.scopes) {
            true => Verdict::Granted(grant),
            false => Verdict::InsufficientScope { needed: self.options.scopes.clone() },
        };
        Judged { verdict, principal }
    }

    async fn verify(&self, token: &Secret, now: u64) -> Result<Grant, Unverified> {
        let compact = Compact::read(token.expose()).ok_or(Invalid::Malformed)?;
        let algorithm = Algorithm::named(&compact.header.alg).ok_or(Invalid::Algorithm)?;
        if !self.options.algorithms.contains(&algorithm) {
            return Err(Invalid::Algorithm.into());
        }
        if !is_access_token(compact.header.typ.as_deref()) {
            return Err(Invalid::Type.into());
        }
        // Says only whose keys to try; nothing of it is believed before its signature is.
        let issuer = issuer_of(&compact.payload).ok_or(Invalid::Malformed)?;
        let keys = self.issuers.iter().find(|keys| keys.issuer().as_str() == issuer);
        let keys = keys.ok_or(Invalid::Issuer)?;
        let id = compact.header.kid.as_deref();
        let set = keys.find(id, algorithm).await.map_err(|_| Unverified::NoKeys)?;
        let candidates = set.candidates(id, algorithm);
        if candidates.is_empty() {
            return Err(Invalid::UnknownKey.into());
        }
        let message = compact.signed.as_bytes();
        if !candidates.iter().any(|key| key.verifies(algorithm, message, &compact.signature)) {
            return Err(Invalid::Signature.into());
        }
        let claims: Claims =
            serde_json::from_slice(&compact.payload).map_err(|_| Invalid::Malformed)?;
        // Its issuer says whose it is, also where it is too old or meant for somebody else.
        let principal = claims.principal();
        self.policy.judge(claims, now).map_err(|why| Unverified::Unfit(why, principal))
    }

    /// What a request with this verdict may do.
    ///
    /// # Errors
    /// How it is refused, when it may do nothing.
    pub fn answer(&self, verdict: &Verdict) -> Result<Arc<Grant>, Refusal> {
        Refusal::of(verdict, &self.metadata, &self.options.scopes)
    }

    /// The paths at which [`Self::document`] is served, to anybody who asks.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// What the resource says of itself, as JSON (RFC 9728).
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }
}

enum Unverified {
    Invalid(Invalid),
    /// Its signature is good.
    Unfit(Invalid, Option<Principal>),
    NoKeys,
}

impl From<Invalid> for Unverified {
    fn from(why: Invalid) -> Self {
        Self::Invalid(why)
    }
}

/// Whether a token may be one for access, by the type it gives itself.
///
/// Tokens for access should be `at+jwt` (RFC 9068), but many servers write `JWT` or nothing. Other
/// types are signed with the same keys and mean something else.
fn is_access_token(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| {
        ["at+jwt", "application/at+jwt", "JWT"].iter().any(|own| own.eq_ignore_ascii_case(kind))
    })
}

fn issuer_of(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Words {
        iss: String,
    }
    serde_json::from_slice(payload).ok().map(|words: Words| words.iss)
}
