//! Public keys, as authorization servers publish them (RFC 7517).

use crate::jose::{
    algorithm::{Algorithm, Curve, Family},
    decode,
};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// How many keys of a set are kept; providers have two to five, the old and the new.
const KEYS_MAX: usize = 64;

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a set; keys that cannot verify a signature for us are passed over.
    pub(crate) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Words {
            keys: Vec<Value>,
        }
        let words: Words = serde_json::from_slice(json)?;
        let keys = words.keys.into_iter().filter_map(Key::read).take(KEYS_MAX).collect();
        Ok(Self { keys })
    }

    /// The keys that may have made a signature, told by the name and the algorithm in its token.
    ///
    /// A token without a name of its key may be of any; there are few.
    pub(crate) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let is_named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        self.keys.iter().filter(is_named).filter(|key| key.fits(algorithm)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// One public key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Point { curve: Curve, bytes: Vec<u8> },
}

/// The members of a key that matter.
#[derive(Deserialize)]
struct Words {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn read(json: Value) -> Option<Self> {
        let words = Words::deserialize(json).ok()?;
        let verifies = words.key_ops.as_ref().is_none_or(|all| all.iter().any(|op| op == "verify"));
        if words.r#use.as_deref().is_some_and(|purpose| purpose != "sig") || !verifies {
            return None;
        }
        let algorithm = match &words.alg {
            None => None,
            // A key for an algorithm that we do not know is of no use.
            Some(name) => Some(Algorithm::named(name)?),
        };
        let material = Material::read(&words)?;
        Some(Self { id: words.kid, algorithm, material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm)
            && match (&self.material, algorithm.family()) {
                (Material::Rsa { .. }, Family::Rsa(_)) => true,
                (Material::Point { curve, .. }, Family::Point(wanted, _)) => *curve == wanted,
                (Material::Rsa { .. }, Family::Point(..))
                | (Material::Point { .. }, Family::Rsa(_)) => false,
            }
    }

    /// Whether this key has signed the message.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        match (&self.material, algorithm.family()) {
            (Material::Rsa { n, e }, Family::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::Point { bytes, .. }, Family::Point(_, verification)) => {
                UnparsedPublicKey::new(verification, bytes).verify(message, signature).is_ok()
            }
            (Material::Rsa { .. }, Family::Point(..))
            | (Material::Point { .. }, Family::Rsa(_)) => false,
        }
    }
}

impl Material {
    fn read(words: &Words) -> Option<Self> {
        let decoded = |field: &Option<String>| field.as_deref().and_then(decode);
        match (words.kty.as_str(), words.crv.as_deref()) {
            ("RSA", _) => {
                // Numbers have no leading zeros here; some publish them with one.
                let number = |field| {
                    let bytes = decoded(field)?;
                    let first = bytes.iter().position(|byte| *byte != 0)?;
                    Some(bytes[first..].to_vec())
                };
                Some(Self::Rsa { n: number(&words.n)?, e: number(&words.e)? })
            }
            ("EC", Some(name)) => {
                let curve = match name {
                    "P-256" => Curve::P256,
                    "P-384" => Curve::P384,
                    _ => return None,
                };
                let (x, y) = (decoded(&words.x)?, decoded(&words.y)?);
                if x.len() != curve.width() || y.len() != curve.width() {
                    return None;
                }
                // An uncompressed point, as SEC 1 writes it.
                Some(Self::Point { curve, bytes: [&[4][..], &x, &y].concat() })
            }
            ("OKP", Some("Ed25519")) => {
                let bytes = decoded(&words.x)?;
                let curve = Curve::Ed25519;
                (bytes.len() == curve.width()).then_some(Self::Point { curve, bytes })
            }
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(keys: &Value) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keys_that_verify_nothing_are_passed_over() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let check = |key: Value, expect: usize| {
            assert_eq!(set(&json!([key])).len(), expect, "{key}");
        };
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x}), 1);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig"}), 1);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc"}), 0);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["verify"]}), 1);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "key_ops": ["sign"]}), 0);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "HS256"}), 0);
        check(json!({"kty": "OKP", "crv": "X25519", "x": x}), 0);
        check(json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), 0);
        check(json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}), 0);
        check(json!({"kty": "oct", "k": "c2VjcmV0"}), 0);
        check(json!({"kty": "EC", "crv": "P-256", "x": x, "y": "AA"}), 0);
        check(json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x}), 0);
        check(json!({"kty": "RSA", "n": "AA", "e": "AQAB"}), 0);
        check(json!("no key"), 0);
        check(json!({"kty": "RSA"}), 0);
    }

    #[test]
    fn a_key_is_found_by_name_and_kind() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let set = set(&json!([
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "b", "alg": "EdDSA"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "c", "alg": "PS256"},
        ]));
        let check = |id, algorithm, expect| {
            assert_eq!(set.candidates(id, algorithm).len(), expect, "{id:?} {algorithm}");
        };
        check(Some("a"), Algorithm::EdDsa, 1);
        check(Some("a"), Algorithm::Rs256, 0);
        check(Some("z"), Algorithm::EdDsa, 0);
        check(None, Algorithm::EdDsa, 2);
        check(Some("c"), Algorithm::Ps256, 1);
        // The key says for which algorithm it is.
        check(Some("c"), Algorithm::Rs256, 0);
    }

    #[test]
    fn a_set_has_a_bound_and_a_shape() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let many = vec![json!({"kty": "OKP", "crv": "Ed25519", "x": x}); KEYS_MAX + 5];
        assert_eq!(set(&Value::from(many)).len(), KEYS_MAX);
        assert!(KeySet::read(b"{}").is_err());
        assert!(KeySet::read(b"[]").is_err());
    }
}
