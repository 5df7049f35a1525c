//! `mcplex start`, `stop`, `restart` and `reset`.

use crate::{
    args::ActOptions,
    console,
    exit::{Failure, print},
};
use mcplex_admin::{
    act::Done,
    client::{Client, ClientError},
    control::Problem,
    operator::Verb,
};
use serde_json::{Value, json};

pub(crate) fn run(verb: Verb, options: &ActOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        let wait = if options.no_wait { "?wait=0" } else { "" };
        if options.all {
            let answer = client.post(&format!("/v1/{verb}{wait}")).await;
            let answer = answer.map_err(|error| console::failure(&error))?;
            return tell_all(verb, &answer, options.json);
        }
        let mut last = Ok(());
        for name in &options.upstreams {
            match act(&mut client, name, &format!("{verb}{wait}"), options.json).await {
                Ok(()) => {}
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

async fn act(client: &mut Client, name: &str, verb: &str, json: bool) -> Result<(), Failure> {
    match client.post(&format!("/v1/upstreams/{name}/{verb}")).await {
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
fn sentence(done: &Done) -> String {
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
