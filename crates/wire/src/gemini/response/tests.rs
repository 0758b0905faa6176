use super::*;
use crate::Dialect;
use crate::chat::{Citation, Media, Reasoning, Signature, ToolCall, ToolKind};

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/gemini/", $case, ".response.json"))
    };
}

const SEAL: &str = "CiQBjz1rX2gVbGFzdGluZyBzZWFsIG9mIGEgdGhvdWdodA==";

fn answer(body: &[u8]) -> Response {
    match decode(body).unwrap() {
        Decoded::Response(response) => response,
        Decoded::Error(error) => panic!("an answer was expected, not {error:?}"),
    }
}

fn only(body: &[u8]) -> Choice {
    let mut choices = answer(body).choices;
    assert_eq!(choices.len(), 1);
    choices.remove(0)
}

fn seal() -> Option<Signature> {
    Some(Signature { dialect: Dialect::Gemini, seal: SEAL.to_owned() })
}

fn call(id: &str, name: &str, arguments: &str, signature: Option<Signature>) -> Part {
    let call = ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        kind: ToolKind::Function,
    };
    Part { signature, ..Content::ToolCall(call).into() }
}

#[test]
fn text_is_read_with_who_said_it_and_what_it_cost() {
    let response = answer(golden!("text"));
    assert_eq!(response.id.as_deref(), Some("mAitaLmkHPPlz7IPvtfUqQ4"));
    assert_eq!(response.model.as_deref(), Some("gemini-2.5-flash"));
    assert_eq!(response.choices[0].parts, [Part::text("Paris is the capital of France.")]);
    assert_eq!(response.choices[0].finish, Some(FinishReason::Stop));
    let usage = response.usage.unwrap();
    assert_eq!((usage.input, usage.output, usage.reasoning), (Some(8), Some(7), None));
}

#[test]
fn a_sealed_call_makes_stop_mean_tool_calls() {
    let choice = only(golden!("tools"));
    let arguments = "{\"city\":\"Zürich\",\"days\":2}";
    assert_eq!(choice.parts, [call("call_Zx8taYeRLs-2jMcPqNnZ8AQ_0", "get_weather", arguments, seal())]);
    assert_eq!(choice.finish, Some(FinishReason::ToolCalls));
}

#[test]
fn parallel_calls_have_ids_of_their_own_beside_text() {
    let choice = only(golden!("parallel_tools"));
    assert_eq!(
        choice.parts,
        [
            Part::text("I will look."),
            call("call_Zx8taYeRLs-2jMcPqNnZ8AQ_0", "get_weather", "{\"city\":\"Paris\"}", seal()),
            call("call_Zx8taYeRLs-2jMcPqNnZ8AQ_1", "get_time", "{\"zone\":\"Europe/Paris\"}", None),
        ]
    );
}

#[test]
fn a_call_keeps_the_id_it_came_with_and_a_stand_in_is_a_custom_call_again() {
    let choice = only(
        br#"{"candidates":[{"content":{"parts":[
            {"functionCall":{"id":"8f2b1a3c","name":"f"}},
            {"functionCall":{"name":"waypost_custom_patch","args":{"input":"*** Begin"}}}]},"finishReason":"STOP"}],
            "responseId":"r"}"#,
    );
    let patch = ToolCall {
        id: "call_r_0".to_owned(),
        name: "patch".to_owned(),
        arguments: "*** Begin".to_owned(),
        kind: ToolKind::Custom,
    };
    assert_eq!(choice.parts, [call("8f2b1a3c", "f", "{}", None), Content::ToolCall(patch).into()]);
}

#[test]
fn thoughts_stand_apart_and_seals_stay_on_their_part() {
    let response = answer(golden!("thinking"));
    let parts = &response.choices[0].parts;
    let thought = "**Weighing the numbers**\n\nThe primes below ten are 2, 3, 5, 7.";
    let thought = Content::Reasoning(Reasoning { text: thought.to_owned(), ..Reasoning::default() });
    assert_eq!(*parts, [thought.into(), Part { signature: seal(), ..Part::text("Four.") }]);
    let usage = response.usage.unwrap();
    assert_eq!((usage.output, usage.reasoning, usage.total()), (Some(98), Some(96), 112));
}

#[test]
fn an_answer_cut_before_its_first_word_is_a_length_stop() {
    let response = answer(golden!("length"));
    assert_eq!(response.choices[0].parts, []);
    assert_eq!(response.choices[0].finish, Some(FinishReason::Length));
    assert_eq!(response.usage.unwrap().output, Some(64));
}

#[test]
fn a_blocked_prompt_is_filtered_and_cost_only_input() {
    let response = answer(golden!("content_filter"));
    assert_eq!(response.choices.len(), 1);
    assert_eq!(response.choices[0].finish, Some(FinishReason::ContentFilter));
    let usage = response.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(19), Some(0)));
}

