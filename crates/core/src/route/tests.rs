use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::access::Scopes;
use crate::config::{Config, Format};
use crate::error::Kind;
use crate::health::States;
use crate::pattern::Pattern;
use crate::snapshot::compile;
use crate::verdict::{Outcome, Trouble, judge};
use waypost_wire::error::RemoteError;

fn snapshot(text: &str) -> Snapshot {
    let config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).expect(text);
    compile(&config, &States::default()).expect(text)
}

/// Channels that all serve `m`, each with these settings.
fn channels(settings: &[&str]) -> String {
    let one = |(position, settings): (usize, &&str)| {
        let name = char::from(b'a' + u8::try_from(position).unwrap());
        let key = if settings.contains("api_key") { "" } else { "api_key: sk-1," };
        format!("  - {{name: {name}, provider: openai, {key} models: [m], {settings}}}\n")
    };
    format!("channels:\n{}", settings.iter().enumerate().map(one).collect::<String>())
}

fn caller(models: Option<&[&str]>) -> Caller {
    let models = models.map(|models| models.iter().map(|model| Pattern::new(model)).collect());
    Caller { scopes: Scopes { models, ..Scopes::default() }, ..Caller::new("k", "k") }
}

fn chat(model: &str) -> Query<'_> {
    Query {
        model: Some(model),
        operation: Operation::Chat,
        dialect: Dialect::OpenaiChat,
        needs: Needs::default(),
        charge: None,
    }
}

fn at(seconds: u64) -> Moment {
    Moment::seconds(seconds)
}

fn planned(snapshot: &Snapshot, now: Moment, seed: u64) -> Plan<'_> {
    plan(snapshot, &caller(None), &chat("m"), now, &mut Dice::seeded(seed)).unwrap()
}

fn order(snapshot: &Snapshot, seed: u64) -> Vec<String> {
    planned(snapshot, at(1), seed).deployments().map(|deployment| deployment.channel.name.to_string()).collect()
}

/// `channel:credential` of the first attempt, which goes well.
fn first(snapshot: &Snapshot, now: Moment, seed: u64) -> Option<String> {
    let mut claim = planned(snapshot, now, seed).claim(10, now, &mut Dice::seeded(seed)).ok()?;
    claim.succeed(now);
    Some(format!("{}:{}", claim.deployment.channel.name, claim.credential()?.label))
}

fn share(snapshot: &Snapshot, times: u64) -> HashMap<String, u32> {
    let mut share = HashMap::new();
    for seed in 0..times {
        *share.entry(first(snapshot, at(1), seed).unwrap()).or_default() += 1;
    }
    share
}

fn status(status: u16) -> crate::verdict::Verdict {
    judge(Outcome::Status { status, remote: &RemoteError::default(), retry_after: None }, Some("m"))
}

fn fail(snapshot: &Snapshot, now: Moment, code: u16) -> Option<String> {
    let mut claim = planned(snapshot, now, 1).claim(10, now, &mut Dice::seeded(1)).ok()?;
    claim.fail(&status(code), now);
    Some(claim.deployment.channel.name.to_string())
}

#[test]
fn tier_1_is_always_tried_first_and_every_deployment_is_in_the_order_003_04() {
    let snapshot = snapshot(&channels(&["tier: 2", "tier: 1, weight: 1", "tier: 1, weight: 1"]));
    for seed in 0..50 {
        let order = order(&snapshot, seed);
        assert_eq!((order.len(), order[2].as_str()), (3, "a"));
    }
}

#[test]
fn within_a_tier_the_first_is_chosen_by_weight_003_07() {
    let snapshot = snapshot(&channels(&["weight: 3", "weight: 1"]));
    let threes = share(&snapshot, 4000)["a:key"];
    assert!((2850..3150).contains(&threes), "{threes} of 4000");
}

