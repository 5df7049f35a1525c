//! States that clients carry for us and cannot read anything into, change, or use for another's call.
//!
//! A stateless client sends back a `requestState` with the retry of a call. It is sealed with
//! HMAC-SHA-256 under a key that lives as long as this router, together with what it belongs to:
//! the principal, the method, and the parameters apart from what only a retry carries. Whoever
//! changes any of that holds a state of nothing. What is inside can be read; nothing in it is secret.

use crate::isolation::MemberKey;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mcplex_proto::{
    downstream::Principal,
    edit,
    raw::{self, Raw},
    upstream::UpstreamName,
};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, fmt};

/// What every state of ours begins with; the number is for a form to come.
const MARK: &str = "mcplex1.";

/// Members of a call's parameters that differ from one try to the next.
const ONLY_OF_A_TRY: [&str; 3] = ["_meta", "inputResponses", "requestState"];

/// The longest state of a client that is looked at, in bytes: 1 MiB, more than any upstream's.
const MAX_STATE: usize = 1024 * 1024;

/// Seals and opens states.
pub(crate) struct Seals(Hmac<Sha256>);

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals")
    }
}

/// What a state stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A call that is suspended here, by its number and the round it is in.
    Suspended { number: u64, round: u32 },
    /// A state of an upstream, as the JSON string it gave; it may go to no other.
    Bound { upstream: UpstreamName, state: Raw },
    /// A task of an upstream's member, by the id it gave it, as JSON.
    Task { upstream: UpstreamName, member: MemberKey, id: Raw },
}

/// What a state belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bond([u8; 32]);

impl Bond {
    /// Of a call on behalf of a principal: the same for every retry of it.
    pub(crate) fn of(principal: &Principal, method: &str, params: Option<&Raw>) -> Self {
        let said = params.map_or("{}", Raw::as_str);
        let kept = said_in_each(said).unwrap_or_else(|| vec![("".into(), said.to_owned())]);
        let whole = serde_json::to_string(&(format!("{principal:?}"), method, kept));
        let whole = whole.expect("strings are always JSON");
        Self(Sha256::digest(whole).into())
    }
}

