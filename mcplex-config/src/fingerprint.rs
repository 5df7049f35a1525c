//! One number for everything that makes two gateways the same to a client.

use crate::{Config, Process, Reach, Remote, Server};
use std::fmt::{self, Write as _};

/// A hash that is the same in every build, on every machine: FNV-1a with 64 bits.
///
/// It tells apart what differs by chance, not what somebody made to be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    /// The hash of nothing.
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.take(bytes);
        hash
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.take(text.as_bytes());
        Ok(())
    }
}

impl Config {
    /// What two gateways must have in common to stand in for each other: the upstreams with the
    /// values of their variables, how they are kept alive, and how they are shown.
    ///
    /// Where a gateway listens and what it logs makes no difference to a client.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Fingerprint::default();
        // Whoever attaches needs no token, so who does makes no difference here.
        let Self {
            gateway,
            auth: _,
            admin: _,
            router,
            telemetry: _,
            audit: _,
            history: _,
            host: _,
            supervise: _,
            servers,
        } = self;
        let written =
            write!(hash, "{}\n{:?}\n{router:?}\n", env!("CARGO_PKG_VERSION"), gateway.name);
        written.expect("a hash takes everything");
        for server in servers {
            let Server { name, reach, enabled, supervise, telemetry: _ } = server;
            let all = (name, enabled, supervise);
            writeln!(hash, "{all:?}").expect("a hash takes everything");
            reach.hash(&mut hash);
        }
        hash
    }
}

impl Server {
    /// What decides what a server lists: the program and all that it is started with, or the
    /// address and all that it is sent.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Fingerprint::default();
        self.reach.hash(&mut hash);
        hash
    }
}

impl Reach {
    fn hash(&self, hash: &mut Fingerprint) {
        // Not through its own `Debug`, which hides the values.
        let written = match self {
            Self::Process(Process { command, args, env, cwd }) => {
                write!(hash, "{:?}", (command, args, env, cwd))
            }
            Self::Http(Remote { url, headers, transport, auth }) => {
                // Who asks may decide what is listed; secrets are replaced without that.
                let auth = auth.as_ref().map(|it| {
                    (&it.issuer, &it.client_id, it.grant, &it.client_document, &it.scopes)
                });
                write!(hash, "{:?}", (url, headers, transport, auth))
            }
        };
        written.expect("a hash takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Format, Sources};

    fn fingerprint(text: &str, env: &[(&str, &str)]) -> Fingerprint {
        let document =
            Document::Text { name: "test".to_owned(), text: text.to_owned(), format: Format::Toml };
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources =
            Sources { document: Some(document), env: env.collect(), ..Sources::default() };
        Config::load(sources).unwrap().config.fingerprint()
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(Fingerprint::of(b"").to_string(), "cbf29ce484222325");
        assert_eq!(Fingerprint::of(b"a").to_string(), "af63dc4c8601ec8c");
        assert_eq!(Fingerprint::of(b"foobar").to_string(), "85944171f73967e8");
    }

    #[test]
    fn what_an_upstream_gets_makes_a_difference_and_where_we_listen_none() {
        let text = "[[servers]]\nname = \"a\"\ncommand = \"a\"\nenv = { KEY = \"${KEY}\" }\n";
        let one = fingerprint(text, &[("KEY", "1")]);
        assert_eq!(one, fingerprint(text, &[("KEY", "1"), ("OTHER", "x")]));
        assert_ne!(one, fingerprint(text, &[("KEY", "2")]));
        let elsewhere =
            format!("[gateway]\nlisten = \"127.0.0.1:1\"\n[telemetry]\nlog = \"debug\"\n{text}");
        assert_eq!(one, fingerprint(&elsewhere, &[("KEY", "1")]));
        let named = format!("[router]\nnaming = \"none\"\n{text}");
        assert_ne!(one, fingerprint(&named, &[("KEY", "1")]));
        let kept = format!("{text}[servers.supervise]\nmax_deaths = 1\n");
        assert_ne!(one, fingerprint(&kept, &[("KEY", "1")]));
        let away =
            "[[servers]]\nname = \"a\"\nurl = \"http://a?k=1\"\nheaders = { K = \"${KEY}\" }\n";
        let one = fingerprint(away, &[("KEY", "1")]);
        assert_ne!(one, fingerprint(away, &[("KEY", "2")]));
        assert_ne!(one, fingerprint(&away.replace("k=1", "k=2"), &[("KEY", "1")]));
    }
}
