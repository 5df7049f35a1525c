use super::*;
use proptest::prelude::*;

fn check(text: &str, expect: &str) {
    assert_eq!(redact(text), expect, "{text}");
}

#[test]
fn values_of_secret_names_are_taken_out() {
    check(r#"{"api_key":"abc","q":"x"}"#, r#"{"api_key":"[redacted]","q":"x"}"#);
    check(r#"{"apiKey": "a\"b", "q": 1}"#, r#"{"apiKey": "[redacted]", "q": 1}"#);
    check(r#"{"X-Api-Key":12345,"q":1}"#, r#"{"X-Api-Key":[redacted],"q":1}"#);
    check(r#"{"secrets":{"a":"}","b":[1]},"q":1}"#, r#"{"secrets":[redacted],"q":1}"#);
    check(r#"{"user_password":["a","b"]}"#, r#"{"user_password":[redacted]}"#);
    check("DB_PASSWORD=hunter2 HOST=db", "DB_PASSWORD=[redacted] HOST=db");
    check("export TOKEN='a b' X=1", "export TOKEN='[redacted]' X=1");
    check("GET /x?access_token=abc&y=1", "GET /x?access_token=[redacted]&y=1");
    check("client_secret => abc, next", "client_secret => [redacted], next");
    check("--api-key abc --verbose", "--api-key [redacted] --verbose");
    check("Authorization: Token a b c\nnext", "Authorization: [redacted]\nnext");
    check("Set-Cookie: a=b; Path=/\nnext", "Set-Cookie: [redacted]\nnext");
    check(r#"{"headers":{"cookie":"a=b; c=d"}}"#, r#"{"headers":{"cookie":"[redacted]"}}"#);
    check(r#""{\"token\":\"abc\",\"x\":1}""#, r#""{\"token\":\"[redacted]\",\"x\":1}""#);
    check(r#"{"privateKey":"-----BEGIN"#, r#"{"privateKey":"[redacted]"#);
    check("passphrase: äöü ß", "passphrase: [redacted] ß");
}

#[test]
fn a_cut_value_is_taken_out_to_its_end() {
    check(r#"{"token":"abcdef"#, r#"{"token":"[redacted]"#);
    check(r#"{"token":{"a":"b"#, r#"{"token":[redacted]"#);
    check(r#"{"q":"sk-ab"#, r#"{"q":"[redacted]"#);
    check(r#"{"h":"Bearer a1"#, r#"{"h":"Bearer [redacted]"#);
    check("postgres://me:pa", "postgres://me:[redacted]");
}

#[test]
fn secrets_are_known_by_their_shape() {
    for secret in [
        "sk-proj-abcdEFGH1234567890",
        "sk_live_51abcdefgh",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghij",
        "glpat-abcdefgh12345678",
        "xoxb-1234567890-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefgh",
        "npm_abcdefghijklmnopqrst12",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
    ] {
        check(&format!("a {secret} b"), "a [redacted] b");
        check(&format!(r#"{{"x":"{secret}"}}"#), r#"{"x":"[redacted]"}"#);
    }
    check(
        "authorization header was Bearer abcdef123456789",
        "authorization header was Bearer [redacted]",
    );
    check("Basic dXNlcjpwYXNzd29yZA== ok", "Basic [redacted] ok");
    check("https://me:p%40ss@example.com/a", "https://me:[redacted]@example.com/a");
    check("redis://:pw@h:1 x", "redis://:[redacted]@h:1 x");
    check(
        "key -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end",
        "key [redacted] end",
    );
    check("key -----BEGIN PRIVATE KEY-----\nMIIE", "key [redacted]");
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","_meta":{"progressToken":7}}}"#,
        r#"{"max_tokens":100,"usage":{"input_tokens":3,"output_tokens":4}}"#,
        "Error: no token",
        "Error: API_KEY is not set",
        "the token is missing",
        "bearer of good news",
        "no bearer token",
        "Bearer authentication is required",
        "starting in basic mode",
        "npm_config_update_notifier is set",
        "basic usage: run it",
        "http://localhost:8080/a",
        "sk-ip this line please",
        r#"{"token":null,"password":false}"#,
        "ünïcödé: ok — 1.5 €",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    ] {
        check(text, text);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_and_no_named_secret_survives(
        before in "[ -~äß]{0,20}",
        name in "(api[_-]?key|TOKEN|Password|client_secret)",
        secret in "[a-zA-Z0-9]{10,30}",
        cut in 0..200_usize,
    ) {
        let text = format!("{before} {{\"{name}\":\"{secret}\",\"n\":1}}");
        let mut cut = cut.min(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let whole = redact(&text);
        prop_assert!(!whole.contains(&secret), "{}", whole);
        let part = redact(&text[..cut]).into_owned();
        prop_assert!(!part.contains(&secret[..10]), "{}", part);
    }

    #[test]
    fn nothing_panics(text in "(\\PC|[\"'\\\\:={}\\[\\]]|token|Bearer |://|sk-|-----BEGIN PRIVATE KEY){0,30}") {
        let _text: Cow<'_, str> = redact(&text);
    }
}
