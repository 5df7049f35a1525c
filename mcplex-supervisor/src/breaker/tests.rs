use super::*;

/// What tests of a whole life need to see and to change.
impl Breaker {
    /// How many deaths take up memory.
    pub(crate) fn remembered(&self) -> usize {
        self.deaths.len()
    }

    /// Moves the past back by so much, and forgets what can make no difference any more.
    pub(crate) fn move_back(&mut self, by: u64, now: Time, options: &Options) {
        self.deaths.iter_mut().for_each(|death| death.0 -= by);
        self.deaths.retain(|death| now.since(*death) < options.window);
        self.run = self.run.min(options.max_run + 1);
        self.trips = self.trips.min(options.auto_trials + 1);
        // Which of these it was is only for words.
        self.open = self.open.map(|cause| match cause {
            TripCause::TooManyDeaths { .. } | TripCause::NeverStable { .. } => {
                TripCause::TrialFailed
            }
            TripCause::TrialFailed | TripCause::Permanent => cause,
        });
    }
}

const NEW: Death = Death { was_permanent: false, was_trial: false, was_stable: false };
const STABLE: Death = Death { was_stable: true, ..NEW };

/// Counts deaths at these times; which of them tripped, and why.
fn count(kind: Death, times: &[u64]) -> (Breaker, Vec<(usize, TripCause)>) {
    let mut breaker = Breaker::default();
    let mut trips = Vec::new();
    for (i, at) in times.iter().enumerate() {
        let cause = breaker.count(kind, &Options::default(), Time(*at));
        trips.extend(cause.map(|cause| (i + 1, cause)));
        assert!(breaker.deaths.len() <= 6, "it remembers no more than it needs");
    }
    (breaker, trips)
}

#[test]
fn the_sixth_death_in_the_window_trips_and_not_one_millisecond_later() {
    let window = Duration::from_secs(60);
    let too_many = |deaths| TripCause::TooManyDeaths { deaths, window };
    let check = |times: &[u64], expect: &[(usize, TripCause)]| {
        assert_eq!(count(STABLE, times).1, expect, "{times:?}");
    };
    check(&[0, 0, 0, 0, 0], &[]);
    check(&[0, 0, 0, 0, 0, 0], &[(6, too_many(6))]);
    check(&[0, 1, 2, 3, 4, 59_999], &[(6, too_many(6))]);
    check(&[0, 1, 2, 3, 4, 60_000], &[]);
    check(&[0, 1, 2, 3, 4, 60_000, 60_000], &[(7, too_many(6))]);
    check(&[0, 12_000, 24_000, 36_000, 48_000, 60_000, 72_000, 84_000], &[]);
}

#[test]
fn the_ninth_life_in_a_row_that_was_never_stable_trips_however_slowly() {
    let slow: Vec<u64> = (0..9).map(|i| i * 80_000).collect();
    assert_eq!(count(NEW, &slow).1, [(9, TripCause::NeverStable { run: 9 })]);
    assert_eq!(count(STABLE, &slow).1, []);
}

#[test]
fn cooldowns_double_up_to_a_limit_and_are_only_ever_lengthened() {
    let options = Options::default();
    let trial = Death { was_trial: true, ..NEW };
    for seed in 0..200 {
        let mut jitter = Jitter::new(seed);
        let mut breaker = Breaker::default();
        for (trips, least) in (1..).zip([60, 120, 240, 480, 900, 900, 900]) {
            assert_eq!(breaker.count(trial, &options, Time(0)), Some(TripCause::TrialFailed));
            let wait = breaker.cooldown(&options, &mut jitter).unwrap().as_millis();
            assert!((least * 1000..=least * 1200).contains(&wait), "{wait} after {trips}");
            assert_eq!(breaker.tries_by_itself(&options), trips <= 5);
        }
    }
}

#[test]
fn a_cooldown_is_never_shorter_than_the_window() {
    let second = Duration::from_secs(1);
    let options =
        Options { cooldown_first: second, cooldown_permanent: second, ..Options::default() };
    for was_permanent in [false, true] {
        let mut breaker = Breaker::default();
        let death = Death { was_permanent, was_trial: true, was_stable: false };
        assert!(breaker.count(death, &options, Time(0)).is_some());
        let wait = breaker.cooldown(&options, &mut Jitter::new(0)).unwrap();
        assert!(wait >= options.window, "{wait:?}");
    }
}

#[test]
fn a_gap_in_which_nothing_ran_does_not_age_the_deaths() {
    let (mut breaker, _) = count(STABLE, &[0, 10_000, 20_000]);
    let now = Time(3_620_000);
    breaker.skip(Duration::from_secs(3600), now);
    let options = Options::default();
    assert_eq!(breaker.deaths(&options, now), 3);
    assert_eq!(breaker.deaths(&options, now + Duration::from_secs(40)), 2);
    breaker.skip(Duration::MAX, now);
    assert_eq!(breaker.deaths(&options, now), 3, "no death lies in the future");
}
