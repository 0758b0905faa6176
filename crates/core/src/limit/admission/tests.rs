use std::sync::Arc;
use std::time::Duration;

use super::super::{CallerLimits, Dimension, LevelGate, LevelKind};
use super::*;
use crate::dice::Dice;

const NOTHING: CallerLimits = CallerLimits { rpm: None, tpm: None, concurrency: None, tokens_per_day: None };

fn level(kind: LevelKind, limits: CallerLimits) -> Level {
    Level { kind, name: kind.name().into(), limits, gate: Arc::new(LevelGate::default()) }
}

fn key(limits: CallerLimits) -> Levels {
    Levels::new(vec![level(LevelKind::Key, limits)])
}

fn ask(prompt: u64, output: u64) -> Ask {
    Ask { prompt, output, capped: true }
}

/// Admits a request that goes on for ever.
fn admitted(levels: &Levels, ask: Ask, now: Moment) -> Result<(), Dimension> {
    levels.admit(ask, now).map(std::mem::forget).map_err(|denied| denied.dimension)
}

#[test]
fn without_limits_everything_is_admitted_and_nothing_is_told() {
    let levels = Levels::new(vec![level(LevelKind::Key, NOTHING)]);
    assert!(levels.is_empty() && levels.admit(ask(u64::MAX, u64::MAX), Moment::START).is_ok());
    assert_eq!(levels.standing(Moment::START), super::super::Standing::default());
}

#[test]
fn the_third_request_of_a_minute_is_refused_until_the_first_is_a_minute_ago() {
    let levels = key(CallerLimits { rpm: Some(2), ..NOTHING });
    let now = Moment::seconds(5);
    for _ in 0..2 {
        assert!(admitted(&levels, Ask::default(), now).is_ok());
    }
    let denied = levels.admit(Ask::default(), now).unwrap_err();
    assert_eq!((denied.level, denied.dimension, denied.limit), (LevelKind::Key, Dimension::Requests, 2));
    let Free::At(free) = denied.free else { panic!("{denied:?}") };
    assert!(free > now.plus(Duration::from_secs(60)) && free <= now.plus(Duration::from_secs(61)), "{free:?}");
    assert!(admitted(&levels, Ask::default(), free).is_ok());
}

#[test]
fn nothing_is_taken_anywhere_unless_everything_fits_everywhere() {
    let wide = level(LevelKind::Key, CallerLimits { rpm: Some(10), tpm: Some(1000), ..NOTHING });
    let narrow = level(LevelKind::Team, CallerLimits { rpm: Some(1), ..NOTHING });
    let levels = Levels::new(vec![wide.clone(), narrow]);
    let alone = Levels::new(vec![wide]);
    let now = Moment::seconds(1);
    assert!(admitted(&levels, ask(10, 10), now).is_ok());
    for _ in 0..5 {
        assert_eq!(levels.admit(ask(10, 10), now).unwrap_err().level, LevelKind::Team);
    }
    let left = alone.standing(now);
    assert_eq!(left.requests.map(|left| left.remaining), Some(9));
    assert_eq!(left.tokens.map(|left| left.remaining), Some(980));
}

#[test]
fn tokens_are_reserved_and_then_corrected_to_what_was_used() {
    let levels = key(CallerLimits { tpm: Some(100), tokens_per_day: Some(150), ..NOTHING });
    let now = Moment::seconds(1);
    let mut first = levels.admit(ask(50, 40), now).unwrap();
    assert_eq!(admitted(&levels, ask(20, 0), now), Err(Dimension::Tokens));
    first.used(10);
    let second = levels.admit(ask(50, 40), now).unwrap();
    drop(second);
    let mut third = levels.admit(ask(50, 40), now).unwrap();
    third.used(95);
    assert_eq!(admitted(&levels, ask(1, 0), now), Err(Dimension::Tokens), "more was used than reserved");
    let later = now.plus(Duration::from_secs(61));
    assert_eq!(admitted(&levels, ask(50, 0), later), Err(Dimension::TokensPerDay));
    assert!(admitted(&levels, ask(45, 0), later).is_ok());
    assert!(admitted(&levels, ask(100, 0), now.next_day()).is_ok());
}

#[test]
fn a_prompt_above_the_limit_never_fits_but_a_high_cap_does() {
    let levels = key(CallerLimits { tpm: Some(100), ..NOTHING });
    let denied = levels.admit(ask(101, 0), Moment::START).unwrap_err();
    assert_eq!((denied.dimension, denied.free), (Dimension::Tokens, Free::Never));
    assert!(admitted(&levels, ask(10, 32_000), Moment::START).is_ok());
    assert_eq!(admitted(&levels, ask(1, 0), Moment::START), Err(Dimension::Tokens));
}

#[test]
fn where_the_output_has_no_cap_a_tenth_of_the_limit_is_reserved_at_most() {
    let levels = key(CallerLimits { tpm: Some(100), ..NOTHING });
    let uncapped = Ask { capped: false, ..ask(10, 256) };
    for _ in 0..5 {
        assert!(admitted(&levels, uncapped, Moment::START).is_ok());
    }
    assert_eq!(admitted(&levels, uncapped, Moment::START), Err(Dimension::Tokens));
}