#[test]
fn weight_and_health_share_the_load_003_19() {
    let snapshot = snapshot(&channels(&["weight: 2", "weight: 1", "weight: 1"]));
    (0..200).for_each(|_| drop(first(&snapshot, at(1), 1)));
    let ill = &snapshot.route("m").unwrap().tiers[0].deployments[0];
    for _ in 0..5 {
        let _ = ill.state.fail(&ill.channel.policy, crate::verdict::Class::Network, None, at(1), false);
    }
    let share = share(&snapshot, 2000);
    assert_eq!(share.get("a:key"), None);
    assert!((900..1100).contains(&share["b:key"]), "{share:?}");
}

#[test]
fn round_robin_is_exact_000_27() {
    let text = format!("routing: {{strategy: round-robin}}\n{}", channels(&["", ""]));
    let share = share(&snapshot(&text), 100);
    assert_eq!((share["a:key"], share["b:key"]), (50, 50));
}

#[test]
fn random_shares_alike_whatever_the_weights() {
    let text = format!("routing: {{strategy: random}}\n{}", channels(&["weight: 900", "weight: 1"]));
    let share = share(&snapshot(&text), 2000);
    assert!((900..1100).contains(&share["a:key"]), "{share:?}");
}

#[test]
fn priority_takes_the_first_in_the_file() {
    let text = format!("routing: {{models: {{m: {{strategy: priority}}}}}}\n{}", channels(&["", "", ""]));
    assert_eq!(order(&snapshot(&text), 7), ["a", "b", "c"]);
}

#[test]
fn least_used_takes_whoever_was_used_less() {
    let text = format!("routing: {{strategy: least_used}}\n{}", channels(&["", "", ""]));
    let share = share(&snapshot(&text), 99);
    assert!(share.values().all(|count| *count == 33), "{share:?}");
}

#[test]
fn load_based_prefers_whoever_has_fewer_in_flight_000_32() {
    let text = format!("routing: {{strategy: load-based}}\n{}", channels(&["", ""]));
    let snapshot = snapshot(&text);
    let slow: Vec<_> =
        (0..10).map(|seed| planned(&snapshot, at(1), seed).claim(1, at(1), &mut Dice::seeded(seed)).unwrap()).collect();
    let on_a = slow.iter().filter(|claim| &*claim.deployment.channel.name == "a").count();
    assert_eq!(on_a, 5);
    drop(slow.into_iter().filter(|claim| &*claim.deployment.channel.name == "b").collect::<Vec<_>>());
}

#[test]
fn lowest_latency_takes_the_soonest_and_explores() {
    let text = format!("routing: {{strategy: lowest_latency}}\n{}", channels(&["", "", ""]));
    let snapshot = snapshot(&text);
    let measured = |place: usize, millis| {
        let deployment = Arc::clone(&snapshot.route("m").unwrap().tiers[0].deployments[place]);
        deployment.state.began(std::time::Duration::from_millis(millis));
    };
    measured(0, 900);
    measured(1, 200);
    assert_eq!(first(&snapshot, at(1), 4).as_deref(), Some("c:key"), "whoever was never measured comes first");
    measured(2, 1000);
    let share = share(&snapshot, 2000);
    assert!(share["b:key"] > 1850, "{share:?}");
    assert!(share["a:key"] > 10 && share["c:key"] > 10, "{share:?}");
}

#[test]
fn what_cannot_serve_the_operation_is_left_out() {
    let snapshot = snapshot("channels: [{name: a, provider: anthropic, api_key: sk-1, models: [m]}]");
    let embeddings = Query { operation: Operation::Embeddings, ..chat("m") };
    let error = plan(&snapshot, &caller(None), &embeddings, at(1), &mut Dice::seeded(1)).unwrap_err();
    assert_eq!(error.kind(), Kind::NoDeployment);
    assert_eq!(order(&snapshot, 1), ["a"]);
}

