//! `mcplex start`, `stop`, `restart` and `reset`.

use crate::{
    args::{ActOptions, ConfigOptions},
    console,
    exit::{Code, Failure, print},
};
use mcplex_admin::{
    act::Done,
    client::{ClientError, escaped},
    control::Problem,
    operator::Verb,
    status::UpstreamStatus,
};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn run(verb: Verb, options: &ActOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        let upstreams = console::snapshot(&mut client).await?.upstreams;
        let wait = if options.no_wait { "?wait=0" } else { "" };
        if options.all {
            let answer =
                client.post(&format!("/v1/{verb}{wait}"), patience(&upstreams, None)).await;
            let answer = answer.map_err(|error| console::failure(&error))?;
            return tell_all(verb, &answer, options.json);
        }
        check_all(options, &upstreams)?;
        let mut last = Ok(());
        for name in &options.upstreams {
            let path = format!("/v1/upstreams/{}/{verb}{wait}", escaped(name));
            let answer = client.post(&path, patience(&upstreams, Some(name))).await;
            match tell_one(name, answer, options.json) {
                Ok(()) => {}
                // None of the others would get an answer either.
                Err(failure) if failure.code() == Code::Silent => return Err(failure),
                // The others are still tried; the last failure is told at the end.
                Err(failure) => {
                    if let Err(earlier) = std::mem::replace(&mut last, Err(failure)) {
                        let _told = Failure::report(&earlier);
                    }
                }
            }
        }
        last
    })
}

/// Tells one upstream, and gives a sentence of what was done.
pub(crate) async fn one(
    options: &ConfigOptions,
    verb: Verb,
    upstream: &str,
) -> Result<String, Failure> {
    let mut client = console::connect(options).await?;
    let upstreams = console::snapshot(&mut client).await?.upstreams;
    let path = format!("/v1/upstreams/{}/{verb}", escaped(upstream));
    let answer = client.post(&path, patience(&upstreams, Some(upstream))).await;
    let done = answer.map_err(|error| console::failure(&error))?;
    match serde_json::from_value::<Done>(done) {
        Ok(done) => Ok(sentence(&done).trim_end().to_owned()),
        Err(_) => Err(console::failure(&ClientError::Strange)),
    }
}

/// How long a verb may take at one upstream, or at all of them side by side.
fn patience(upstreams: &[UpstreamStatus], name: Option<&str>) -> Duration {
    let meant = upstreams.iter().filter(|one| name.is_none_or(|name| one.name == name));
    Duration::from_millis(meant.map(|one| one.patience_ms).max().unwrap_or_default())
}

/// Refuses all names when there is one that nobody has, before anything is done.
fn check_all(options: &ActOptions, upstreams: &[UpstreamStatus]) -> Result<(), Failure> {
    let is_known = |name: &str| upstreams.iter().any(|one| one.name == name);
    let mut checked = Ok(());
    for name in options.upstreams.iter().filter(|name| !is_known(name)) {
        let mut problem = Problem::unknown(name, upstreams.iter().map(|one| one.name.as_str()));
        if options.upstreams.len() > 1 {
            problem.message.push_str("; nothing was done");
        }
        let failure = tell_one(name, Err(ClientError::Refused(problem)), options.json);
        if let Err(earlier) = std::mem::replace(&mut checked, failure) {
            let _told = Failure::report(&earlier);
        }
    }
    checked
}

fn tell_one(name: &str, answer: Result<Value, ClientError>, json: bool) -> Result<(), Failure> {
    match answer {
        Ok(value) => tell(&value, json),
        Err(ClientError::Refused(problem)) => {
            if json {
                print(&format!("{:#}\n", json!({ "upstream": name, "error": problem })))?;
            }
            Err(console::refused(&problem))
        }
        Err(error) => Err(console::failure(&error)),
    }
}

fn tell(value: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return print(&format!("{value:#}\n"));
    }
    match serde_json::from_value::<Done>(value.clone()) {
        Ok(done) => print(&sentence(&done)),
        Err(_) => Err(console::failure(&ClientError::Strange)),
    }
}

/// What was done, and how it is now.
pub(crate) fn sentence(done: &Done) -> String {
    let Done { upstream, what, status, .. } = done;
    let pid = status.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let life = status.incarnation;
    format!("{upstream}: {what} ({}{pid}, life {life})\n", status.health.as_str())
}

fn tell_all(verb: Verb, answer: &Value, json: bool) -> Result<(), Failure> {
    let outcomes = answer["outcomes"].as_array().cloned().unwrap_or_default();
    if json {
        print(&format!("{answer:#}\n"))?;
    } else if outcomes.is_empty() {
        print(&format!("there is nothing to {verb}\n"))?;
    }
    let mut last = Ok(());
    for outcome in &outcomes {
        match serde_json::from_value::<Problem>(outcome["error"].clone()) {
            Ok(problem) => {
                if let Err(earlier) = std::mem::replace(&mut last, Err(console::refused(&problem)))
                {
                    let _told = Failure::report(&earlier);
                }
            }
            Err(_) if json => {}
            Err(_) => tell(outcome, false)?,
        }
    }
    last
}
