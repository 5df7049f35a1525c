//! Asks the mcplex that runs, for as long as anybody looks; finds it again when it was started anew.

use super::state::{Detail, News};
use crate::{
    args::ConfigOptions,
    commands::act,
    console,
    exit::{Code, Failure},
};
use mcplex_admin::{
    calls::Figures,
    client::{Client, ClientError, escaped},
    events::Event,
    operator::Verb,
    status::Snapshot,
};
use mcplex_proto::upstream::Health;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How much news may wait; a screen is drawn anew for all of it at once.
const NEWS: usize = 64;

/// How often everything is looked at where nothing happens: as `mcplex status --watch` does.
const EVERY: Duration = Duration::from_secs(1);

/// The least time between two looks, however fast an upstream dies.
const LEAST: Duration = Duration::from_millis(200);

/// How long to wait for an mcplex that has gone.
const AGAIN: Duration = Duration::from_secs(1);

/// The last lines of a log: more than a large screen has.
const LINES: usize = 200;

/// The longest event that is read, in bytes; texts in events are far shorter.
const MAX_EVENT: usize = 1 << 20;

/// Everything that asks; it ends with this.
#[derive(Debug)]
pub(super) struct Feed {
    options: Arc<ConfigOptions>,
    news: mpsc::Receiver<News>,
    out: mpsc::Sender<News>,
    looked_at: watch::Sender<Option<String>>,
    tasks: JoinSet<()>,
}

impl Feed {
    pub(super) fn begin(options: &ConfigOptions) -> Self {
        let options = Arc::new(options.clone());
        let (out, news) = mpsc::channel(NEWS);
        let (looked_at, wanted) = watch::channel(None);
        let wake = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(look(Arc::clone(&options), wanted, Arc::clone(&wake), out.clone()));
        tasks.spawn(listen(Arc::clone(&options), wake, out.clone()));
        Self { options, news, out, looked_at, tasks }
    }

    /// The next news; cancel safe.
    pub(super) async fn next(&mut self) -> Result<News, Failure> {
        loop {
            tokio::select! {
                Some(news) = self.news.recv() => return Ok(news),
                Some(ended) = self.tasks.join_next() => {
                    ended.map_err(|error| Failure::from_error(Code::Failed, "`mcplex top` broke", &error))?;
                }
            }
        }
    }

