//! A person with a browser, as far as a login needs one: redirects, cookies, and two forms.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};
use url::Url;

/// How many pages a login may have.
const PAGES_MAX: usize = 20;

/// Agrees to whatever is asked, as `ada`; gives the address that it is sent back to.
pub(crate) fn agree(begin: &Url, back: &Url) -> Url {
    let mut cookies = BTreeMap::new();
    let mut url = begin.clone();
    let mut form = None;
    for _ in 0..PAGES_MAX {
        let page = visit(&url, form.take(), &mut cookies);
        if let Some(to) = page.location {
            url = url.join(&to).expect("a redirect leads somewhere");
            if url.path() == back.path() && url.port() == back.port() {
                return url;
            }
            continue;
        }
        // A page with a form, which is sent to itself.
        let prompt = if page.body.contains("name=\"login\"") { "login" } else { "consent" };
        form = Some(format!("prompt={prompt}&login=ada&password=x"));
        let action = page.body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
        url = url.join(action.expect("a form")).expect("a form leads somewhere");
    }
    unreachable!("a login has no {PAGES_MAX} pages")
}

struct Page {
    location: Option<String>,
    body: String,
}

fn visit(url: &Url, form: Option<String>, cookies: &mut BTreeMap<String, String>) -> Page {
    let address = url.socket_addrs(|| None).expect("an address")[0];
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout above zero");
    let method = if form.is_some() { "POST" } else { "GET" };
    let form = form.unwrap_or_default();
    let jar: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        &url[url::Position::BeforePath..],
        jar.join("; "),
        form.len()
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let mut location = None;
    for line in head.lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "location" => location = Some(value.to_owned()),
            "set-cookie" => {
                let pair = value.split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').expect("a cookie has a name");
                cookies.insert(name.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    Page { location, body: body.to_owned() }
}
