//! The fastest honest MCP server over stdio: what a gateway costs is measured against it.
//!
//! One thread, blocking reads, one write for all answers to what one read brought. It reads
//! every message as JSON and copies the `text` argument into the answer as it stands.
//!
//! Usage: `echo-server [--init-delay MS] [--tools N]`. It ends when its input ends.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    env,
    io::{self, Read as _, Write as _},
    process::ExitCode,
    thread,
    time::Duration,
};

/// A line longer than this ends the server; a call of the benches has 1 MiB.
const LINE_MAX: usize = 64 << 20;
/// How much one read may bring.
const READ_MAX: usize = 256 << 10;
/// Answers are written once so many bytes are gathered, however much input waits.
const GATHER_MAX: usize = 256 << 10;
/// More tools than any list of a bench has.
const TOOLS_MAX: usize = 10_000;

fn main() -> ExitCode {
    let outcome = options(env::args().skip(1)).and_then(|options| serve(&options));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is gone as well.
            drop(writeln!(io::stderr(), "echo-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// How long the answer to `initialize` takes.
    init_delay: Duration,
    /// How many tools are listed; all of them echo.
    tools: usize,
}

fn options(mut arguments: impl Iterator<Item = String>) -> io::Result<Options> {
    let mut options = Options { init_delay: Duration::ZERO, tools: 1 };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u32>().ok());
        match (flag.as_str(), value) {
            ("--init-delay", Some(ms)) => options.init_delay = Duration::from_millis(ms.into()),
            ("--tools", Some(tools)) => options.tools = (tools as usize).clamp(1, TOOLS_MAX),
            _ => return Err(io::Error::other("usage: echo-server [--init-delay MS] [--tools N]")),
        }
    }
    Ok(options)
}

fn serve(options: &Options) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut buffer = vec![0; READ_MAX];
    // `buffer[..filled]` is read; `buffer[..searched]` is known to hold no line end.
    let (mut filled, mut searched) = (0, 0);
    let mut answers = Vec::new();
    loop {
        if filled == buffer.len() {
            if filled >= LINE_MAX {
                return Err(io::Error::other("a line is longer than 64 MiB"));
            }
            buffer.resize(filled * 2, 0);
        }
        let read = input.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[searched.max(start)..filled]) {
            let end = searched.max(start) + end;
            answer(&buffer[start..end], options, &mut answers);
            start = end + 1;
            if answers.len() >= GATHER_MAX {
                flush(&mut answers, &mut output)?;
            }
        }
        flush(&mut answers, &mut output)?;
        buffer.copy_within(start..filled, 0);
        filled -= start;
        searched = filled;
    }
}

/// Writes all answers past the line buffer of the standard library.
fn flush(answers: &mut Vec<u8>, output: &mut io::StdoutLock<'_>) -> io::Result<()> {
    if !answers.is_empty() {
        // One write ends with a line end, so that the buffer of `Stdout` holds nothing back.
        output.write_all(answers)?;
        output.flush()?;
        answers.clear();
    }
    Ok(())
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    arguments: Arguments<'a>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

#[derive(Deserialize)]
struct Initialize<'a> {
    #[serde(rename = "protocolVersion")]
    version: &'a str,
}

/// Appends the answer to one line, when it wants one.
fn answer(line: &[u8], options: &Options, out: &mut Vec<u8>) {
    let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
        if !line.trim_ascii().is_empty() {
            reply(out, "null", "error", &[r#"{"code":-32700,"message":"not a message"}"#]);
        }
        return;
    };
    let (Some(id), Some(method)) = (line.id.map(RawValue::get), line.method) else { return };
    let params = line.params.map_or("{}", RawValue::get);
    match method {
        "tools/call" => match serde_json::from_str::<Call<'_>>(params) {
            Ok(call) if call.arguments.text.get().starts_with('"') => {
                let text = call.arguments.text.get();
                let parts = [r#"{"content":[{"type":"text","text":"#, text, "}]}"];
                reply(out, id, "result", &parts);
            }
            _ => reply(out, id, "error", &[r#"{"code":-32602,"message":"text is missing"}"#]),
        },
        "ping" => reply(out, id, "result", &["{}"]),
        "tools/list" => reply(out, id, "result", &[&tools(options.tools)]),
        "initialize" => {
            thread::sleep(options.init_delay);
            let asked = serde_json::from_str::<Initialize<'_>>(params);
            let version = asked.map_or("2025-11-25", |asked| asked.version);
            let parts = [
                r#"{"protocolVersion":""#,
                version,
                r#"","capabilities":{"tools":{}},"serverInfo":{"name":"echo-server","version":"1"}}"#,
            ];
            reply(out, id, "result", &parts);
        }
        _ => reply(out, id, "error", &[r#"{"code":-32601,"message":"method not found"}"#]),
    }
}

fn reply(out: &mut Vec<u8>, id: &str, kind: &str, parts: &[&str]) {
    for part in [r#"{"jsonrpc":"2.0","id":"#, id, ",\"", kind, "\":"].iter().chain(parts) {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

/// The list of `echo`, `echo-2`, `echo-3` and so on.
fn tools(count: usize) -> String {
    let name = |n| if n == 1 { "echo".to_owned() } else { format!("echo-{n}") };
    let tool = |n| {
        let name = name(n);
        format!(
            r#"{{"name":"{name}","description":"Says the text again.","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string"}}}},"required":["text"]}}}}"#
        )
    };
    format!(r#"{{"tools":[{}]}}"#, (1..=count).map(tool).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn ask(line: &str) -> String {
        let mut out = Vec::new();
        answer(line.as_bytes(), &Options { init_delay: Duration::ZERO, tools: 2 }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_call_says_the_text_again_byte_by_byte() {
        let line = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"text":"x\u00e9\n"}}}"#;
        let expect = r#"{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"x\u00e9\n"}]}}"#;
        assert_eq!(ask(line), format!("{expect}\n"));
    }

    #[test]
    fn every_request_gets_one_json_answer_and_nothing_else_does() {
        for method in ["initialize", "tools/list", "tools/call", "ping", "no/such"] {
            let out = ask(&format!(r#"{{"id":7,"method":"{method}"}}"#));
            let value: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(value["id"], 7, "{method}");
        }
        assert_eq!(ask(r#"{"method":"notifications/initialized"}"#), "");
        assert_eq!(ask(r#"{"id":1,"result":{}}"#), "");
        assert!(ask("garbage").contains("-32700"));
    }

    #[test]
    fn it_lists_as_many_tools_as_asked_for() {
        let value: Value = serde_json::from_str(&ask(r#"{"id":1,"method":"tools/list"}"#)).unwrap();
        assert_eq!(value["result"]["tools"][1]["name"], "echo-2");
    }

    #[test]
    fn flags_are_read_and_wrong_ones_told() {
        let read = |line: &str| options(line.split_whitespace().map(str::to_owned)).ok();
        let expect = Options { init_delay: Duration::from_millis(100), tools: 3 };
        assert_eq!(read("--init-delay 100 --tools 3"), Some(expect));
        assert_eq!(read("--tools"), None);
        assert_eq!(read("--speed 3"), None);
    }
}
