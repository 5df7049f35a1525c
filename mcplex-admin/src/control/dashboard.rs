//! The dashboard: one page that asks the API like everybody else.
//!
//! It is the same for all and says nothing by itself, so it needs no token; its script has the token
//! from the fragment of the link, which a browser sends to nobody. Nothing is loaded from elsewhere,
//! and nothing but its own script runs: both are bound to a number that is used once. What it does
//! is shown in a real browser by `cargo xtask dashboard`.

use super::{
    Problem,
    http::{Body, page_answer},
};
use hyper::{Response, StatusCode, header};
use std::fmt::Write as _;

const PAGE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/page.css");
const SCRIPT: &str = concat!(
    include_str!("dashboard/base.js"),
    include_str!("dashboard/cards.js"),
    include_str!("dashboard/events.js"),
    include_str!("dashboard/sheet.js"),
    include_str!("dashboard/page.js"),
);

/// Random bytes of the number; 128 bits, as the specification of CSP asks at least.
const NONCE: usize = 16;

/// The page, and what it may do.
pub(super) fn page() -> Result<Response<Body>, (StatusCode, Problem)> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes).map_err(|_| {
        let problem = Problem::new("no-random-bytes", "the system gives no random bytes");
        (StatusCode::INTERNAL_SERVER_ERROR, problem)
    })?;
    let mut nonce = String::with_capacity(2 * NONCE);
    for byte in bytes {
        write!(nonce, "{byte:02x}").expect("a text takes everything");
    }
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    let policy = header::HeaderValue::from_str(&policy).expect("it is ASCII");
    let page = PAGE.replace("{nonce}", &nonce).replace("{style}", STYLE);
    let mut response = page_answer(page.replace("{script}", SCRIPT));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_written_into_html() {
        for text in [PAGE, STYLE, SCRIPT] {
            assert!(!text.contains("http://") && !text.contains("https://"));
            // What upstreams say must stay text.
            for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"] {
                assert!(!text.contains(way), "{way}");
            }
        }
        // The script must not end its element by itself, nor look like a place for another text.
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("{nonce}"));
        assert!(
            !STYLE.contains("</style") && !STYLE.contains("{nonce}") && !STYLE.contains("{script}")
        );
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        // A style in an attribute would not be allowed.
        assert!(!PAGE.contains("style=\"") && !PAGE.contains("onclick="));
    }

    #[test]
    fn each_page_has_a_number_of_its_own() {
        let policy = || {
            let response = page().unwrap();
            response.headers()[header::CONTENT_SECURITY_POLICY].clone()
        };
        assert_ne!(policy(), policy());
    }
}