#[test]
fn unknown_and_forbidden_models_are_told_apart() {
    let snapshot = snapshot(&channels(&[""]));
    let kind = |model, caller: &Caller| {
        plan(&snapshot, caller, &chat(model), at(1), &mut Dice::seeded(1)).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(kind("nope", &caller(None)), Err(Kind::ModelNotFound));
    assert_eq!(kind("m", &caller(Some(&["gpt-*"]))), Err(Kind::NotAllowed));
    assert_eq!(kind("m", &caller(Some(&["m"]))), Ok(()));
}

#[test]
fn a_model_whose_channels_are_all_switched_off_is_known_but_unavailable_000_41() {
    let snapshot = snapshot(&channels(&["enabled: false"]));
    let error = plan(&snapshot, &caller(None), &chat("m"), at(1), &mut Dice::seeded(1)).unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::NoDeployment, 503));
}

#[test]
fn a_request_without_a_model_needs_a_default_channel() {
    let query = Query { model: None, operation: Operation::Passthrough, ..chat("m") };
    let asked = |snapshot: &Snapshot, caller: &Caller| {
        plan(snapshot, caller, &query, at(1), &mut Dice::seeded(1)).map(drop).map_err(|error| error.kind())
    };
    let none = snapshot("channels: [{name: a, provider: anthropic, api_key: sk-1, models: [m]}]");
    assert_eq!(asked(&none, &caller(None)), Err(Kind::NoDeployment));
    let some = snapshot(&channels(&[""]));
    assert_eq!(asked(&some, &caller(None)), Ok(()));
    assert_eq!(asked(&some, &caller(Some(&["gpt-*"]))), Err(Kind::NotAllowed));
}

// === credentials ===

fn with_keys(strategy: &str) -> Snapshot {
    snapshot(&channels(&[&format!("api_keys: [sk-1, sk-2, sk-3], key_strategy: {strategy}")]))
}

#[test]
fn keys_take_turns_exactly_002_08() {
    let snapshot = with_keys("round_robin");
    let keys: Vec<_> = (0..4).map(|seed| first(&snapshot, at(1), seed).unwrap()).collect();
    assert_eq!(keys, ["a:key-1", "a:key-2", "a:key-3", "a:key-1"]);
}

#[test]
fn random_keys_share_alike_002_09() {
    let share = share(&with_keys("random"), 300);
    assert!(share.len() == 3 && share.values().all(|count| (70..=130).contains(count)), "{share:?}");
}

#[test]
fn the_key_that_was_used_least_comes_next_002_10() {
    let snapshot = with_keys("least_used");
    let credentials = &snapshot.channels[0].credentials;
    (0..10).for_each(|_| assert!(credentials[0].state.enter(at(1))));
    let next: Vec<_> = (0..4).map(|seed| first(&snapshot, at(1), seed).unwrap()).collect();
    assert!(next.iter().all(|key| key != "a:key-1"), "{next:?}");
}

#[test]
fn a_refused_key_is_out_for_every_model_and_the_others_go_on_002_11() {
    let snapshot = with_keys("round_robin");
    assert_eq!(fail(&snapshot, at(1), 401).as_deref(), Some("a"));
    let keys: Vec<_> = (0..4).map(|seed| first(&snapshot, at(2), seed).unwrap()).collect();
    assert!(keys.iter().all(|key| key != "a:key-1"), "{keys:?}");
    let standing = snapshot.channels[0].credentials[0].state.standing();
    assert_eq!((standing.status, standing.failures), (Some(401), 1));
    assert!(!snapshot.route("m").unwrap().tiers[0].deployments[0].state.is_failing());
}

#[test]
fn a_request_goes_on_to_the_next_key_and_then_to_the_next_deployment() {
    let snapshot = snapshot(&channels(&["api_keys: [sk-1, sk-2]", "tier: 2"]));
    let mut plan = planned(&snapshot, at(1), 1);
    let mut tried = Vec::new();
    while let Ok(mut claim) = plan.claim(1, at(1), &mut Dice::seeded(1)) {
        let verdict = status(429);
        claim.fail(&verdict, at(1));
        tried.push(format!("{}:{}", claim.deployment.channel.name, claim.credential));
        plan.after(&claim, verdict.next);
    }
    assert_eq!(tried, ["a:0", "a:1", "b:0"]);
    let Err(blocked) = planned(&snapshot, at(2), 1).claim(1, at(2), &mut Dice::seeded(1)) else { panic!("it is free") };
    let error = blocked.into_error(Some("m"), at(2));
    assert_eq!((error.status(), error.retry_after()), (429, Some(59)));
}

