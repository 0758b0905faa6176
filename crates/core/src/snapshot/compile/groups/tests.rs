use super::*;
use crate::config::Format;
use crate::snapshot::{Snapshot, compile};

const CHANNELS: &str = "channels:
- {name: one, provider: openai, api_key: k, tier: 2, models: [gpt-4o, {name: gpt-4o-mini, weight: 30}]}
- {name: two, provider: anthropic, api_key: k, models: [claude]}
- {name: any, provider: openai_compatible, base_url: 'http://127.0.0.1:1/v1', api_key: k, models: ['local-*']}
- {name: off, provider: openai, api_key: k, enabled: false, models: [gpt-5]}
";

fn compiled(groups: &str) -> Result<Snapshot, Vec<String>> {
    let text = format!("{CHANNELS}model_groups:\n{groups}");
    let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
    compile(&config, &States::default()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// `tier channel/model weight` of everything behind a name.
fn behind(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let route = snapshot.route(name).expect(name);
    let all = route.tiers.iter().flat_map(|tier| &tier.deployments);
    all.map(|it| format!("{} {} {}", it.tier, it.label, it.weight)).collect()
}

#[test]
fn members_are_tried_in_their_tiers_and_weights_and_share_the_health_of_their_models() {
    let snapshot = compiled(
        "- name: auto:fast
  strategy: round_robin
  members: [{model: gpt-4o-mini, tier: 1}, {model: claude, tier: 3, weight: 7}, gpt-4o, local-7b, 'gpt-*']",
    )
    .unwrap();
    assert_eq!(
        behind(&snapshot, "auto:fast"),
        ["1 one/gpt-4o-mini 30", "1 any/local-7b 100", "2 one/gpt-4o 100", "3 two/claude 7"]
    );
    let group = snapshot.route("auto:fast").unwrap();
    assert_eq!(group.strategy.name(), "round_robin");
    let (of_group, of_model) = (&group.tiers[0].deployments[0], snapshot.route("gpt-4o-mini").unwrap());
    assert!(Arc::ptr_eq(&of_group.state, &of_model.tiers[0].deployments[0].state));
    assert_eq!(behind(&snapshot, "gpt-4o-mini"), ["2 one/gpt-4o-mini 30"], "the model itself stays as it was");
}

#[test]
fn a_group_without_members_is_everything_that_is_listed_and_one_of_a_channel_is_that_channel() {
    let snapshot = compiled("- {name: all}\n- {name: claude-only, members: [{channel: two}]}\n").unwrap();
    assert_eq!(behind(&snapshot, "all"), ["1 two/claude 100", "2 one/gpt-4o 100", "2 one/gpt-4o-mini 30"]);
    assert_eq!(behind(&snapshot, "claude-only"), ["1 two/claude 100"]);
}

#[test]
fn a_group_comes_before_a_model_of_its_name_and_its_members_are_models() {
    let snapshot = compiled("- {name: gpt-4o, members: [gpt-4o, claude]}\n- {name: claude, enabled: false}").unwrap();
    assert_eq!(behind(&snapshot, "gpt-4o"), ["1 two/claude 100", "2 one/gpt-4o 100"]);
    assert_eq!(behind(&snapshot, "claude"), ["1 two/claude 100"]);
    let listed: Vec<_> = snapshot.models.iter().map(|model| (&*model.name, model.group)).collect();
    assert_eq!(listed, [("claude", false), ("gpt-4o", true), ("gpt-4o-mini", false)]);
}

#[test]
fn a_member_that_nothing_serves_is_told_and_the_others_serve() {
    let snapshot = compiled("- {name: g, members: [gpt-5, claude, nobody]}").unwrap();
    assert_eq!(behind(&snapshot, "g"), ["1 two/claude 100"]);
    let warnings: Vec<_> = snapshot.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "w.yaml:7:23: model_groups[0].members[0]: nothing serves `gpt-5` now, so `g` goes without it",
            "w.yaml:7:38: model_groups[0].members[2]: nothing serves `nobody` now, so `g` goes without it",
        ]
    );
}

#[test]
fn what_cannot_be_a_group_is_refused_with_its_place() {
    let errors =
        compiled("- {name: 'a*'}\n- {name: b, members: [{channel: tow}, {weight: 1}]}\n- {name: b}").unwrap_err();
    assert_eq!(
        errors,
        [
            "w.yaml:7:4: model_groups[0].name: a group has a name of its own, without `*`",
            "w.yaml:8:24: model_groups[1].members[0].channel: there is no channel `tow`",
            "w.yaml:8:39: model_groups[1].members[1]: a member names a `model`, a `channel`, or both",
            "w.yaml:9:4: model_groups[2].name: another group is named `b`; give each group a name of its own",
        ]
    );
}
