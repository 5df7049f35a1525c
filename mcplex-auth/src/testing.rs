//! What the tests of this crate share: a made-up web, a made-up clock, and issuers with real keys.

use crate::{
    clock::Clock,
    fetch::{Action, Answer, Body, Fetch, FetchError, Request},
    jose::{Algorithm, encode},
};
use async_trait::async_trait;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A key of tests; it guards nothing.
pub(crate) const RSA_PEM: &str = include_str!("testing/rsa.pem");

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct ManualClock {
    now: Mutex<Duration>,
}

/// What it shows at first.
pub(crate) const START: u64 = 1_800_000_000;

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(Duration::from_secs(1000)) })
    }

    pub(crate) fn advance(&self, seconds: u64) {
        *self.now.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for ManualClock {
    fn unix(&self) -> u64 {
        START + self.uptime().as_secs() - 1000
    }

    fn uptime(&self) -> Duration {
        *self.now.lock().unwrap()
    }
}

/// A web of made-up answers that remembers what it was asked.
#[derive(Default)]
pub(crate) struct FakeWeb {
    pages: Mutex<BTreeMap<String, VecDeque<(u16, String)>>>,
    asked: Mutex<Vec<Request>>,
}

impl FakeWeb {
    /// What is answered at a URL from now on.
    pub(crate) fn put(&self, url: &str, status: u16, body: &Value) {
        self.put_all(url, vec![(status, body.clone())]);
    }

    /// What is answered one after the other; the last one stays.
    pub(crate) fn put_all(&self, url: &str, answers: Vec<(u16, Value)>) {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_string()));
        self.pages.lock().unwrap().insert(url.to_owned(), answers.collect());
    }

    /// The URLs that were asked since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.url.to_string()).collect()
    }

    /// The requests since the last look.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The forms that were posted since the last look.
    pub(crate) fn forms(&self) -> Vec<(BTreeMap<String, String>, Option<String>)> {
        let posts = self.requests().into_iter().filter_map(|request| match request.action {
            Action::Get | Action::Register { .. } | Action::Knock { .. } => None,
            Action::Post { form, authorization } => {
                let form = url::form_urlencoded::parse(form.expose().as_bytes());
                let form = form.into_owned().collect();
                Some((form, authorization.map(|secret| secret.expose().to_owned())))
            }
        });
        posts.collect()
    }
}

impl fmt::Debug for FakeWeb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeWeb")
    }
}

#[async_trait]
impl Fetch for FakeWeb {
    async fn fetch(&self, request: Request) -> Result<Answer, FetchError> {
        let url = request.url.to_string();
        self.asked.lock().unwrap().push(request);
        // Others get their turn, as with a real one.
        tokio::task::yield_now().await;
        let mut pages = self.pages.lock().unwrap();
        let (status, body) = match pages.get_mut(&url) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers.front().unwrap().clone(),
            None => (404, String::new()),
        };
        Ok(Answer { status, challenge: None, body: Body(body.into()) })
    }
}

/// A key pair that signs tokens.
pub(crate) enum Pair {
    Ecdsa(Algorithm, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Algorithm, RsaKeyPair),
}

impl Pair {
    /// A new one; those of RSA are always the same, because making one takes long.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let ecdsa = |kind| {
            let der = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            Self::Ecdsa(algorithm, EcdsaKeyPair::from_pkcs8(kind, der.as_ref(), &random).unwrap())
        };
        match algorithm {
            Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => {
                let der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Self::Ed25519(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let der = PrivatePkcs8KeyDer::from_pem_slice(RSA_PEM.as_bytes()).unwrap();
                Self::Rsa(algorithm, RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap())
            }
            Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps384 | Algorithm::Ps512 => {
                panic!("no test signs with {algorithm}")
            }
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ecdsa(algorithm, _) | Self::Rsa(algorithm, _) => *algorithm,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The public half, as a key set names it.
    pub(crate) fn public(&self, id: &str) -> Value {
        let mut key = match self {
            Self::Ecdsa(algorithm, pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if *algorithm == Algorithm::Es256 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
            Self::Rsa(_, pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().name().into();
        key
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(algorithm, pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let encoding: &'static dyn ring::signature::RsaEncoding =
                    if *algorithm == Algorithm::Rs256 {
                        &RSA_PKCS1_SHA256
                    } else {
                        &RSA_PSS_SHA256
                    };
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token with these claims; `header` replaces members of its header, and `null` takes
    /// them out.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let mut all = json!({"alg": self.algorithm().name(), "typ": "at+jwt"});
        for (name, value) in header.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let signed = part(&all) + "." + &part(claims);
        let signature = encode(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// A token that is signed with a password that everybody knows.
pub(crate) fn hs256(password: &[u8], header: &Value, claims: &Value) -> String {
    let signed = part(header) + "." + &part(claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, password);
    let signature = encode(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

/// One part of a token.
pub(crate) fn part(json: &Value) -> String {
    encode(json.to_string().as_bytes())
}
