use super::deployment::{BarView, BreakerView};
use super::*;
use crate::config::{Config, Format};
use crate::health::States;
use crate::snapshot::compile;

const FILE: &str = "
keys: [{name: app, key: wp-0123456789abcdef}]
channels:
  - {name: a, provider: openai, api_keys: [sk-one, sk-two], models: [smart, fast], limits: {rpm: 60}}
  - {name: b, provider: anthropic, api_key: sk-three, models: [smart], tier: 2}
  - {name: c, provider: openai, api_key: sk-four, models: ['x-*']}
";

fn snapshot() -> Snapshot {
    let config = Config::parse(FILE, Format::Yaml, "w.yaml", &|_| None).unwrap();
    compile(&config, &States::default()).unwrap()
}

fn time(seconds: u64) -> Time {
    Time { now: Moment::seconds(seconds), unix_ms: 1_000_000_000 + seconds * 1000 }
}

fn found(snapshot: &Snapshot, label: &str) -> Arc<Deployment> {
    let mut found = None;
    each(snapshot, |one| {
        if &*one.label == label {
            found = Some(Arc::clone(one));
        }
    });
    found.unwrap()
}

fn fail(deployment: &Deployment, times: u64) {
    for second in 0..times {
        deployment.state.enter(Moment::seconds(second));
        let _ =
            deployment.state.fail(&deployment.channel.policy, Class::ServerError, None, Moment::seconds(second), false);
        deployment.state.leave();
    }
}

#[test]
fn an_isolated_deployment_shows_why_and_when_it_is_tried_again_003_13() {
    let snapshot = snapshot();
    let smart = found(&snapshot, "a/smart");
    smart.state.began(Duration::from_micros(1500));
    fail(&smart, 5);
    let time = time(14);
    let view = deployment(&smart, &time);
    assert_eq!((view.label, view.channel, view.model, view.upstream), ("a/smart", "a", "smart", "smart"));
    assert_eq!((view.state, view.healthy), (State::Isolated, false));
    assert_eq!(view.breaker, BreakerView { phase: "open", next_trial_ms: Some(50_000) });
    assert_eq!(view.bar, Some(BarView { reason: "breaker", remaining_ms: 50_000 }));
    assert_eq!(view.cooling.unwrap().class, "server_error");
    assert_eq!((view.requests, view.failures, view.failures_in_row, view.opened), (5, 5, 5, 1));
    assert_eq!((view.latency_ms, view.in_flight), (Some(2), 0));
    let last = LastError { class: "server_error", age_ms: 10_000, at: 1_000_000_000 + 4000 };
    assert_eq!(view.last_error, Some(last));

    smart.state.reset();
    assert_eq!(state(&smart, time.now), State::Healthy);
}

#[test]
fn channels_show_the_sums_over_their_deployments_003_30() {
    let snapshot = snapshot();
    fail(&found(&snapshot, "a/smart"), 5);
    fail(&found(&snapshot, "a/fast"), 1);
    let views = channels(&snapshot, &time(10));
    let names: Vec<_> = views.iter().map(|view| (view.name, view.provider, view.healthy)).collect();
    assert_eq!(names, [("a", "openai", true), ("b", "anthropic", true), ("c", "openai", true)]);
    let a = &views[0];
    assert_eq!(a.deployments, Count { healthy: 1, total: 2 });
    assert_eq!(a.states, [(State::Cooling, 1), (State::Isolated, 1)].into());
    assert_eq!((a.requests, a.failures, a.opened, a.limits.rpm), (6, 6, 1, Some(60)));
    assert_eq!(a.last_error.unwrap().age_ms, 6000);
    assert_eq!(views[1].last_error, None);
}

#[test]
fn a_credential_out_of_use_shows_its_reason_and_never_its_secret_002_12() {
    let snapshot = snapshot();
    let channel = &snapshot.channels[0];
    let state = &channel.credentials[1].state;
    assert!(state.enter(Moment::seconds(3)));
    state.leave();
    state.fail();
    state.put_out(Class::CredentialDead, Some(401), Duration::from_secs(600), Moment::seconds(3));
    let view = credential(channel, &channel.credentials[1], &time(13));
    assert_eq!((view.state, view.reason, view.status), ("out", Some("credential_dead"), Some(401)));
    assert_eq!((view.uses, view.errors, view.next_trial_ms), (1, 1, Some(590_000)));
    assert_eq!((view.last_used, view.since), (Some(1_000_003_000), Some(1_000_003_000)));
    let all = format!("{:?}", channels(&snapshot, &time(13)));
    assert!(!all.contains("sk-"), "{all}");
}

#[test]
fn everything_is_counted_with_how_much_of_it_is_well_003_29_004_23() {
    let snapshot = snapshot();
    let well = counts(&snapshot, Moment::seconds(1));
    assert_eq!(well.providers, Count { healthy: 2, total: 2 });
    assert_eq!(well.channels, Count { healthy: 3, total: 3 });
    assert_eq!(well.credentials, Count { healthy: 4, total: 4 });
    assert_eq!(well.groups, Count { healthy: 2, total: 2 });

    fail(&found(&snapshot, "b/smart"), 5);
    let ill = counts(&snapshot, Moment::seconds(10));
    assert_eq!((ill.providers.healthy, ill.channels.healthy), (1, 2));
    assert_eq!(ill.groups, Count { healthy: 2, total: 2 }, "a tier is left");
    assert_eq!(ill.deployments.total - ill.deployments.healthy, 1);
}

#[test]
fn a_gateway_can_serve_while_anything_can_be_tried() {
    let config = FILE.lines().filter(|line| !line.contains("'x-*'")).collect::<Vec<_>>().join("\n");
    let config = Config::parse(&config, Format::Yaml, "w.yaml", &|_| None).unwrap();
    let snapshot = compile(&config, &States::default()).unwrap();
    assert!(can_serve(&Snapshot::default(), Moment::START), "nothing is ill where nothing is");
    let now = Moment::seconds(10);
    let mut last = None;
    each(&snapshot, |one| {
        assert!(can_serve(&snapshot, now), "{last:?}");
        fail(one, 5);
        last = Some(Arc::clone(&one.label));
    });
    assert!(!can_serve(&snapshot, now));
    assert!(can_serve(&snapshot, Moment::seconds(64)), "a trial is due");
}
