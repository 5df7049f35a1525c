//! The signature algorithms that are accepted.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
};
use std::fmt;

/// A signature algorithm; all of them have a public key that verifies and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA as of PKCS 1, SHA-256.
    Rs256,
    /// RSA as of PKCS 1, SHA-384.
    Rs384,
    /// RSA as of PKCS 1, SHA-512.
    Rs512,
    /// RSA as of PSS, SHA-256.
    Ps256,
    /// RSA as of PSS, SHA-384.
    Ps384,
    /// RSA as of PSS, SHA-512.
    Ps512,
    /// The curve P-256, SHA-256.
    Es256,
    /// The curve P-384, SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The one with this name in the registry.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        // The name that RFC 9864 gives it, because `EdDSA` says no curve.
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Its name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Rs256 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Family::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Family::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Family::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Family::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Family::Point(Curve::P256, &ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Family::Point(Curve::P384, &ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Family::Point(Curve::Ed25519, &ED25519),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a kind of key verifies with.
pub(crate) enum Family {
    Rsa(&'static RsaParameters),
    Point(Curve, &'static dyn VerificationAlgorithm),
}

/// The curves of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    Ed25519,
}

impl Curve {
    /// The length of one coordinate.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_asymmetric_algorithms_are_known() {
        for one in Algorithm::ALL {
            assert_eq!(Algorithm::named(one.name()), Some(*one));
        }
        assert_eq!(Algorithm::named("Ed25519"), Some(Algorithm::EdDsa));
        for name in
            ["none", "None", "NONE", "HS256", "HS384", "HS512", "rs256", "", "ES256K", "dir"]
        {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }
}
