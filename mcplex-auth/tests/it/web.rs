//! What is fetched, and what is not.

use crate::peer::{Peer, page, redirect};
use mcplex_auth::{
    Action, Answer, Fetch as _, FetchError, Request, Roots, Secret, Trust, Web, WebOptions,
    read_url,
};
use std::time::Duration;

fn web(change: impl FnOnce(&mut WebOptions)) -> Web {
    let mut options = WebOptions::default();
    change(&mut options);
    Web::new(options)
}

async fn get(web: &Web, url: &str) -> Result<Answer, FetchError> {
    let url = url.parse().expect("a URL");
    web.fetch(Request { url, trust: Trust::Configured, action: Action::Get }).await
}

#[tokio::test]
async fn a_document_is_fetched_by_name_and_by_address() {
    let peer = Peer::start(|request| {
        let host = request.headers()["host"].to_str().unwrap();
        Some(page(200, format!("{} {} {host}", request.method(), request.uri())))
    })
    .await;
    let web = web(|_| {});
    let port = peer.addr.port();
    for host in ["127.0.0.1", "localhost"] {
        let answer = get(&web, &format!("http://{host}:{port}/a%20b?c=d")).await.unwrap();
        assert_eq!(answer.body.0, format!("GET /a%20b?c=d {host}:{port}"));
    }
}

#[tokio::test]
async fn a_form_is_posted_with_its_header_and_never_sent_on() {
    let peer = Peer::start(|request| {
        let header = |name| request.headers()[name].to_str().unwrap();
        Some(match request.uri().path() {
            "/token" => {
                page(200, format!("{} {}", header("authorization"), header("content-type")))
            }
            _ => redirect("/token"),
        })
    })
    .await;
    let post = async |path: &str| {
        let url = format!("http://{}{path}", peer.addr).parse().unwrap();
        let form = Secret::new("a=b");
        let action = Action::Post { form, authorization: Some(Secret::new("Basic YTpi")) };
        let request = Request { url, trust: Trust::Configured, action };
        web(|_| {}).fetch(request).await.unwrap()
    };
    let answer = post("/token").await;
    assert_eq!(answer.body.0, "Basic YTpi application/x-www-form-urlencoded");
    assert_eq!(post("/elsewhere").await.status, 302);
}

#[tokio::test]
async fn redirects_stay_within_an_origin_and_end() {
    let other = Peer::start(|_| Some(page(200, "other"))).await;
    let to = format!("http://{}/", other.addr);
    let peer = Peer::start(move |request| {
        Some(match request.uri().path() {
            "/near" => redirect("/there"),
            "/far" => redirect(&to),
            "/file" => redirect("file:///etc/passwd"),
            "/loop" => redirect("/loop"),
            "/nowhere" => page(302, ""),
            path => page(200, path.to_owned()),
        })
    })
    .await;
    let web = web(|_| {});
    let at = |path: &str| format!("http://{}{path}", peer.addr);
    assert_eq!(get(&web, &at("/near")).await.unwrap().body.0, "/there");
    for path in ["/far", "/file", "/loop", "/nowhere"] {
        let error = get(&web, &at(path)).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{path}: {error}");
    }
}

#[tokio::test]
async fn an_answer_has_a_length_and_a_time() {
    let peer = Peer::start(|request| match request.uri().path() {
        "/never" => None,
        path => Some(page(200, vec![b'x'; path[1..].parse().unwrap()])),
    })
    .await;
    let web = web(|options| {
        options.max_body = 1000;
        options.timeout = Duration::from_millis(200);
    });
    let at = |path: &str| format!("http://{}{path}", peer.addr);
    assert_eq!(get(&web, &at("/1000")).await.unwrap().body.0.len(), 1000);
    let error = get(&web, &at("/1001")).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { limit: 1000, .. }), "{error}");
    let error = get(&web, &at("/never")).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn what_others_name_does_not_reach_this_machine() {
    let peer = Peer::start(|_| Some(page(200, "inside"))).await;
    let url = read_url(&format!("http://localhost:{}/", peer.addr.port())).unwrap();
    let fetch = async |web: Web, from: &str| {
        let trust = Trust::Learned { from: from.parse().unwrap() };
        web.fetch(Request { url: url.clone(), trust, action: Action::Get }).await
    };
    let error = fetch(web(|_| {}), "https://mcp.example/").await.unwrap_err();
    assert!(matches!(error, FetchError::Private { .. }), "{error}");
    fetch(web(|options| options.private_addresses = true), "https://mcp.example/").await.unwrap();
    fetch(web(|_| {}), "http://127.0.0.1:9/").await.unwrap();
}

#[tokio::test]
async fn insecure_urls_are_not_fetched() {
    for url in ["http://as.example/", "ftp://127.0.0.1/", "https://a:b@as.example/"] {
        let error = get(&web(|_| {}), url).await.unwrap_err();
        assert!(matches!(error, FetchError::Url { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn only_a_trusted_certificate_for_the_name_is_taken() {
    let (peer, pem) = Peer::start_tls("localhost", |_| Some(page(200, "secret"))).await;
    let (_, other) = Peer::start_tls("localhost", |_| None).await;
    let port = peer.addr.port();
    let trusting = |pem: &str| web(|options| options.roots = Roots::Pem(pem.as_bytes().to_vec()));
    let url = format!("https://localhost:{port}/");
    assert_eq!(get(&trusting(&pem), &url).await.unwrap().body.0, "secret");
    let error = get(&trusting(&other), &url).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    // The right certificate, for another name.
    let error = get(&trusting(&pem), &format!("https://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    // What the system trusts does not cover it.
    let error = get(&web(|_| {}), &url).await.unwrap_err();
    assert!(!matches!(error, FetchError::Timeout { .. }), "{error}");
}
