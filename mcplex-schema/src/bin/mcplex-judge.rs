//! Judges what was recorded between MCP peers: `mcplex-judge [--known FILE] RECORD...`.
//!
//! A record is one line of JSON for each message, in the order they were said; a folder stands for
//! all records in it:
//!
//! ```json
//! {"connection":"1","judged":"server","side":"client","text":"{\"jsonrpc\":\"2.0\",...}"}
//! ```
//!
//! `connection` tells conversations apart, `judged` is the side whose messages are looked at, `side`
//! the one that said this. Prints each complaint with the message, and a sum. Ends with 1 when
//! there was a complaint, with 2 when a record cannot be read or holds no judged message at all.
//!
//! A gateway passes on what a peer says wrong to one of the same revision. `--known` names a file
//! with such faults of peers: an array of objects with `text` and `complaint`, which must both be
//! found as they stand there, and `because`. They are counted and not complained of.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever starts it")]

use mcplex_schema::{judge::Side, witness::Witness};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// How much of a message is shown beside a complaint, in characters.
const SHOWN: usize = 400;

const USAGE: &str = "\
usage: mcplex-judge [--known FILE] RECORD...

Judges recorded messages by the schemas of MCP.";

fn main() -> ExitCode {
    let mut words: Vec<_> = env::args().skip(1).collect();
    let known = match words.first() {
        Some(word) if word == "--known" && words.len() > 1 => words.drain(..2).nth(1),
        _ => None,
    };
    if words.is_empty() || words.iter().any(|word| word.starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let told = |path: &str, error: io::Error| io::Error::other(format!("{path}: {error}"));
    let judged = match &known {
        Some(path) => Faults::read(path).map_err(|error| told(path, error)),
        None => Ok(Faults::default()),
    };
    let judged = judged.and_then(|mut faults| {
        let mut sum = Sum::default();
        for word in &words {
            for file in records(Path::new(word)).map_err(|error| told(word, error))? {
                let name = file.display().to_string();
                judge(&file, &mut faults, &mut sum).map_err(|error| told(&name, error))?;
            }
        }
        Ok((sum, faults))
    });
    let (sum, faults) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            eprintln!("mcplex-judge: {error}");
            return ExitCode::from(2);
        }
    };
    for (fault, times) in faults.0.iter().filter(|(_, times)| *times > 0) {
        println!("{times} times {:?}, because {}", fault.complaint, fault.because);
    }
    println!("{} messages judged, {} of them with complaints", sum.judged, sum.complained);
    match sum {
        Sum { judged: 0, .. } => ExitCode::from(2),
        Sum { complained: 0, .. } => ExitCode::SUCCESS,
        Sum { .. } => ExitCode::FAILURE,
    }
}

#[derive(Default)]
struct Sum {
    judged: u64,
    complained: u64,
}

/// What peers are known to say wrong, and how often they did.
#[derive(Default)]
struct Faults(Vec<(Fault, u64)>);

struct Fault {
    text: String,
    complaint: String,
    because: String,
}

impl Faults {
    fn read(path: &str) -> io::Result<Self> {
        let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(path)?)?;
        let read = |fault: &Value| {
            let word = |name: &str| {
                let word = fault[name].as_str().filter(|word| !word.is_empty());
                word.map(str::to_owned)
                    .ok_or_else(|| io::Error::other(format!("{fault} without {name:?}")))
            };
            let fault = Fault {
                text: word("text")?,
                complaint: word("complaint")?,
                because: word("because")?,
            };
            Ok((fault, 0))
        };
        all.iter().map(read).collect::<io::Result<_>>().map(Self)
    }

    /// Whether the complaint is about something that a peer is known to say.
    fn knows(&mut self, text: &str, complaint: &str) -> bool {
        let found = self
            .0
            .iter_mut()
            .find(|(fault, _)| text.contains(&fault.text) && complaint.contains(&fault.complaint));
        found.map(|(_, times)| *times += 1).is_some()
    }
}

/// A record, or all of a folder.
fn records(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<_> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

fn judge(file: &Path, faults: &mut Faults, sum: &mut Sum) -> io::Result<()> {
    let mut witnesses: BTreeMap<String, Witness> = BTreeMap::new();
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
        let mut complaints = witness.hear(side("side")?, text.as_bytes());
        complaints.retain(|complaint| !faults.knows(text, complaint));
        if !complaints.is_empty() {
            sum.complained += 1;
            let shown: String = text.chars().take(SHOWN).collect();
            println!("{}:{}: {shown}", file.display(), number + 1);
            for complaint in complaints {
                println!("    {complaint}");
            }
        }
    }
    sum.judged += witnesses.values().map(|witness| witness.judged_messages).sum::<u64>();
    Ok(())
}
