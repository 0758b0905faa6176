//! Reads what accounting needs from an answer that is relayed as it is, and nothing else. Serves chat and legacy
//! completions alike. Tests are below.

use super::answer::{Answer, Choice, Content, Message, Words, parse, said};
use super::error;
use super::usage::Reported;
use crate::chat::{Served, Usage};
use crate::dialect::Survey;
use crate::error::WireError;
use crate::scan::{Kind, Scanner};

/// See [`crate::dialect::Tap::survey_response`].
pub(crate) fn survey(body: &[u8]) -> Result<Survey, WireError> {
    if let Some(survey) = complete(body) {
        return Ok(survey);
    }
    let answer = match parse(body) {
        Ok(answer) => answer,
        Err(wrong) => return of_error(body).ok_or(wrong),
    };
    if answer.is_error() {
        let error = Some(error::decode(body));
        return Ok(Survey { usage: answer.usage(), error, output_bytes: output_bytes(&answer) });
    }
    if answer.choices.as_ref().is_none_or(|choices| choices.is_empty()) {
        return of_error(body).ok_or_else(|| WireError::invalid("choices", "the answer has no `choices`"));
    }
    Ok(Survey { usage: answer.usage(), error: None, output_bytes: output_bytes(&answer) })
}

/// The usual answer: a list of choices and a usage that says everything, so that no size has to be known. One scan and
/// no document; anything else, errors above all, takes the long way.
fn complete(body: &[u8]) -> Option<Survey> {
    let (mut answers, mut fails, mut reported, mut served) = (false, false, None, None);
    Scanner::document(body, |scanner| {
        scanner.object(|scanner, key| {
            if key == "usage" {
                reported = Some(scanner.read::<Reported>()?);
                return Ok(());
            }
            let (kind, is_empty) = (scanner.kind()?, key == "choices" && scanner.is_empty_list());
            let value = scanner.skip()?;
            match key {
                "choices" => answers = kind == Kind::Array && !is_empty,
                "service_tier" => served = body.get(value).and_then(tier),
                "error" => fails |= kind != Kind::Null,
                "object" => fails |= body.get(value) == Some(b"\"error\""),
                _ => {}
            }
            Ok(())
        })
    })
    .ok()?;
    // Some servers count nothing and report zeros: whether that can be true takes a look at the words.
    let said =
        |usage: &Usage| usage.input.is_some_and(|tokens| tokens > 0) && usage.output.is_some_and(|tokens| tokens > 0);
    let usage = reported.filter(|_| answers && !fails)?.usage().filter(said)?;
    Some(Survey { usage: Some(Usage { served, ..usage }), error: None, output_bytes: 0 })
}

/// As a whole value says it.
fn tier(value: &[u8]) -> Option<Served> {
    serde_json::from_slice::<&str>(value).ok().and_then(Served::of)
}

fn of_error(body: &[u8]) -> Option<Survey> {
    error::told(body).map(|error| Survey { error: Some(error), ..Survey::default() })
}

fn output_bytes(answer: &Answer<'_>) -> u64 {
    let sizes = answer.choices.iter().flatten().map(choice_bytes);
    sizes.fold(0, u64::saturating_add)
}

fn choice_bytes(choice: &Choice<'_>) -> u64 {
    let text = said(&choice.text).map_or(0, str::len);
    (text + choice.message().map_or(0, message_bytes)) as u64
}

fn message_bytes(message: &Message<'_>) -> usize {
    let words = message.content.as_ref().map_or(0, content_bytes);
    let refusal = said(&message.refusal).map_or(0, str::len);
    let plain = message.plain_reasoning().map_or(0, str::len);
    let details: usize =
        message.reasoning_details.iter().flatten().filter_map(|detail| detail.text()).map(str::len).sum();
    let calls: usize = message.tool_calls.iter().flatten().map(|call| call.name().len() + call.arguments().len()).sum();
    let old = message.function_call.as_ref().and_then(|call| said(&call.arguments)).map_or(0, str::len);
    let spoken = message.audio.as_ref().map_or(0, |audio| audio.transcript().len());
    // Plain thoughts and details say the same.
    words + refusal + plain.max(details) + calls + old + spoken
}

fn content_bytes(content: &Content<'_>) -> usize {
    let words = content.words();
    words.iter().map(|(Words::Said(text) | Words::Thought(text))| text.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_sizes_are_read_whatever_the_answer_holds() {
        let body =
            br#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"four","reasoning":"abc",
            "reasoning_details":[{"type":"reasoning.text","text":"abc"}],"refusal":null,
            "tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}},
            {"index":1,"text":"ab","message":null}],"usage":{"prompt_tokens":3}}"#;
        let survey = survey(body).unwrap();
        assert_eq!(survey.output_bytes, 4 + 3 + 1 + 2 + 2);
        let usage = survey.usage.unwrap();
        assert_eq!((usage.input, usage.output, survey.error), (Some(3), None, None));
    }

    #[test]
    fn an_answer_whose_usage_says_everything_is_only_scanned() {
        let body = br#"{"choices":[{"message":{"content":"four"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let survey = survey(body).unwrap();
        assert_eq!((survey.usage.map(|usage| usage.total()), survey.output_bytes), (Some(5), 0));
        assert_eq!(survey.usage.unwrap().served, None);
        let tiers = [("\"flex\"", Some(Served::Flex)), ("\"auto\"", None), ("null", None), ("7", None)];
        for (tier, served) in tiers {
            let body = format!(
                r#"{{"service_tier":{tier},"choices":[{{}}],"usage":{{"prompt_tokens":3,"completion_tokens":2}}}}"#
            );
            assert_eq!(super::survey(body.as_bytes()).unwrap().usage.unwrap().served, served, "{tier}");
        }
        let failed = br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2},"error":{"message":"no"}}"#;
        assert!(super::survey(failed).unwrap().error.is_some());
    }

    #[test]
    fn an_error_dressed_as_an_answer_is_seen_and_other_json_is_refused() {
        let openrouter =
            survey(br#"{"id":"gen-1","error":{"code":502,"message":"Upstream gone"},"choices":[]}"#).unwrap();
        assert_eq!(openrouter.error.unwrap().code.as_deref(), Some("502"));
        let gemini = survey(br#"[{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]"#).unwrap();
        assert_eq!(gemini.error.unwrap().kind.as_deref(), Some("INVALID_ARGUMENT"));
        let vllm = survey(br#"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#).unwrap();
        assert_eq!(vllm.error.unwrap().message, "bad");
        const EMPTY: &[u8] = br#"{"choices":[ ],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        for other in [&b"{}"[..], b"<html></html>", b"[]", br#"{"choices":{}}"#, br#"{"data":[]}"#, EMPTY] {
            assert!(survey(other).is_err(), "{}", String::from_utf8_lossy(other));
        }
    }
}
