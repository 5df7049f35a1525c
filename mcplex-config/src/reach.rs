//! How a server is reached: a program that is started, or an address.

use crate::{HttpTransport, Process, Reach, Remote, remote_auth::AuthWords};
use std::{collections::BTreeMap, path::PathBuf};
use url::Url;

/// What to write where neither is there.
pub(crate) const EITHER: &str = "write it like `command = \"npx\"` for a program that mcplex \
    starts, or like `url = \"https://mcp.example/mcp\"` for a server that runs elsewhere";

/// Headers that mcplex sets itself, or that belong to the connection and not to the request.
const OWN_HEADERS: [&str; 17] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is wrong, and where below the server's table.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) at: String,
    pub(crate) what: String,
    pub(crate) hint: String,
}

pub(crate) fn problem(at: impl Into<String>, what: &str, hint: impl Into<String>) -> Problem {
    Problem { at: at.into(), what: what.to_owned(), hint: hint.into() }
}

/// A program and an address in one table.
pub(crate) fn both() -> Problem {
    let what = "it has a `command` as well";
    problem(
        "url",
        what,
        "keep `command` for a program that mcplex starts, or `url` for a server that runs elsewhere",
    )
}

/// What may stand beside `command`.
#[derive(Debug)]
pub(crate) struct ProcessWords {
    pub(crate) args: Option<Vec<String>>,
    pub(crate) env: Option<BTreeMap<String, String>>,
    pub(crate) cwd: Option<PathBuf>,
}

impl ProcessWords {
    /// The program, if nothing of it is wrong.
    pub(crate) fn with(self, command: String, others: &RemoteWords) -> Result<Reach, Problem> {
        let RemoteWords { headers, transport, auth } = others;
        let others = [
            ("headers", headers.is_some()),
            ("transport", transport.is_some()),
            ("auth", auth.is_some()),
        ];
        for (key, is_there) in others {
            if is_there {
                let what = "it means nothing to a program that mcplex starts";
                return Err(problem(key, what, "remove it, or write `url` instead of `command`"));
            }
        }
        if command.trim().is_empty() || command.contains('\0') {
            let hint = "give the program that speaks MCP on its stdin and stdout";
            return Err(problem("command", "expected the name or path of a program", hint));
        }
        let Self { args, env, cwd } = self;
        let (args, env) = (args.unwrap_or_default(), env.unwrap_or_default());
        if args.iter().any(|text| text.contains('\0')) {
            return Err(problem("args", "a NUL cannot be passed to a program", "take it out"));
        }
        let bad = |(name, value): &(&String, &String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        if let Some((name, _)) = env.iter().find(bad) {
            let hint = "names have no `=`, and neither names nor values have a NUL";
            return Err(problem("env", &format!("{name:?} cannot be a variable"), hint));
        }
        Ok(Reach::Process(Process { command, args, env, cwd }))
    }
}

/// What may stand beside `url`.
#[derive(Debug)]
pub(crate) struct RemoteWords {
    pub(crate) headers: Option<BTreeMap<String, String>>,
    pub(crate) transport: Option<HttpTransport>,
    pub(crate) auth: Option<AuthWords>,
}

impl RemoteWords {
    /// The address, if nothing of it is wrong; one that is not used may hold `${NAME}`.
    pub(crate) fn with(
        self,
        url: String,
        process: &ProcessWords,
        enabled: bool,
    ) -> Result<Reach, Problem> {
        let ProcessWords { args, env, cwd } = process;
        let others = [("args", args.is_some()), ("env", env.is_some()), ("cwd", cwd.is_some())];
        for (key, is_there) in others {
            if is_there {
                let what = "it means nothing to a server that runs elsewhere";
                return Err(problem(key, what, "remove it, or write `command` instead of `url`"));
            }
        }
        let headers = self.headers.unwrap_or_default();
        if enabled {
            check_url(&url)?;
            headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
        }
        let auth = self.auth.map(|words| words.read(enabled)).transpose()?;
        if auth.is_some() && headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            let what = "there is an `auth` as well, which makes this header";
            return Err(problem("headers.Authorization", what, "keep one of the two"));
        }
        let transport = self.transport.unwrap_or_default();
        Ok(Reach::Http(Remote { url, headers, transport, auth }))
    }
}

/// The address itself is not repeated: its query may be a secret.
fn check_url(text: &str) -> Result<(), Problem> {
    let wrong = |what: &str| {
        let hint = "write it like `url = \"https://mcp.example/mcp\"`";
        problem("url", what, hint)
    };
    let url = Url::parse(text).map_err(|error| wrong(&format!("this is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("expected `http://` or `https://`, found `{}:`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "take them out, and give `headers` with an `Authorization`";
        return Err(problem("url", "a name and a password are not sent from a URL", hint));
    }
    Ok(())
}

/// Values are not repeated: they may be secrets.
fn check_header(name: &str, value: &str) -> Result<(), Problem> {
    let at = || format!("headers.{name}");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        let what = format!("{name:?} cannot be a header");
        return Err(problem("headers", &what, "names have letters, digits and `-`"));
    }
    let plain = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&plain.as_str()) || plain.starts_with("mcp-param-") {
        return Err(problem(at(), "this header is set by mcplex itself", "remove it"));
    }
    if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let what = "its value has a character that cannot be sent";
        return Err(problem(
            at(),
            what,
            "only visible ASCII characters and blanks can, in one line",
        ));
    }
    Ok(())
}
