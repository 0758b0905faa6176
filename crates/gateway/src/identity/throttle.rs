//! How often passwords may be tried: for an account whoever tries, and from an address whatever account. After a few mistakes
//! each try makes the next one wait longer, up to a bound, so that nobody is locked out for ever. Knows no password; an
//! address that nobody has is counted like any other. Tests are below.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use waypost_store::users::login_of;

/// How many are remembered; when more try at once, those who waited longest are forgotten.
const MOST: usize = 50_000;

/// How a kind of thing is slowed down.
struct Rule {
    /// Tries without any wait.
    free: u32,
    longest: Duration,
    /// Quiet for so long, it is as new.
    forgotten: Duration,
}

const ACCOUNT: Rule = Rule { free: 5, longest: Duration::from_secs(60), forgotten: Duration::from_secs(15 * 60) };
const ADDRESS: Rule = Rule { free: 20, longest: Duration::from_secs(15 * 60), forgotten: Duration::from_secs(60 * 60) };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
}

impl Key {
    fn rule(&self) -> &'static Rule {
        match self {
            Self::Account(_) => &ACCOUNT,
            Self::Address(_) => &ADDRESS,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    count: u32,
    /// Milliseconds since 1970.
    last: i64,
}

/// What is remembered of tries.
#[derive(Default)]
pub(super) struct Throttle {
    tries: Mutex<HashMap<Key, Tries>>,
}

impl Throttle {
    /// Counts a try as a mistake before it is known to be one, so that many at once are not all free; or says how long to
    /// wait. A try that has to wait counts for nothing. `now` is in milliseconds since 1970.
    pub(super) fn enter(&self, account: Option<&str>, address: IpAddr, now: i64) -> Result<(), Duration> {
        let keys = keys(account, address);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = keys.iter().filter_map(|key| tries.get(key).map(|known| known.wait(key.rule(), now))).max();
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if tries.len() >= MOST {
            make_room(&mut tries, now);
        }
        for key in keys {
            let rule = key.rule();
            let known = tries.entry(key).or_insert(Tries { count: 0, last: now });
            if known.is_forgotten(rule, now) {
                known.count = 0;
            }
            *known = Tries { count: known.count.saturating_add(1), last: now };
        }
        Ok(())
    }

    /// The try was none of a stranger: the account is as new, and the address is not blamed for it.
    pub(super) fn passed(&self, account: Option<&str>, address: IpAddr) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(account, address) {
            match &key {
                Key::Account(_) => drop(tries.remove(&key)),
                Key::Address(_) => {
                    if let Some(known) = tries.get_mut(&key) {
                        known.count = known.count.saturating_sub(1);
                    }
                }
            }
        }
    }
}

impl Tries {
    fn wait(&self, rule: &Rule, now: i64) -> Duration {
        if self.count < rule.free || self.is_forgotten(rule, now) {
            return Duration::ZERO;
        }
        let doublings = (self.count - rule.free).min(20);
        let whole = Duration::from_secs(1 << doublings).min(rule.longest);
        whole.saturating_sub(self.quiet(now))
    }

    fn is_forgotten(&self, rule: &Rule, now: i64) -> bool {
        self.quiet(now) >= rule.forgotten
    }

    fn quiet(&self, now: i64) -> Duration {
        Duration::from_millis(u64::try_from(now.saturating_sub(self.last)).unwrap_or(0))
    }
}

fn keys(account: Option<&str>, address: IpAddr) -> Vec<Key> {
    let account = account.map(|account| Key::Account(login_of(account)));
    account.into_iter().chain([Key::Address(network(address))]).collect()
}

/// What one household can choose freely counts as one address: the upper half of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// Forgets what may be forgotten; if that is nothing, the older half.
fn make_room(tries: &mut HashMap<Key, Tries>, now: i64) {
    tries.retain(|key, known| !known.is_forgotten(key.rule(), now));
    if tries.len() >= MOST {
        let mut times: Vec<i64> = tries.values().map(|known| known.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        tries.retain(|_, known| known.last > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// The waits that mistakes for one account meet, each tried as soon as it may be, from an address each.
    fn waits(throttle: &Throttle, tries: u8) -> Vec<u64> {
        let mut now = NOW;
        let mut waits = Vec::new();
        for last in 0..tries {
            if let Err(wait) = throttle.enter(Some("a@example.org"), address(last), now) {
                waits.push(wait.as_secs());
                now += i64::try_from(wait.as_millis()).unwrap();
                throttle.enter(Some("A@example.org "), address(last), now).unwrap();
            }
        }
        waits
    }

    #[test]
    fn mistakes_make_an_account_wait_longer_each_time_but_never_for_ever() {
        assert_eq!(waits(&Throttle::default(), 15), [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn an_address_waits_whatever_accounts_it_tries() {
        let throttle = Throttle::default();
        let try_account = |number: u32, now| throttle.enter(Some(&format!("{number}@example.org")), address(1), now);
        for number in 0..20 {
            try_account(number, NOW).unwrap();
        }
        assert_eq!(try_account(21, NOW), Err(Duration::from_secs(1)));
        assert_eq!(throttle.enter(None, address(1), NOW + 999), Err(Duration::from_millis(1)));
        assert_eq!(throttle.enter(Some("21@example.org"), address(2), NOW), Ok(()), "another address");
        let mut now = NOW;
        for number in 0..20 {
            now += 900_000;
            try_account(number, now).unwrap();
        }
        assert_eq!(try_account(1, now), Err(Duration::from_secs(900)));
        assert_eq!(try_account(1, now + 3_600_000), Ok(()), "quiet for an hour");
        assert_eq!(try_account(2, now + 3_600_000), Ok(()));
    }

    #[test]
    fn whoever_waits_is_not_made_to_wait_longer_by_trying() {
        let throttle = Throttle::default();
        let enter = |now| throttle.enter(Some("a@example.org"), address(1), now);
        (0..5).for_each(|_| enter(NOW).unwrap());
        for _ in 0..100 {
            assert_eq!(enter(NOW + 10), Err(Duration::from_millis(990)));
        }
        assert_eq!(enter(NOW + 1000), Ok(()));
    }

    #[test]
    fn the_right_password_makes_the_account_as_new() {
        let throttle = Throttle::default();
        for _ in 0..50 {
            throttle.enter(Some("a@example.org"), address(1), NOW).unwrap();
            throttle.passed(Some("a@example.org"), address(1));
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let throttle = Throttle::default();
        for last in 0..20_u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, last, 0, 0, last]);
            throttle.enter(None, address, NOW).unwrap();
        }
        assert!(throttle.enter(None, IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]), NOW).is_err());
        assert!(throttle.enter(None, IpAddr::from([0x2001, 0xdb8, 0, 2, 9, 9, 9, 9]), NOW).is_ok());
    }

    #[test]
    fn memory_is_bounded_however_many_accounts_are_tried() {
        let throttle = Throttle::default();
        for number in 0..(MOST as i64 + 10) {
            let address = IpAddr::from((number as u32).to_be_bytes());
            let _ = throttle.enter(None, address, NOW + number);
        }
        assert!(throttle.tries.lock().unwrap().len() <= MOST);
    }
}