// === limits ===

#[test]
fn whoever_is_full_is_passed_over_and_not_hit_003_05() {
    let snapshot = snapshot(&channels(&["max_rps: 2", "tier: 2"]));
    let firsts: Vec<_> = (0..4).map(|seed| first(&snapshot, at(1), seed).unwrap()).collect();
    assert_eq!(firsts, ["a:key", "a:key", "b:key", "b:key"]);
    assert_eq!(first(&snapshot, at(3), 1).as_deref(), Some("a:key"));
}

#[test]
fn limits_hold_for_the_account_the_model_and_the_key() {
    for settings in [
        "limits: {rpm: 1}",
        "key_limits: {rpm: 1}",
        "limits: {concurrency: 5}, key_limits: {rpm: 1}",
        "api_key: x, credentials: [{name: y, key: sk-2, enabled: false}], key_limits: {tpm: 15}",
    ] {
        let snapshot = snapshot(&channels(&[settings]));
        assert!(first(&snapshot, at(1), 1).is_some(), "{settings}");
        assert!(first(&snapshot, at(1), 1).is_none(), "{settings}");
        assert!(first(&snapshot, at(70), 1).is_some(), "{settings}");
    }
    let model =
        snapshot("channels: [{name: a, provider: openai, api_key: k, models: [{name: m, limits: {rpm: 1}}, n]}]");
    assert!(first(&model, at(1), 1).is_some() && first(&model, at(1), 1).is_none());
}

#[test]
fn a_claim_that_ends_gives_everything_back() {
    let snapshot = snapshot(&channels(&["limits: {concurrency: 1}, key_limits: {tpm: 100}"]));
    let now = at(1);
    let mut claim = planned(&snapshot, now, 1).claim(90, now, &mut Dice::seeded(1)).unwrap();
    let blocked = planned(&snapshot, now, 1).claim(1, now, &mut Dice::seeded(1)).unwrap_err();
    assert_eq!(blocked.wait(), Some(None), "it is free when a request ends");
    claim.used(10);
    drop(claim);
    let state = &snapshot.route("m").unwrap().tiers[0].deployments[0].state;
    assert_eq!(state.in_flight(), 0);
    assert!(planned(&snapshot, now, 1).claim(90, now, &mut Dice::seeded(1)).is_ok());
}

#[test]
fn when_everything_is_full_the_wait_is_told_honestly() {
    let snapshot = snapshot(&channels(&["limits: {rpm: 1}", "limits: {rpm: 1}"]));
    (0..2).for_each(|seed| drop(first(&snapshot, at(1), seed).unwrap()));
    let blocked = planned(&snapshot, at(11), 1).claim(1, at(11), &mut Dice::seeded(1)).unwrap_err();
    let Some(Some(free)) = blocked.wait() else { panic!("nothing to wait for") };
    assert!(free > at(61) && free <= at(62), "{free:?}");
    assert!(matches!(blocked.into_error(Some("m"), at(11)).retry_after(), Some(50 | 51)));
}

// === health ===

#[test]
fn an_isolated_deployment_gets_nothing_and_then_one_trial_003_15_003_16() {
    let snapshot = snapshot(&channels(&["", "tier: 2"]));
    for second in 1..6 {
        assert_eq!(fail(&snapshot, at(second), 500).as_deref(), Some("a"));
    }
    assert_eq!(first(&snapshot, at(6), 1).as_deref(), Some("b:key"));
    let now = at(66);
    let mut trial = planned(&snapshot, now, 1).claim(1, now, &mut Dice::seeded(1)).unwrap();
    assert!(trial.is_trial() && &*trial.deployment.channel.name == "a");
    for seed in 0..10 {
        assert_eq!(first(&snapshot, now, seed).as_deref(), Some("b:key"));
    }
    trial.began(std::time::Duration::from_millis(1), now);
    drop(trial);
    let soon = (0..400).filter(|seed| first(&snapshot, at(66), *seed).as_deref() == Some("a:key")).count();
    assert!((20..70).contains(&soon), "{soon} of 400 in its first second");
    assert_eq!(first(&snapshot, at(100), 1).as_deref(), Some("a:key"));
}

