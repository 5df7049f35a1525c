use super::*;
use crate::{
    operator::{Refused, Reloaded, Setting},
    status::Instance,
};
use async_trait::async_trait;
use tokio::sync::watch;

/// One upstream that does with each verb what a test wants.
#[derive(Debug)]
struct World {
    status: Mutex<UpstreamStatus>,
    changes: watch::Sender<u64>,
    told: Mutex<Vec<Verb>>,
}

impl World {
    fn new(status: UpstreamStatus) -> Arc<Self> {
        let status = UpstreamStatus { name: "files".to_owned(), ..status };
        let (changes, _) = watch::channel(0);
        Arc::new(Self { status: Mutex::new(status), changes, told: Mutex::default() })
    }

    fn set(&self, change: impl FnOnce(&mut UpstreamStatus)) {
        change(&mut lock(&self.status));
        self.changes.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Operator for World {
    fn instance(&self) -> Instance {
        Instance::default()
    }

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        vec![lock(&self.status).clone()]
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn tell(&self, _: &str, verb: Verb, _: Option<TraceContext>) {
        lock(&self.told).push(verb);
    }

    async fn reload(&self) -> Result<Reloaded, Refused> {
        Ok(Reloaded::default())
    }

    fn configuration(&self) -> Vec<Setting> {
        Vec::new()
    }

    fn patience(&self, _: &str) -> Duration {
        Duration::from_secs(30)
    }
}

fn how(health: Health, incarnation: u64) -> UpstreamStatus {
    UpstreamStatus { health, incarnation, ..UpstreamStatus::default() }
}

/// Begins a verb, then lets things happen one after the other, and gives what it says.
async fn act(
    verb: Verb,
    before: UpstreamStatus,
    then: &[fn(&mut UpstreamStatus)],
) -> Result<Done, ActError> {
    let world = World::new(before);
    let acts = Acts::default();
    let acting = acts.act(&*world, "files", (verb, true), None);
    let happening = async {
        for change in then {
            tokio::task::yield_now().await;
            world.set(change);
        }
    };
    tokio::join!(acting, happening).0
}

#[tokio::test(start_paused = true)]
async fn a_verb_is_done_when_its_effect_is_there() {
    let what = |result: Result<Done, ActError>| result.unwrap().what;
    let stopped = act(
        Verb::Stop,
        UpstreamStatus { pid: Some(7), ..how(Health::Ready, 3) },
        &[|status| status.health = Health::Stopped, |status| status.pid = None],
    );
    assert_eq!(what(stopped.await), "stopped");
    let started = act(
        Verb::Start,
        how(Health::Stopped, 3),
        &[
            |status| {
                *status = UpstreamStatus { name: "files".to_owned(), ..how(Health::Recovering, 4) }
            },
            |status| status.health = Health::Ready,
        ],
    );
    assert_eq!(what(started.await), "started");
    let restarted = act(
        Verb::Restart,
        how(Health::Ready, 3),
        &[
            |status| status.health = Health::Recovering,
            |status| status.incarnation = 4,
            |status| status.health = Health::Ready,
        ],
    );
    assert_eq!(what(restarted.await), "restarted");
    let reset = act(Verb::Reset, how(Health::Ready, 3), &[]);
    assert_eq!(what(reset.await), "forgot its deaths");
    let needless = act(Verb::Stop, how(Health::Stopped, 3), &[]);
    assert_eq!(what(needless.await), "was stopped already");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_ends_in_a_death_says_so() {
    let failed = act(
        Verb::Reset,
        how(Health::Tripped, 3),
        &[
            |status| {
                status.health = Health::Recovering;
                status.incarnation = 4;
            },
            |status| {
                status.retry_after_ms = Some(250);
                status.reason = Some("it exited with code 1".to_owned());
            },
        ],
    );
    let error = failed.await.unwrap_err();
    assert_eq!(error.to_string(), "files was told to reset, and failed: it exited with code 1");
}

#[tokio::test(start_paused = true)]
async fn a_life_that_ends_and_lets_none_follow_is_not_waited_for() {
    let left: &[fn(&mut UpstreamStatus)] = &[
        |status| {
            status.health = Health::Recovering;
            status.incarnation = 4;
        },
        |status| {
            status.has_left = true;
            status.reason = Some("it exited with code 0".to_owned());
        },
        |status| status.health = Health::Idle,
    ];
    let error = act(Verb::Start, how(Health::Stopped, 3), left).await.unwrap_err();
    assert_eq!(error.to_string(), "files was told to start, and failed: it exited with code 0");
    // One that was being started already.
    let error = act(Verb::Start, how(Health::Recovering, 4), left).await.unwrap_err();
    assert_eq!(error.to_string(), "files was told to start, and failed: it exited with code 0");
    // Somebody who does not ask here may stop it meanwhile.
    let stopped: &[fn(&mut UpstreamStatus)] = &[|status| {
        status.health = Health::Stopped;
        status.incarnation = 4;
        status.reason = Some("somebody stopped it".to_owned());
    }];
    let error = act(Verb::Restart, how(Health::Ready, 3), stopped).await.unwrap_err();
    assert_eq!(error.to_string(), "files was told to restart, and failed: somebody stopped it");
    // Nobody used it for so long that it rests.
    let rests: &[fn(&mut UpstreamStatus)] = &[|status| {
        status.health = Health::Idle;
        status.incarnation = 4;
    }];
    assert_eq!(act(Verb::Start, how(Health::Idle, 3), rests).await.unwrap().what, "started");
    // What it was before the verb came to it says nothing.
    let before = UpstreamStatus { has_left: true, ..how(Health::Recovering, 3) };
    let late: &[fn(&mut UpstreamStatus)] = &[
        |status| status.health = Health::Stopped,
        |status| {
            status.health = Health::Ready;
            status.incarnation = 4;
        },
    ];
    assert_eq!(act(Verb::Start, before, late).await.unwrap().what, "started");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let error = act(Verb::Stop, how(Health::Ready, 3), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "files was told to stop, and after 30 s it is still ready");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_and_nothing_is_told() {
    let world = World::new(how(Health::Tripped, 3));
    let acts = Acts::default();
    let error = acts.act(&*world, "files", (Verb::Start, true), None).await.unwrap_err();
    assert_eq!(error.to_string(), "files is tripped, which a start does not change");
    assert!(error.hint().unwrap().contains("mcplex reset files"));
    world.set(|status| status.is_enabled = false);
    let error = acts.act(&*world, "files", (Verb::Reset, true), None).await.unwrap_err();
    assert_eq!(error.to_string(), "files is disabled in the configuration");
    let error = acts.act(&*world, "flies", (Verb::Stop, true), None).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean files?");
    assert_eq!(lock(&world.told).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn of_two_verbs_at_once_the_second_is_refused() {
    let world = World::new(UpstreamStatus { pid: Some(7), ..how(Health::Ready, 3) });
    let acts = Acts::default();
    let first = acts.act(&*world, "files", (Verb::Stop, true), None);
    let second = async {
        tokio::task::yield_now().await;
        let error = acts.act(&*world, "files", (Verb::Restart, true), None).await.unwrap_err();
        world.set(|status| {
            *status = UpstreamStatus { name: "files".to_owned(), ..how(Health::Stopped, 3) }
        });
        error
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap().what, "stopped");
    assert_eq!(second.to_string(), "`stop` of files is still under way");
    assert_eq!(*lock(&world.told), [Verb::Stop]);
    // The place is free again.
    assert!(acts.act(&*world, "files", (Verb::Start, false), None).await.is_ok());
}