#[test]
fn a_place_is_given_back_by_whoever_leaves_and_a_request_that_was_never_made_leaves_nothing() {
    let levels = key(CallerLimits { rpm: Some(2), concurrency: Some(1), tpm: Some(100), ..NOTHING });
    let now = Moment::seconds(1);
    for _ in 0..10 {
        let first = levels.admit(ask(90, 0), now).unwrap();
        let denied = levels.admit(ask(1, 0), now).unwrap_err();
        assert_eq!((denied.dimension, denied.free), (Dimension::Concurrency, Free::Soon));
        drop(first);
    }
    for _ in 0..2 {
        levels.admit(ask(90, 0), now).unwrap().used(0);
    }
    assert_eq!(admitted(&levels, ask(1, 0), now), Err(Dimension::Requests));
}

#[test]
fn the_tightest_level_is_what_is_told() {
    let levels = Levels::new(vec![
        level(LevelKind::Key, CallerLimits { rpm: Some(5), tokens_per_day: Some(50), ..NOTHING }),
        level(LevelKind::User, CallerLimits { rpm: Some(3), tpm: Some(1000), ..NOTHING }),
    ]);
    let now = Moment::seconds(80_000);
    assert!(admitted(&levels, ask(10, 0), now).is_ok());
    let standing = levels.standing(now);
    let requests = standing.requests.unwrap();
    assert_eq!((requests.limit, requests.remaining), (3, 2));
    assert!(requests.reset > Duration::from_secs(59) && requests.reset <= Duration::from_secs(61), "{requests:?}");
    let tokens = standing.tokens.unwrap();
    assert_eq!((tokens.limit, tokens.remaining, tokens.reset), (50, 40, Duration::from_secs(86_400 - 80_000)));
}

/// What happened at one level: when, how many requests and tokens were admitted.
type Seen = Vec<(u64, u64)>;

fn assert_never_above(seen: &mut Seen, limit: u64, story: &str) {
    seen.sort_unstable();
    let mut from = 0;
    let mut sum = 0;
    for (at, amount) in seen.iter() {
        sum += amount;
        while seen[from].0 + 60_000_000 <= *at {
            sum -= seen[from].1;
            from += 1;
        }
        assert!(sum <= limit, "{story}: {sum} of {limit} in the minute that ends at {at} us");
    }
}

const KEY: CallerLimits = CallerLimits { rpm: Some(60), tpm: Some(4000), concurrency: None, tokens_per_day: None };
const TEAM: CallerLimits = CallerLimits { rpm: Some(100), tpm: None, concurrency: None, tokens_per_day: None };

/// What one thread tries at one moment, until it is refused: what was admitted of which key, and when there will be room.
fn storm(keys: &[Levels; 3], now: Moment, mut dice: Dice) -> (Vec<(usize, u64)>, Option<Moment>) {
    let mut admitted = Vec::new();
    loop {
        let which = usize::try_from(dice.below(3)).unwrap();
        let tokens = 1 + dice.below(100);
        if dice.below(4) == 0 {
            std::thread::yield_now();
        }
        match keys[which].admit(ask(tokens, 0), now) {
            // One in ten finds that it has no money, say.
            Ok(admission) if dice.below(10) == 0 => drop(admission),
            Ok(mut admission) => {
                admitted.push((which, tokens));
                admission.used(tokens);
            }
            Err(Denied { level: LevelKind::Team, free: Free::At(free), .. }) => return (admitted, Some(free)),
            Err(_) if dice.below(4) == 0 => return (admitted, None),
            Err(_) => {}
        }
    }
}

/// 64 threads, three keys, one team. Whatever the interleaving, no minute of any key or of the team holds more than its limit,
/// and the team's limit is used to 99 %.
#[test]
fn no_minute_holds_more_than_the_limit_under_64_callers() {
    let team = level(LevelKind::Team, TEAM);
    let keys = [0, 1, 2].map(|_| Levels::new(vec![level(LevelKind::Key, KEY), team.clone()]));
    let mut dice = Dice::seeded(11);
    let mut seen: Vec<(usize, u64, u64)> = Vec::new();
    let mut now = Moment::seconds(3);
    let began = now;
    while now.since(began) < Duration::from_secs(300) {
        let keys = &keys;
        let (admitted, free): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    let dice = Dice::seeded(dice.throw());
                    scope.spawn(move || storm(keys, now, dice))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).unzip()
        });
        seen.extend(admitted.into_iter().flatten().map(|(key, tokens)| (key, now.as_micros(), tokens)));
        let next = now.plus(Duration::from_micros(1 + dice.below(4_000_000)));
        now = free.into_iter().flatten().min().map_or(next, |free| free.min(next));
    }
    for which in 0..3 {
        let of_key = || seen.iter().filter(move |(key, ..)| *key == which);
        assert_never_above(&mut of_key().map(|(_, at, _)| (*at, 1)).collect(), 60, "requests of a key");
        assert_never_above(&mut of_key().map(|(_, at, tokens)| (*at, *tokens)).collect(), 4000, "tokens of a key");
    }
    assert_never_above(&mut seen.iter().map(|(_, at, _)| (*at, 1)).collect(), 100, "requests of the team");
    let whole = 300 * 100 / 60;
    assert!(seen.len() as u64 * 100 >= whole * 99, "{} of {whole}", seen.len());
}