#[test]
fn a_callers_fault_never_hurts_a_deployment() {
    let snapshot = snapshot(&channels(&[""]));
    for second in 0..20 {
        assert!(fail(&snapshot, at(second), 400).is_some());
    }
    let state = &snapshot.route("m").unwrap().tiers[0].deployments[0].state;
    assert!(!state.is_failing() && state.last_error().is_none());
}

#[test]
fn a_broken_breaker_switch_keeps_a_failing_deployment_in_use_003_12() {
    let snapshot = snapshot(&format!("breaker: off\n{}", channels(&["", "tier: 2"])));
    for second in 1..20 {
        assert_eq!(fail(&snapshot, at(second), 500).as_deref(), Some("a"));
    }
}

#[test]
fn one_failure_puts_a_deployment_behind_its_peers_but_never_behind_a_later_tier() {
    let snapshot = snapshot(&channels(&["", "", "tier: 2"]));
    let failed = fail(&snapshot, at(1), 500).unwrap();
    for seed in 0..20 {
        let order: Vec<_> = planned(&snapshot, at(2), seed)
            .deployments()
            .map(|deployment| deployment.channel.name.to_string())
            .collect();
        assert_eq!((&order[1], order[2].as_str()), (&failed, "c"));
    }
}

#[test]
fn a_missing_model_is_told_when_all_say_so_and_an_ill_one_is_a_503_with_its_time() {
    let snapshot = snapshot(&channels(&["", "tier: 2"]));
    assert_eq!(fail(&snapshot, at(1), 404).as_deref(), Some("a"));
    assert_eq!(fail(&snapshot, at(1), 404).as_deref(), Some("b"));
    let told = |now: Moment| {
        let blocked = planned(&snapshot, now, 1).claim(1, now, &mut Dice::seeded(1)).unwrap_err();
        blocked.into_error(Some("m"), now)
    };
    assert_eq!(told(at(2)).kind(), Kind::ModelNotFound);
    for second in 302..307 {
        fail(&snapshot, at(second), 503).unwrap();
    }
    for _ in 0..5 {
        fail(&snapshot, at(307), 503).unwrap();
    }
    let error = told(at(310));
    assert_eq!((error.kind(), error.retry_after()), (Kind::NoDeployment, Some(56)));
}

#[test]
fn out_of_money_parks_the_key_until_reset() {
    let snapshot = snapshot(&channels(&[""]));
    fail(&snapshot, at(1), 402).unwrap();
    let blocked = planned(&snapshot, at(2), 1).claim(1, at(2), &mut Dice::seeded(1)).unwrap_err();
    assert_eq!(blocked.wait(), None, "waiting is no use");
    assert_eq!(blocked.into_error(Some("m"), at(2)).status(), 503);
    assert!(first(&snapshot, at(1801), 1).is_some());
}

#[test]
fn a_request_that_ran_out_of_time_hurts_nobody() {
    let snapshot = snapshot(&channels(&[""]));
    for _ in 0..20 {
        let mut claim = planned(&snapshot, at(1), 1).claim(1, at(1), &mut Dice::seeded(1)).unwrap();
        claim.fail(&judge(Outcome::Trouble(Trouble::NoTime), Some("m")), at(1));
    }
    assert!(first(&snapshot, at(1), 1).is_some());
}

#[test]
fn what_finds_no_place_further_on_takes_no_request_of_the_limits_before() {
    for waiting in ["key_limits: {concurrency: 1}", "models: [{name: m, limits: {concurrency: 1}}]"] {
        let text = format!(
            "channels: [{{name: a, provider: openai, api_key: k, models: [m], limits: {{rps: 2, rpm: 2, rpd: 2}}, {waiting}}}]"
        );
        let text = if waiting.starts_with("models") { text.replace("models: [m], ", "") } else { text };
        let snapshot = snapshot(&text);
        let claim = || planned(&snapshot, at(1), 1).claim(10, at(1), &mut Dice::seeded(1));
        let slow = claim().unwrap();
        for _ in 0..60 {
            assert!(claim().is_err(), "{waiting}");
        }
        drop(slow);
        assert!(claim().is_ok(), "one request was sent, not sixty: {waiting}");
        assert!(claim().is_err(), "two were: {waiting}");
    }
}