    /// What has come already.
    pub(super) fn more(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Has this upstream looked at more closely than the others.
    pub(super) fn look_at(&self, upstream: Option<&str>) {
        self.looked_at.send_if_modified(|looked_at| {
            let is_new = looked_at.as_deref() != upstream;
            if is_new {
                *looked_at = upstream.map(str::to_owned);
            }
            is_new
        });
    }

    /// Tells an upstream to do something; what came of it is news.
    pub(super) fn act(&mut self, verb: Verb, upstream: String) {
        let (options, out) = (Arc::clone(&self.options), self.out.clone());
        self.tasks.spawn(async move {
            let done = act::one(&options, verb, &upstream).await;
            let said = done.map_err(|failure| with_hint(&failure));
            // Nobody looks any more if it cannot be sent.
            let _is_heard = out.send(News::Done(said)).await.is_ok();
        });
    }
}

fn with_hint(failure: &Failure) -> String {
    let hint = failure.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", failure.sentence())
}

/// Nobody looks any more.
struct Over;

async fn tell(out: &mpsc::Sender<News>, news: News) -> Result<(), Over> {
    out.send(news).await.map_err(|_| Over)
}

/// Looks at everything, again and again.
async fn look(
    options: Arc<ConfigOptions>,
    mut wanted: watch::Receiver<Option<String>>,
    wake: Arc<Notify>,
    out: mpsc::Sender<News>,
) {
    loop {
        match look_while_it_runs(&options, &mut wanted, &wake, &out).await {
            Ok(Over) => return,
            Err(failure) => {
                if tell(&out, News::Lost(failure.sentence())).await.is_err() {
                    return;
                }
            }
        }
        sleep(AGAIN).await;
    }
}

async fn look_while_it_runs(
    options: &ConfigOptions,
    wanted: &mut watch::Receiver<Option<String>>,
    wake: &Notify,
    out: &mpsc::Sender<News>,
) -> Result<Over, Failure> {
    let mut client = console::connect(options).await?;
    let mut closely = Closely::default();
    loop {
        let snapshot = console::snapshot(&mut client).await?;
        let upstream = wanted.borrow_and_update().clone();
        let detail = closely.look(&mut client, &snapshot, upstream).await?;
        let news = [
            Some(News::Snapshot(Box::new(snapshot))),
            Some(figures(&mut client).await?),
            detail.map(|detail| News::Detail(Box::new(detail))),
        ];
        for news in news.into_iter().flatten() {
            if tell(out, news).await.is_err() {
                return Ok(Over);
            }
        }
        sleep(LEAST).await;
        // Whichever comes first; that the time is over is as good a reason to look.
        let sooner = async {
            tokio::select! {
                () = wake.notified() => {}
                changed = wanted.changed() => drop(changed),
            }
        };
        let _is_sooner = timeout(EVERY.saturating_sub(LEAST), sooner).await.is_ok();
    }
}

/// The figures of all calls, which are counted from the first ask on.
pub(super) async fn figures(client: &mut Client) -> Result<News, Failure> {
    let tools: Vec<Figures> = ask(client, "/v1/tools").await?;
    Ok(News::Figures(tools, ask(client, "/v1/tools?by=upstream").await?))
}

/// What was looked at closely, so that a report is read once.
#[derive(Debug, Default)]
struct Closely {
    last: Option<(String, u64, Health)>,
    detail: Detail,
}

impl Closely {
    async fn look(
        &mut self,
        client: &mut Client,
        snapshot: &Snapshot,
        upstream: Option<String>,
    ) -> Result<Option<Detail>, Failure> {
        let rows = &snapshot.upstreams;
        let row = upstream.and_then(|name| rows.iter().find(|row| row.name == name));
        let Some(row) = row else { return Ok(None) };
        let name = escaped(&row.name);
        let now = Some((row.name.clone(), row.incarnation, row.health));
        if self.last != now {
            let report = match client.get(&format!("/v1/crashes/{name}/1")).await {
                Ok(value) => serde_json::from_value(value).ok(),
                // It has not died as yet.
                Err(ClientError::Refused(_)) => None,
                Err(error) => return Err(console::failure(&error)),
            };
            self.detail = Detail { upstream: row.name.clone(), report, log: Vec::new() };
            self.last = now;
        }
        let log = text(client, &format!("/v1/upstreams/{name}/logs?lines={LINES}")).await?;
        self.detail.log = log.lines().map(str::to_owned).collect();
        Ok(Some(self.detail.clone()))
    }
}

async fn ask<T: DeserializeOwned>(client: &mut Client, path: &str) -> Result<T, Failure> {
    let value = client.get(path).await.map_err(|error| console::failure(&error))?;
    serde_json::from_value(value).map_err(|_| console::failure(&ClientError::Strange))
}

async fn text(client: &mut Client, path: &str) -> Result<String, Failure> {
    let told = |error| console::failure(&error);
    let mut pieces = match client.stream(path).await {
        Ok(pieces) => pieces,
        // It is no longer in the configuration.
        Err(ClientError::Refused(_)) => return Ok(String::new()),
        Err(error) => return Err(told(error)),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next_soon().await.map_err(told)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Hears each event as it happens, again and again.
async fn listen(options: Arc<ConfigOptions>, wake: Arc<Notify>, out: mpsc::Sender<News>) {
    loop {
        // Who looks notices that nobody runs, and says so.
        if let Ok(Over) = listen_while_it_runs(&options, &wake, &out).await {
            return;
        }
        sleep(AGAIN).await;
    }
}

async fn listen_while_it_runs(
    options: &ConfigOptions,
    wake: &Notify,
    out: &mpsc::Sender<News>,
) -> Result<Over, Failure> {
    let mut client = console::connect(options).await?;
    let mut pieces = match client.stream("/v1/events").await {
        Ok(pieces) => pieces,
        Err(error) => {
            let failure = console::failure(&error);
            let is_refused = matches!(error, ClientError::Refused(_));
            let warning = News::Warning(format!("no events are heard: {}", failure.sentence()));
            if is_refused && tell(out, warning).await.is_err() {
                return Ok(Over);
            }
            return Err(failure);
        }
    };
    // After it listens, so that nothing is missed in between; what comes twice has the same number.
    let past = ask(&mut console::connect(options).await?, "/v1/timeline").await?;
    if tell(out, News::Past(past)).await.is_err() {
        return Ok(Over);
    }
    let mut blocks = Blocks::default();
    while let Some(piece) = pieces.next().await {
        for news in blocks.take(&piece) {
            wake.notify_one();
            if tell(out, news).await.is_err() {
                return Ok(Over);
            }
        }
    }
    Err(Failure::new(Code::NotRunning, "mcplex has ended"))
}

/// Puts events together that come in pieces.
#[derive(Debug, Default)]
struct Blocks(Vec<u8>);

impl Blocks {
    /// The news that this piece completes.
    fn take(&mut self, piece: &[u8]) -> Vec<News> {
        self.0.extend_from_slice(piece);
        let mut news = Vec::new();
        while let Some(end) = self.0.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.0.drain(..end + 2).collect();
            news.extend(read(&String::from_utf8_lossy(&block)));
        }
        if self.0.len() > MAX_EVENT {
            self.0.clear();
        }
        news
    }
}

/// What a block says, unless it only says that somebody is there.
fn read(block: &str) -> Option<News> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?;
    if field("event: ") == Some("missed") {
        let data: serde_json::Value = serde_json::from_str(data).ok()?;
        let text = format!("{} events came too fast to be shown", data["count"]);
        return Some(News::Warning(text));
    }
    serde_json::from_str::<Event>(data).ok().map(|event| News::Event(Box::new(event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_pieces_of_any_size() {
        let text = ": listening\n\nid: 4\nevent: died\ndata: {\"number\":4,\"upstream\":\"ä\"}\n\n\
                    event: missed\ndata: {\"count\":7}\n\n: still here\n\nid: 5\ndata: {\"num";
        for size in [1, 2, 3, 7, 1000] {
            let mut blocks = Blocks::default();
            let pieces = text.as_bytes().chunks(size);
            let news: Vec<_> = pieces.flat_map(|piece| blocks.take(piece)).collect();
            let [News::Event(event), News::Warning(warning)] = &news[..] else {
                panic!("{news:?}");
            };
            assert_eq!((event.number, event.upstream.as_str()), (4, "ä"));
            assert_eq!(warning, "7 events came too fast to be shown");
        }
    }

    #[test]
    fn an_event_without_an_end_takes_memory_with_an_end() {
        let mut blocks = Blocks::default();
        for _ in 0..3 {
            assert!(blocks.take(&vec![b'x'; MAX_EVENT]).is_empty());
        }
        assert!(blocks.0.len() <= MAX_EVENT);
    }
}