/// What every retry of a call says as its first try did; `None` when the parameters are no object.
fn said_in_each(params: &str) -> Option<Vec<(Cow<'_, str>, String)>> {
    let mut members = edit::members(params)?;
    members.retain(|(name, _)| !ONLY_OF_A_TRY.contains(&&**name));
    members.sort_by(|(one, _), (two, _)| one.cmp(two));
    // Read as values, so that another order of members is the same call; a value that cannot be
    // held, such as a number that is too large, is what stands there.
    let plain = |value: &RawValue| match serde_json::from_str::<Value>(value.get()) {
        Ok(value) => value.to_string(),
        Err(_) => value.get().to_owned(),
    };
    Some(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

impl Seals {
    /// Seals that no other router can open.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Seals with a key that nobody knows.
    pub(crate) fn random() -> Self {
        Self::new(&random())
    }

    /// The state as the JSON string that a client is given.
    pub(crate) fn seal(&self, state: &State, bond: &Bond) -> Raw {
        let payload = URL_SAFE_NO_PAD.encode(write(state).bytes());
        let code = URL_SAFE_NO_PAD.encode(self.code(&payload, bond).finalize().into_bytes());
        Raw::of(&format!("{MARK}{payload}.{code}"))
    }

    /// What a client sent back; `None` when it is not a state of ours for this call.
    pub(crate) fn open(&self, text: &str, bond: &Bond) -> Option<State> {
        if text.len() > MAX_STATE {
            return None;
        }
        let (payload, code) = text.strip_prefix(MARK)?.split_once('.')?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        self.code(payload, bond).verify_slice(&code).ok()?;
        read(&Raw::parse(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?)
    }

    fn code(&self, payload: &str, bond: &Bond) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        code.update(&bond.0);
        code.update(payload.as_bytes());
        code
    }
}

/// Bytes that nobody can guess.
///
/// # Panics
/// When the operating system has no random numbers, without which no state of ours would be safe.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}

/// A name that is never given twice, in the form of a UUID of random bits.
pub(crate) fn mint_name() -> String {
    let mut bits = u128::from_be_bytes(random());
    // Version 4, variant of RFC 9562.
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(0x3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

fn write(state: &State) -> Raw {
    match state {
        State::Suspended { number, round } => {
            edit::object([("call", &*number.to_string()), ("round", &*round.to_string())])
        }
        State::Bound { upstream, state } => edit::object([
            ("upstream", Raw::of(upstream.as_str()).as_str()),
            ("state", state.as_str()),
        ]),
        State::Task { upstream, member, id } => edit::object([
            ("upstream", Raw::of(upstream.as_str()).as_str()),
            ("member", Raw::of(&place(*member)).as_str()),
            ("task", id.as_str()),
        ]),
    }
}

/// A member as two numbers: what kind it is of, and which of them.
fn place(member: MemberKey) -> (u8, u64) {
    match member {
        MemberKey::First => (0, 0),
        MemberKey::Pool(number) => (1, u64::try_from(number).unwrap_or(u64::MAX)),
        MemberKey::Session(number) => (2, number),
        MemberKey::Call(number) => (3, number),
    }
}

fn placed(place: (u8, u64)) -> Option<MemberKey> {
    match place {
        (0, _) => Some(MemberKey::First),
        (1, number) => Some(MemberKey::Pool(usize::try_from(number).ok()?)),
        (2, number) => Some(MemberKey::Session(number)),
        (3, number) => Some(MemberKey::Call(number)),
        _ => None,
    }
}

fn read(payload: &Raw) -> Option<State> {
    let members = edit::members(payload.as_str())?;
    let find = |name: &str| members.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
    if let Some(upstream) = find("upstream") {
        let upstream = UpstreamName::new(&raw::string(upstream)?).ok()?;
        if let (Some(member), Some(id)) = (find("member"), find("task")) {
            let member = placed(serde_json::from_str(member.get()).ok()?)?;
            return Some(State::Task { upstream, member, id: Raw::part(payload, id) });
        }
        return Some(State::Bound { upstream, state: Raw::part(payload, find("state")?) });
    }
    let (number, round) = (find("call")?.get().parse().ok()?, find("round")?.get().parse().ok()?);
    Some(State::Suspended { number, round })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(text: &str) -> Raw {
        Raw::parse(text.to_owned()).unwrap()
    }

    fn bond(text: &str) -> Bond {
        Bond::of(&Principal::Anybody, "tools/call", Some(&params(text)))
    }

    fn states() -> [State; 5] {
        let task = |member| State::Task {
            upstream: UpstreamName::new("mail").unwrap(),
            member,
            id: params(r#""t\u0062""#),
        };
        [
            State::Suspended { number: 7, round: 2 },
            State::Bound {
                upstream: UpstreamName::new("mail").unwrap(),
                state: params(r#""a\u0062 \" é""#),
            },
            task(MemberKey::First),
            task(MemberKey::Pool(2)),
            task(MemberKey::Session(u64::MAX)),
        ]
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let seals = Seals::new(&[1; 32]);
        let bond = bond(r#"{"name":"t"}"#);
        for state in states() {
            let text: String = seals.seal(&state, &bond).get().unwrap();
            assert_eq!(seals.open(&text, &bond), Some(state));
        }
    }

    #[test]
    fn it_belongs_to_one_call_of_one_principal_and_to_one_router() {
        let seals = Seals::new(&[1; 32]);
        let call = r#"{"name":"t","arguments":{"a":1,"b":2}}"#;
        let text: String = seals.seal(&states()[0], &bond(call)).get().unwrap();
        // What only a retry carries, and the order of members, make no other call.
        let retry = r#"{"_meta":{"x":1},"arguments":{"b":2,"a":1},"name":"t","requestState":"s","inputResponses":{}}"#;
        assert!(seals.open(&text, &bond(retry)).is_some());
        assert!(seals.open(&text, &bond(r#"{"name":"t","arguments":{"a":1}}"#)).is_none());
        let raw = params(call);
        for other in [
            Bond::of(&Principal::Pipe, "tools/call", Some(&raw)),
            Bond::of(&Principal::Known("anybody".into()), "tools/call", Some(&raw)),
            Bond::of(&Principal::Anybody, "prompts/get", Some(&raw)),
        ] {
            assert!(seals.open(&text, &other).is_none());
        }
        assert!(Seals::new(&[2; 32]).open(&text, &bond(call)).is_none());
    }

    #[test]
    fn a_minted_name_is_a_random_uuid() {
        let (one, two) = (mint_name(), mint_name());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }

    #[test]
    fn calls_that_no_number_can_hold_are_told_apart() {
        let call = |n: &str| bond(&format!(r#"{{"name":"t","arguments":{{"n":{n}}}}}"#));
        assert_ne!(call("1e400"), call("2e400"));
        assert_ne!(call("1e400"), bond("null"));
        assert_eq!(call("1e400"), call("1e400"));
        assert_ne!(bond("[1e400]"), bond("[2e400]"));
    }

    proptest! {
        #[test]
        fn one_changed_character_makes_it_nothing(at in 0usize..200, with in "[ -~]") {
            let seals = Seals::new(&[1; 32]);
            let bond = bond("{}");
            for state in states() {
                let text: String = seals.seal(&state, &bond).get().unwrap();
                let at = at % text.len();
                let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                if changed != text {
                    prop_assert_eq!(seals.open(&changed, &bond), None);
                }
            }
        }

        #[test]
        fn anything_else_is_nothing(text in ".{0,80}") {
            let seals = Seals::new(&[1; 32]);
            prop_assert_eq!(seals.open(&text, &bond("{}")), None);
            prop_assert_eq!(seals.open(&format!("{MARK}{text}"), &bond("{}")), None);
        }
    }
}