#[test]
fn whoever_pays_is_served_at_a_dearer_service_only_where_its_price_is_known() {
    let price = |factors: &str| {
        snapshot(&format!(
            "prices: [{{model: m, input: 1, output: 2{factors}}}]\n\
             channels: [{{name: a, provider: anthropic, api_key: k, models: [m]}}]"
        ))
    };
    let (plain, factored) = (price(""), price(", service_tiers: {priority: 6}"));
    let ask = |snapshot: &Snapshot, dearer, limited| {
        let charge = Some(Charge { at: 1, limited });
        let query = Query { needs: Needs { dearer, ..Needs::default() }, charge, ..chat("m") };
        plan(snapshot, &caller(None), &query, at(1), &mut Dice::seeded(1)).map(drop)
    };
    let (fast, us) = (Some(Dearer::Service("speed")), Some(Dearer::Unsaid("inference_geo")));
    let refused = ask(&plain, fast, true).unwrap_err();
    assert_eq!((refused.kind(), refused.param()), (Kind::NotAllowed, Some("speed")));
    assert_eq!(ask(&factored, us, true).unwrap_err().param(), Some("inference_geo"));
    for served in
        [ask(&plain, None, true), ask(&factored, fast, true), ask(&plain, fast, false), ask(&plain, us, false)]
    {
        served.unwrap();
    }
}

#[test]
fn alone_it_is_asked_again_and_among_others_it_is_not() {
    let alone = snapshot(&channels(&[""]));
    let mut plan = planned(&alone, at(1), 1);
    let claim = plan.claim(1, at(1), &mut Dice::seeded(1)).unwrap();
    plan.after(&claim, Next::Deployment);
    assert!(plan.claim(1, at(1), &mut Dice::seeded(1)).is_err());
    assert!(plan.again() && plan.claim(1, at(1), &mut Dice::seeded(1)).is_ok());
    assert!(!planned(&snapshot(&channels(&["", ""])), at(1), 1).again());
}

#[test]
fn a_probe_may_ask_a_refused_key_and_an_isolated_deployment_but_waits_for_limits() {
    let snapshot = snapshot(&channels(&["api_keys: [k1, k2], limits: {concurrency: 1}"]));
    let deployment = snapshot.deployment_on(&snapshot.channels[0], "m");
    let endpoint = deployment.channel.endpoint(Operation::Chat, Dialect::OpenaiChat).unwrap();
    let probe = |credential, second| Claim::for_probe(&deployment, endpoint, credential, at(second));
    let out = || deployment.channel.credentials[0].state.standing().out;
    probe(0, 1).unwrap().fail(&status(401), at(1));
    assert!(out().is_some());
    for second in 1..6 {
        probe(1, second).unwrap().fail(&status(500), at(second));
    }
    assert!(planned(&snapshot, at(6), 1).claim(10, at(6), &mut Dice::seeded(1)).is_err());

    let mut claim = probe(0, 6).unwrap();
    assert!(claim.is_trial());
    assert!(probe(1, 6).is_none(), "one trial at a time, and one request");
    assert!(claim.began(Duration::from_millis(1), at(7)).is_some());
    claim.succeed(at(7));
    drop(claim);
    assert_eq!(out(), None);
    assert!(planned(&snapshot, at(8), 1).claim(10, at(8), &mut Dice::seeded(1)).is_ok());

    probe(0, 9).unwrap().fail(&status(429), at(9));
    assert!(probe(0, 10).is_none(), "a limited key is left alone");
    assert!(probe(1, 10).is_some());
    assert!(probe(2, 10).is_none());
}
