//! Judges what was recorded between MCP peers: `mcplex-judge FILE...`.
//!
//! A record is one line of JSON for each message, in the order they were said:
//!
//! ```json
//! {"connection":"1","judged":"server","side":"client","text":"{\"jsonrpc\":\"2.0\",...}"}
//! ```
//!
//! `connection` tells conversations apart, `judged` is the side whose messages are looked at, `side`
//! the one that said this. Prints each complaint with the message, and a sum. Ends with 1 when
//! there was a complaint, with 2 when a record cannot be read or holds no judged message at all.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever starts it")]

use mcplex_schema::{judge::Side, witness::Witness};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, BufRead as _, BufReader},
    process::ExitCode,
};

/// How much of a message is shown beside a complaint, in characters.
const SHOWN: usize = 400;

fn main() -> ExitCode {
    let files: Vec<_> = env::args().skip(1).collect();
    if files.is_empty() || files.iter().any(|file| file.starts_with('-')) {
        eprintln!("usage: mcplex-judge FILE...\n\nJudges recorded messages by the schemas of MCP.");
        return ExitCode::from(2);
    }
    let (mut judged, mut complained) = (0, 0);
    for file in &files {
        match judge(file) {
            Ok((messages, complaints)) => {
                judged += messages;
                complained += complaints;
            }
            Err(error) => {
                eprintln!("mcplex-judge: {file}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    println!("{judged} messages judged, {complained} of them with complaints");
    match (judged, complained) {
        (0, _) => ExitCode::from(2),
        (_, 0) => ExitCode::SUCCESS,
        (_, _) => ExitCode::FAILURE,
    }
}

fn judge(file: &str) -> io::Result<(u64, u64)> {
    let mut witnesses: BTreeMap<String, Witness> = BTreeMap::new();
    let mut complained = 0;
    for (number, line) in BufReader::new(File::open(file)?).lines().enumerate() {
        let bad = |what: &str| io::Error::other(format!("line {}: {what}", number + 1));
        let record: Value =
            serde_json::from_str(&line?).map_err(|error| bad(&error.to_string()))?;
        let word = |name: &str| record[name].as_str().ok_or_else(|| bad(&format!("no {name:?}")));
        let side = |name: &str| match word(name)? {
            "client" => Ok(Side::Client),
            "server" => Ok(Side::Server),
            other => Err(bad(&format!("{name:?} is {other:?}"))),
        };
        let judged = side("judged")?;
        let witness =
            witnesses.entry(word("connection")?.to_owned()).or_insert_with(|| Witness::new(judged));
        let text = word("text")?;
        let complaints = witness.hear(side("side")?, text.as_bytes());
        if !complaints.is_empty() {
            complained += 1;
            let shown: String = text.chars().take(SHOWN).collect();
            println!("{file}:{}: {shown}", number + 1);
            for complaint in complaints {
                println!("    {complaint}");
            }
        }
    }
    Ok((witnesses.values().map(|witness| witness.judged_messages).sum(), complained))
}
