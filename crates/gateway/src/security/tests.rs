use waypost_core::config::Span;

use super::*;

const BLOCK: Block = Block { after: 5, window: Span::seconds(60), length: Span::seconds(600) };

fn from(address: &str) -> Who<'_> {
    Who { address: address.parse().ok(), shared: false, key: None }
}

fn note(security: &Security, sign: Sign, who: Who<'_>, seconds: u64) -> Noted {
    security.note(sign, who, None, Moment::seconds(seconds), 0)
}

/// How often it was told.
fn told(security: &Security, sign: Sign, who: Who<'_>, times: u32) -> Vec<u32> {
    (0..times).filter_map(|_| note(security, sign, who, 1).incident).map(|incident| incident.count).collect()
}

#[test]
fn twenty_bad_keys_from_one_address_are_told_and_then_each_doubling() {
    let security = Security::default();
    assert_eq!(told(&security, Sign::BadKey, from("192.0.2.1"), 100), [20, 40, 80]);
    assert_eq!(told(&security, Sign::BadKey, from("192.0.2.2"), 19), [0; 0]);
    assert!(note(&security, Sign::BadKey, from("192.0.2.2"), 61).incident.is_none(), "a minute later it begins anew");
    assert_eq!(security.counts().next(), Some(("bad_key", 120)));
}

#[test]
fn a_key_that_is_used_where_or_when_it_must_not_be_is_told_at_once() {
    let security = Security::default();
    let who = Who { key: Some("laptop"), ..from("192.0.2.1") };
    assert_eq!(told(&security, Sign::DeadKey, who, 25), [1, 20]);
    assert_eq!(told(&security, Sign::ForeignAddress, who, 1), [1]);
    let (incidents, _) = security.look(1, Moment::seconds(1));
    assert_eq!((incidents[0].kind, incidents[0].key.as_deref()), ("foreign_address", Some("laptop")));
}

#[test]
fn all_addresses_of_an_ipv6_network_are_one() {
    let security = Security::default();
    let addresses: Vec<_> = (0..20).map(|number| format!("2001:db8::{number:x}")).collect();
    let told: Vec<_> =
        addresses.iter().filter_map(|address| note(&security, Sign::BadKey, from(address), 1).incident).collect();
    assert_eq!(told.len(), 1);
}

#[test]
fn an_address_is_refused_for_a_while_and_then_let_in_again() {
    let security = Security::default();
    let at = |seconds| security.note(Sign::BadKey, from("192.0.2.1"), Some(BLOCK), Moment::seconds(seconds), 0);
    let blocked = |address: &str, seconds| security.blocked(address.parse().ok(), Moment::seconds(seconds));
    for _ in 0..4 {
        assert!(at(1).incident.is_none() && blocked("192.0.2.1", 1).is_none());
    }
    assert_eq!(at(2).incident.and_then(|incident| incident.blocked_for), Some(600));
    assert_eq!(blocked("192.0.2.1", 2), Some(Duration::from_secs(600)));
    assert_eq!(blocked("::ffff:192.0.2.1", 602 - 1), Some(Duration::from_secs(1)));
    assert_eq!((blocked("192.0.2.2", 2), security.blocked(None, Moment::seconds(2))), (None, None));
    assert_eq!(security.look(10, Moment::seconds(2)).1.len(), 1);
    assert_eq!((blocked("192.0.2.1", 602), blocked("192.0.2.1", 603)), (None, None));
    for _ in 0..5 {
        at(700);
    }
    assert!(blocked("192.0.2.1", 700).is_some());
    assert!(security.pardon("192.0.2.1".parse().unwrap()) && blocked("192.0.2.1", 700).is_none());
}

#[test]
fn nobody_is_refused_whose_address_is_a_proxys_or_unknown_or_who_only_makes_mistakes() {
    let security = Security::default();
    let proxy = Who { shared: true, ..from("10.0.0.1") };
    let unknown = Who { address: None, ..from("") };
    for _ in 0..200 {
        for who in [proxy, unknown] {
            assert!(!security.note(Sign::BadKey, who, Some(BLOCK), Moment::seconds(1), 0).throttled);
        }
        for sign in [Sign::Malformed, Sign::Oversized, Sign::Burst, Sign::BadLogin] {
            security.note(sign, from("192.0.2.1"), Some(BLOCK), Moment::seconds(1), 0);
        }
    }
    assert!(security.look(0, Moment::seconds(1)).1.is_empty());
    assert!(security.blocked("10.0.0.1".parse().ok(), Moment::seconds(1)).is_none());
}

#[test]
fn whoever_tries_many_keys_is_told_to_wait() {
    let security = Security::default();
    let throttled = (0..100).filter(|_| note(&security, Sign::BadKey, from("192.0.2.1"), 1).throttled).count();
    assert_eq!(throttled, 40);
    assert!(!note(&security, Sign::BadKey, from("192.0.2.1"), 62).throttled);
}

#[test]
fn whatever_comes_memory_is_bounded_and_the_log_is_not_flooded() {
    let security = Security::default();
    let mut told = 0;
    for number in 0..30_000_u32 {
        let who = Who { address: Some(IpAddr::from((0x0a00_0000 + number).to_be_bytes())), shared: false, key: None };
        told += usize::from(note(&security, Sign::ForeignAddress, who, 1).incident.is_some());
    }
    assert_eq!(told, 120);
    assert!(security.lock().watched() <= 10_000);
    assert!(note(&security, Sign::DeadKey, from("192.0.2.1"), 90).incident.is_some(), "those that are quiet make room");
    assert_eq!(security.look(5000, Moment::seconds(1)).0.len(), 121);
}
