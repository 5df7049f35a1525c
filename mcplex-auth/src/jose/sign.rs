//! Private keys, with which a client shows an authorization server who it is (RFC 7523).

use crate::{
    jose::{algorithm::Algorithm, encode},
    secret::Secret,
};
use ring::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::Value;
use std::{fmt, sync::Arc};

/// A private key; its kind says the algorithm.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    id: Option<String>,
}

enum Pair {
    Ecdsa(Algorithm, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// The file of a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no private key of RSA, P-256, P-384 or Ed25519 in PEM (PKCS 8)")]
pub struct KeyFault;

impl SigningKey {
    /// Reads a key in PEM, as `openssl genpkey` writes it.
    ///
    /// `id` is the `kid` under which the authorization server knows its public half.
    ///
    /// # Errors
    /// When it is none, or one of another kind.
    pub fn from_pem(pem: &Secret, id: Option<String>) -> Result<Self, KeyFault> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes());
        let der = der.map_err(|_| KeyFault)?;
        let pair = Pair::read(der.secret_pkcs8_der()).ok_or(KeyFault)?;
        Ok(Self { pair: Arc::new(pair), id })
    }

    /// The algorithm of its signatures.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &*self.pair {
            Pair::Ecdsa(algorithm, _) => *algorithm,
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// Makes a token of these claims.
    pub(crate) fn sign(&self, claims: &Value) -> Result<Secret, Unspecified> {
        let mut header = serde_json::Map::new();
        header.insert("alg".to_owned(), self.algorithm().name().into());
        header.insert("typ".to_owned(), "JWT".into());
        if let Some(id) = &self.id {
            header.insert("kid".to_owned(), id.as_str().into());
        }
        let header = encode(Value::Object(header).to_string().as_bytes());
        let signed = format!("{header}.{}", encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(signed.as_bytes())?;
        Ok(Secret::new(format!("{signed}.{}", encode(&signature))))
    }
}

impl Pair {
    fn read(der: &[u8]) -> Option<Self> {
        let random = SystemRandom::new();
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der, &random).ok();
        if let Some(pair) = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Some(Self::Ecdsa(Algorithm::Es256, pair));
        }
        if let Some(pair) = ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Some(Self::Ecdsa(Algorithm::Es384, pair));
        }
        // `openssl` leaves out the public half, which can be computed.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Self::Ed25519(pair));
        }
        RsaKeyPair::from_pkcs8(der).ok().map(Self::Rsa)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(_, pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
