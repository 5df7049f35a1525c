//! A proxy over pipes that gives a tool another name: `proxy NAME AS COMMAND [ARGUMENT]...`.
//!
//! Stands between a client on stdin and stdout and the server that it starts. The tool `NAME` is
//! `AS` in lists and in calls; every other byte of every message, of any revision, stays as it was
//! written, because a name is changed by a splice.

use bytes::Bytes;
use mcplex_proto::{
    edit::{self, Edit},
    frame::{LineSplitter, MAX_LINE},
    id::Id,
    message::{Message, Outcome},
    method,
    raw::{self, Raw},
};
use std::{
    collections::BTreeSet,
    env,
    error::Error,
    io::{self, Read, Write},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

/// Lists that a client waits for at once; one more goes through unread.
const MAX_OPEN: usize = 1000;

#[expect(clippy::disallowed_methods, reason = "an example without a transport starts it itself")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let (name, shown, program) = (word("NAME")?, word("AS")?, word("COMMAND")?);
    let mut command = Command::new(program);
    let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let to_server = child.stdin.take().ok_or("it has an input")?;
    let from_server = child.stdout.take().ok_or("it has an output")?;
    let renamer = Renamer { name, shown, lists: Mutex::default() };
    thread::scope(|scope| {
        // The end of what the client says ends the server's input, which is dropped with it.
        scope.spawn(|| pass(io::stdin(), to_server, |line| renamer.request(line)));
        pass(from_server, io::stdout(), |line| renamer.answer(line))
    })?;
    child.wait()?;
    Ok(())
}

/// Copies lines, each changed on its way.
fn pass(
    mut from: impl Read,
    mut to: impl Write,
    change: impl Fn(&Bytes) -> Option<Bytes>,
) -> io::Result<()> {
    let mut lines = LineSplitter::new(MAX_LINE);
    let mut piece = [0; 8192];
    loop {
        while let Some(line) = lines.next_line().map_err(io::Error::other)? {
            to.write_all(&change(&line).unwrap_or(line))?;
            to.write_all(b"\n")?;
            to.flush()?;
        }
        match from.read(&mut piece)? {
            0 => return Ok(()),
            count => lines.buffer().extend_from_slice(&piece[..count]),
        }
    }
}

struct Renamer {
    name: String,
    shown: String,
    /// The lists of tools that are asked for.
    lists: Mutex<BTreeSet<Id>>,
}

impl Renamer {
    /// What the client says, for the server; `None` when it stays as it is.
    fn request(&self, line: &Bytes) -> Option<Bytes> {
        let Ok(Message::Request(mut request)) = Message::parse(line.clone()) else { return None };
        if request.method == method::TOOLS_LIST {
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            if lists.len() < MAX_OPEN {
                lists.insert(request.id);
            }
            return None;
        }
        if request.method != method::TOOLS_CALL {
            return None;
        }
        let params = request.params.take()?;
        let name = edit::member(params.as_str(), "name").and_then(raw::string)?;
        if name != self.shown {
            return None;
        }
        let name = Raw::of(&self.name);
        request.params = Some(edit::with_members(&params, &[("name", name.as_str())]));
        Some(Message::from(request).to_bytes())
    }

    /// What the server says, for the client.
    fn answer(&self, line: &Bytes) -> Option<Bytes> {
        let Ok(Message::Response(mut response)) = Message::parse(line.clone()) else { return None };
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if !lists.remove(response.id.as_ref()?) {
            return None;
        }
        let Outcome::Result(result) = &response.outcome else { return None };
        let mut edit = Edit::new(result.as_str());
        let tools = edit::member(result.as_str(), "tools")?;
        for tool in edit::elements(tools.get())? {
            let name = edit::member(tool.get(), "name")?;
            if raw::string(name).as_deref() == Some(&*self.name) {
                edit.replace(name, Raw::of(&self.shown).as_str());
            }
        }
        response.outcome = Outcome::Result(edit.finish());
        Some(Message::from(response).to_bytes())
    }
}
