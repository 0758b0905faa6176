//! What plans make of capabilities: passed over, refused, or left to the provider.

use super::*;
use crate::GatewayError;
use crate::access::Caller;
use crate::config::{Config, Format};
use crate::dice::Dice;
use crate::health::States;
use crate::moment::Moment;
use crate::route::{Query, plan};
use crate::snapshot::{Snapshot, compile};

const TWO: &str = "channels:
  - {name: blind, provider: openai, api_key: k, models: [{name: m, capabilities: [tools], max_output_tokens: 100}], tier: 1}
  - {name: seeing, provider: openai, api_key: k, models: [{name: m, capabilities: [tools, vision]}, gpt-4o, gpt-4], tier: 2}
  - {name: old, provider: openai, api_key: k, models: [{name: old, capabilities: []}, 'local-*']}
  - {name: few, provider: vllm, base_url: 'http://127.0.0.1:1', models: [{name: 'tiny-*', context_length: 100, supports_streaming: false}]}
";

fn snapshot(more: &str) -> Snapshot {
    let text = format!("{TWO}{more}");
    let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
    compile(&config, &States::default()).expect(&text)
}

fn route(snapshot: &Snapshot, model: &str, needs: Needs) -> Result<Vec<String>, GatewayError> {
    let caller = Caller::new("k", "k");
    let query =
        Query { model: Some(model), operation: Operation::Chat, dialect: Dialect::OpenaiChat, needs, charge: None };
    let plan = plan(snapshot, &caller, &query, Moment::seconds(1), &mut Dice::seeded(1))?;
    Ok(plan.deployments().map(|deployment| deployment.channel.name.to_string()).collect())
}

#[test]
fn a_deployment_that_lacks_what_is_needed_is_passed_over_004_r8() {
    let snapshot = snapshot("");
    assert_eq!(route(&snapshot, "m", needing(Features::TOOLS)).unwrap(), ["blind", "seeing"]);
    assert_eq!(route(&snapshot, "m", needing(Features::VISION)).unwrap(), ["seeing"]);
    assert_eq!(route(&snapshot, "local-llama", needing(Features::VISION.with(Features::AUDIO))).unwrap(), ["old"]);
}

#[test]
fn a_request_that_nobody_can_serve_is_told_the_field_and_who_could() {
    let snapshot = snapshot("");
    let error = route(&snapshot, "old", needing(Features::VISION)).unwrap_err();
    assert_eq!((error.status(), error.param()), (400, Some("messages")));
    assert_eq!(error.message(), "The model `old` cannot see pictures (`messages`). Models that can: `gpt-4o`.");
    let error = route(&snapshot, "m", needing(Features::AUDIO)).unwrap_err();
    assert_eq!(error.message(), "The model `m` cannot hear or speak (`messages`).");
    let long = Needs { input_tokens: 1000, ..Needs::default() };
    assert_eq!(route(&snapshot, "tiny-1", long).unwrap_err().param(), Some("messages"));
}

#[test]
fn the_policy_may_refuse_or_look_away() {
    let vision = needing(Features::VISION);
    let refuse = snapshot("capabilities: {missing: refuse}");
    assert_eq!(route(&refuse, "m", vision).unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(route(&refuse, "m", needing(Features::TOOLS)).unwrap().len(), 2);
    let ignore = snapshot("capabilities: {missing: ignore}");
    assert_eq!(route(&ignore, "old", vision).unwrap(), ["old"]);
}

#[test]
fn an_answer_too_long_for_one_deployment_may_go_to_another_where_caps_are_kept() {
    let needs = Needs { output_tokens: Some(500), output_field: "max_tokens", ..Needs::default() };
    assert_eq!(route(&snapshot(""), "m", needs).unwrap(), ["blind", "seeing"]);
    let keep = snapshot("capabilities: {over_limit: refuse}");
    assert_eq!(route(&keep, "m", needs).unwrap(), ["seeing"]);
    let error = route(&keep, "gpt-4", Needs { output_tokens: Some(9000), ..needs }).unwrap_err();
    assert_eq!((error.status(), error.param()), (400, Some("max_tokens")));
}

#[test]
fn patterns_hand_down_what_is_said_of_them() {
    let snapshot = snapshot("");
    let adapted = snapshot.route("tiny-2").unwrap().tiers[0].deployments[0].capabilities;
    assert_eq!((adapted.context, adapted.knows(Features::STREAMING)), (Some(100), Some(false)));
}

#[test]
fn another_name_for_a_listed_model_is_marked() {
    let snapshot = snapshot("model_mappings: {global: {best: gpt-4o, lonely: nobody}}");
    let shown: Vec<_> = snapshot.models.iter().map(|model| (&*model.name, model.alias_of.as_deref())).collect();
    assert_eq!(shown, [("best", Some("gpt-4o")), ("gpt-4", None), ("gpt-4o", None), ("m", None), ("old", None)]);
}
