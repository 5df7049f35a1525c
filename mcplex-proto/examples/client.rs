//! A client over pipes: `client [--legacy|--modern] TOOL COMMAND [ARGUMENT]...`.
//!
//! Starts the command, opens the conversation in whichever era the server speaks, calls the tool
//! with `{"text":"hello"}` and prints what it answers. All that is said goes through the state
//! machine of `handshake` and the messages of `message`; moving the bytes is left to `std`.

use bytes::Bytes;
use mcplex_proto::{
    edit,
    frame::{LineSplitter, MAX_LINE},
    handshake::{EraChoice, Handshake, Known, Opened, Opener, QUESTIONS, Step},
    message::{Message, Outcome, Request, Response},
    method, modern,
    raw::Raw,
    version::Era,
};
use std::{
    env,
    error::Error,
    io::{self, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const CLIENT: &str = r#"{"name":"example-client","version":"1"}"#;

/// The ids of what opens the conversation, and that of the call.
const OPENING: [u64; QUESTIONS] = [1, 2, 3, 4];
const CALL: u64 = 5;

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1).peekable();
    let choice = match words.next_if(|word| word.starts_with("--")).as_deref() {
        None => EraChoice::Auto,
        Some("--legacy") => EraChoice::Legacy,
        Some("--modern") => EraChoice::Modern,
        Some(other) => return Err(format!("there is no {other}").into()),
    };
    let tool = words.next().ok_or("name a tool")?;
    let program = words.next().ok_or("name a server")?;
    let mut server = Server::start(&program, words)?;
    let opened = server.open(choice)?;
    println!("it speaks {}", opened.server.version);
    match server.call(&tool, &opened)?.outcome {
        Outcome::Result(result) => println!("result: {result}"),
        Outcome::Error(error) => println!("error: {error}"),
    }
    server.end()
}

/// A child with its pipes.
struct Server {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    lines: LineSplitter,
}

impl Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "an example without a transport starts it itself"
    )]
    fn start(program: &str, args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("it has an input")?;
        let output = child.stdout.take().ok_or("it has an output")?;
        Ok(Self { child, input, output, lines: LineSplitter::new(MAX_LINE) })
    }

    fn say(&mut self, message: &Message) -> io::Result<()> {
        self.input.write_all(&message.to_bytes())?;
        self.input.write_all(b"\n")
    }

    /// The next message; lines that are none are passed over.
    fn hear(&mut self) -> Result<Message, Box<dyn Error>> {
        loop {
            if let Ok(message) = Message::parse(self.line()?) {
                return Ok(message);
            }
        }
    }

    fn line(&mut self) -> Result<Bytes, Box<dyn Error>> {
        let mut piece = [0; 8192];
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(line);
            }
            match self.output.read(&mut piece)? {
                0 => return Err("the server has ended".into()),
                count => self.lines.buffer().extend_from_slice(&piece[..count]),
            }
        }
    }

    /// A client that cannot wait for ever also tells the machine of too long a silence.
    fn open(&mut self, choice: EraChoice) -> Result<Opened, Box<dyn Error>> {
        let (capabilities, client) = (Raw::empty_object(), Raw::parse(CLIENT)?);
        let opener = Opener { choice, known: Known::Nothing, capabilities, client };
        let (mut handshake, first) = Handshake::begin(OPENING, opener);
        self.say(&first)?;
        loop {
            let heard = self.hear()?;
            match handshake.handle(heard)? {
                Step::Ask(message) | Step::Reply(message) => self.say(&message)?,
                Step::Other(_) => {}
                Step::Done(opened) => {
                    if let Some(initialized) = &opened.initialized {
                        self.say(initialized)?;
                    }
                    return Ok(*opened);
                }
            }
        }
    }

    fn call(&mut self, tool: &str, opened: &Opened) -> Result<Response, Box<dyn Error>> {
        let tool = Raw::of(tool);
        let arguments = ("arguments", r#"{"text":"hello"}"#);
        let mut params = edit::object([("name", tool.as_str()), arguments]);
        let version = opened.server.version;
        if version.era() == Era::Modern {
            // Each request says for itself what `initialize` says for a session.
            let meta = edit::object([
                (modern::PROTOCOL_VERSION, Raw::of(version.as_str()).as_str()),
                (modern::CLIENT_INFO, CLIENT),
                (modern::CLIENT_CAPABILITIES, "{}"),
            ]);
            params = edit::with_members(&params, &[("_meta", meta.as_str())]);
        }
        self.say(&Request::new(CALL, method::TOOLS_CALL, Some(params)).into())?;
        loop {
            if let Message::Response(response) = self.hear()?
                && response.id == Some(CALL.into())
            {
                return Ok(response);
            }
        }
    }

    /// The end of its input asks a server to end.
    fn end(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.input);
        self.child.wait()?;
        Ok(())
    }
}