#[test]
fn usage_adds_thoughts_and_tool_prompts_and_shows_the_cache() {
    let usage = answer(golden!("usage_cached")).usage.unwrap();
    assert_eq!((usage.input, usage.cache_read), (Some(2124), Some(2032)));
    assert_eq!((usage.output, usage.reasoning), (Some(32), Some(30)));
    assert_eq!(usage.total(), 2156);
}

#[test]
fn every_candidate_is_a_choice() {
    let choices = answer(golden!("n")).choices;
    let said: Vec<_> = choices.iter().map(|choice| (choice.index, choice.parts.as_slice())).collect();
    assert_eq!(said, [(0, &[Part::text("Heads.")][..]), (1, &[Part::text("Tails.")][..])]);
}

#[test]
fn log_probabilities_are_openais() {
    let logprobs = only(golden!("logprobs")).logprobs.unwrap();
    assert_eq!(
        logprobs["content"][0],
        serde_json::json!({"token": "Yes", "logprob": -0.01, "bytes": [89, 101, 115], "top_logprobs": [
            {"token": "Yes", "logprob": -0.01, "bytes": [89, 101, 115]},
            {"token": "No", "logprob": -4.6, "bytes": [78, 111]}]})
    );
    assert_eq!(logprobs["content"].as_array().unwrap().len(), 2);
}

#[test]
fn sources_are_cited_on_the_text_they_support() {
    let choice = only(golden!("web_search"));
    let Content::Text(text) = &choice.parts[0].content else { panic!("{choice:?}") };
    let cited = Citation {
        url: Some("https://vertexaisearch.cloud.google.com/grounding-api-redirect/AUZIYQ".to_owned()),
        title: Some("uefa.com".to_owned()),
        start: Some(0),
        end: Some(21),
        cited_text: None,
    };
    assert_eq!(text.citations, [cited]);
}

#[test]
fn code_the_model_ran_is_no_client_call() {
    let choice = only(
        br#"{"candidates":[{"content":{"parts":[{"executableCode":{"language":"PYTHON","code":"1+1"}},
            {"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"2"}},{"text":"2"}]},"finishReason":"STOP"}]}"#,
    );
    let kinds: Vec<_> = choice.parts.iter().map(|part| matches!(part.content, Content::Opaque { .. })).collect();
    assert_eq!((kinds, choice.finish), (vec![true, true, false], Some(FinishReason::Stop)));
}

#[test]
fn pictures_and_sound_are_kept_in_order() {
    let choice = only(golden!("media"));
    let said = |part: &Part| match &part.content {
        Content::Text(text) => text.text.clone(),
        Content::Image(image) => match &image.source {
            Media::Base64 { media_type, data } => format!("{media_type} {data}"),
            other => panic!("{other:?}"),
        },
        Content::Audio(audio) => format!("{} {}", audio.format, audio.data),
        Content::Opaque { kind, .. } => kind.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        choice.parts.iter().map(said).collect::<Vec<_>>(),
        ["Here.", "image/png iVBORw0KGgo=", "pcm16 AAAA", "executableCode", "codeExecutionResult"]
    );
}

#[test]
fn an_error_is_found_whatever_it_is_wrapped_in() {
    let wrapped = [b"[", &golden!("error")[..], b"]"].concat();
    for body in [&golden!("error")[..], &wrapped] {
        let Decoded::Error(error) = decode(body).unwrap() else { panic!("no error in {body:?}") };
        assert_eq!(error.kind.as_deref(), Some("RESOURCE_EXHAUSTED"));
        assert_eq!(error.retry_after_ms, Some(34_075));
        assert_eq!(survey(body).unwrap().error, Some(error));
    }
}

#[test]
fn a_survey_counts_usage_and_what_was_said() {
    let surveyed = survey(golden!("parallel_tools")).unwrap();
    let usage = surveyed.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(72), Some(74)));
    assert!(surveyed.output_bytes >= "I will look.{\"city\":\"Paris\"}{\"zone\":\"Europe/Paris\"}".len() as u64);
    assert_eq!(surveyed.error, None);
}

#[test]
fn what_is_no_answer_fails() {
    for body in [&b"<html>busy</html>"[..], b"", b"[]", b"{}", b"{\"choices\":[]}", b"\"text\""] {
        assert!(matches!(survey(body), Err(WireError::Syntax { .. })));
        assert!(matches!(decode(body), Err(WireError::Syntax { .. })));
    }
    assert!(matches!(decode(b"{\"candidates\":[]}"), Err(WireError::Invalid { .. })));
}

#[test]
fn a_candidate_without_a_finish_does_not_get_a_clean_one() {
    assert_eq!(only(br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#).finish, None);
}
