use waypost_wire::Dialect;

mod routing;

use super::*;
use crate::config::{Capability, ModelEntry};
use crate::error::Kind;

const SKIP: CapabilityPolicy =
    CapabilityPolicy { missing: Missing::Skip, over_limit: OverLimit::Clamp, streaming: Unstreamed::Adapt };

fn model(capabilities: &[Capability]) -> Model {
    Model { capabilities: Some(capabilities.to_vec()), ..ModelEntry::named("m").0 }
}

fn needing(features: Features) -> Needs {
    Needs { features, ..Needs::default() }
}

fn fit(capabilities: &Capabilities, needs: &Needs, policy: CapabilityPolicy) -> Fit {
    capabilities.fit(needs, Operation::Chat, policy)
}

#[test]
fn what_nobody_knows_fits_everything() {
    let all = Features::NAMED.into_iter().fold(Features::NONE, |all, (feature, _)| all.with(feature));
    let needs = Needs { input_tokens: u64::MAX, output_tokens: Some(u64::MAX), ..needing(all) };
    assert_eq!(fit(&Capabilities::default(), &needs, SKIP), Fit::Fits);
    let refuse =
        CapabilityPolicy { missing: Missing::Refuse, over_limit: OverLimit::Refuse, streaming: Unstreamed::Refuse };
    assert_eq!(fit(&Capabilities::default(), &needs, refuse), Fit::Fits);
}

#[test]
fn each_need_is_held_against_a_list_that_lacks_it_004_r8() {
    let none = Capabilities::default().told_by(&model(&[]));
    for (feature, lack) in [
        (Features::TOOLS, Lack::Tools),
        (Features::VISION, Lack::Vision),
        (Features::AUDIO, Lack::Audio),
        (Features::JSON_MODE, Lack::JsonMode),
        (Features::JSON_SCHEMA, Lack::JsonSchema),
    ] {
        assert_eq!(fit(&none, &needing(feature), SKIP), Fit::Lacks(lack));
        let ignore = CapabilityPolicy { missing: Missing::Ignore, ..SKIP };
        assert_eq!(fit(&none, &needing(feature), ignore), Fit::Fits);
    }
    // A list says nothing about streaming, and thoughts are a hint.
    assert_eq!(fit(&none, &needing(Features::STREAMING.with(Features::REASONING)), SKIP), Fit::Fits);
    let schemas = Capabilities::default().told_by(&model(&[Capability::JsonSchema, Capability::Tools]));
    assert_eq!(fit(&schemas, &needing(Features::JSON_MODE.with(Features::TOOLS)), SKIP), Fit::Fits);
    assert_eq!(schemas.knows(Features::VISION), Some(false));
    assert_eq!(schemas.knows(Features::STREAMING), None);
}

#[test]
fn the_file_outweighs_the_catalogue_and_leaves_what_it_does_not_say() {
    let mut known = Capabilities { context: Some(8), max_output: Some(4), ..Capabilities::default() };
    known.say(Features::STREAMING.with(Features::TOOLS), Features::VISION);
    let said = Model { supports_streaming: Some(false), max_output_tokens: Some(2), ..model(&[Capability::Vision]) };
    let told = known.told_by(&said);
    assert_eq!((told.context, told.max_output), (Some(8), Some(2)));
    assert_eq!(told.knows(Features::VISION), Some(true));
    assert_eq!(told.knows(Features::TOOLS), Some(false));
    assert_eq!(told.knows(Features::STREAMING), Some(false));
    assert_eq!(known.told_by(&ModelEntry::named("m").0), known);
}

#[test]
fn a_stream_is_adapted_where_it_can_be_told_from_a_whole_answer_000_24() {
    let none = Capabilities::default().told_by(&Model { supports_streaming: Some(false), ..ModelEntry::named("m").0 });
    let needs = needing(Features::STREAMING);
    assert_eq!(fit(&none, &needs, SKIP), Fit::Adapt(Adaptation { max_output: None, whole: true }));
    assert_eq!(fit(&none, &needing(Features::NONE), SKIP), Fit::Fits);
    assert_eq!(none.fit(&needs, Operation::Completions, SKIP), Fit::Lacks(Lack::Streaming));
    let refuse = CapabilityPolicy { streaming: Unstreamed::Refuse, ..SKIP };
    assert_eq!(fit(&none, &needs, refuse), Fit::Lacks(Lack::Streaming));
}

#[test]
fn a_cap_above_the_models_is_lowered_or_refused_000_34() {
    let small = Capabilities { max_output: Some(4096), ..Capabilities::default() };
    let wanting = |tokens| Needs { output_tokens: tokens, output_field: "max_tokens", ..Needs::default() };
    let clamped = Fit::Adapt(Adaptation { max_output: Some(4096), whole: false });
    let refuse = CapabilityPolicy { over_limit: OverLimit::Refuse, ..SKIP };
    for (tokens, lowered, refused) in [
        (None, Fit::Fits, Fit::Fits),
        (Some(4096), Fit::Fits, Fit::Fits),
        (Some(4097), clamped, Fit::Lacks(Lack::Output(4096))),
    ] {
        assert_eq!(fit(&small, &wanting(tokens), SKIP), lowered, "{tokens:?}");
        assert_eq!(fit(&small, &wanting(tokens), refuse), refused, "{tokens:?}");
    }
}

#[test]
fn only_a_prompt_that_surely_does_not_fit_in_is_held_against_a_context() {
    let small = Capabilities { context: Some(1000), ..Capabilities::default() };
    let prompt = |input_tokens| Needs { input_tokens, ..Needs::default() };
    assert_eq!(fit(&small, &prompt(2001), SKIP), Fit::Fits);
    assert_eq!(fit(&small, &prompt(2002), SKIP), Fit::Lacks(Lack::Context));
    assert_eq!(fit(&small, &Needs { several: true, ..prompt(1 << 20) }, SKIP), Fit::Fits);
}

#[test]
fn a_refusal_names_the_field_in_the_callers_words_and_the_models_that_could() {
    let needs = Needs { output_tokens: Some(9000), output_field: "max_completion_tokens", ..Needs::default() };
    let error = refusal("m", Lack::Vision, &needs, Dialect::OpenaiResponses, &["gpt-4o", "claude"]);
    assert_eq!((error.kind(), error.status(), error.param()), (Kind::Unsupported, 400, Some("input")));
    assert_eq!(error.message(), "The model `m` cannot see pictures (`input`). Models that can: `gpt-4o`, `claude`.");
    let error = refusal("m", Lack::Output(4096), &needs, Dialect::OpenaiChat, &[]);
    assert_eq!(error.param(), Some("max_completion_tokens"));
    assert_eq!(error.message(), "The model `m` cannot write 9000 tokens, only 4096 (`max_completion_tokens`).");
    let error = refusal("m", Lack::JsonSchema, &needs, Dialect::Anthropic, &[]);
    assert_eq!(error.param(), Some("output_config.format"));
}
