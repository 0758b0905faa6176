//! `stop_reason`, both ways.

use serde_json::{Map, Value, json};

use crate::chat::FinishReason;

/// Reads a stop reason with its companions. A word nobody documented is a failure, never a clean end.
pub(super) fn decode(stop_reason: &str, stop_sequence: Option<String>, stop_details: Option<&Value>) -> FinishReason {
    match stop_reason {
        "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence(stop_sequence),
        "max_tokens" => FinishReason::Length,
        "model_context_window_exceeded" => FinishReason::ContextWindow,
        "tool_use" => FinishReason::ToolCalls,
        "pause_turn" => FinishReason::Pause,
        "refusal" => FinishReason::Refusal(stop_details.and_then(why)),
        other => FinishReason::Failed(other.to_owned()),
    }
}

/// How an answer ended, in the words of Messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stop {
    pub(super) reason: &'static str,
    pub(super) sequence: Option<String>,
    pub(super) details: Option<Value>,
}

impl Stop {
    /// What to write for a finish reason; `None` for a failure, which no stop reason can say. `called` says whether the
    /// answer holds tool calls: some upstreams end those with a plain stop, and a client would then not run them.
    pub(super) fn of(finish: &FinishReason, called: bool, refused: bool) -> Option<Self> {
        let plain = |reason| Some(Self { reason, sequence: None, details: None });
        match finish {
            FinishReason::Stop | FinishReason::ToolCalls if called => plain("tool_use"),
            FinishReason::Stop if refused => Self::of(&FinishReason::Refusal(None), called, refused),
            FinishReason::Stop | FinishReason::ToolCalls => plain("end_turn"),
            FinishReason::StopSequence(sequence) => {
                Some(Self { reason: "stop_sequence", sequence: sequence.clone(), details: None })
            }
            FinishReason::Length => plain("max_tokens"),
            FinishReason::ContextWindow => plain("model_context_window_exceeded"),
            FinishReason::ContentFilter => plain("refusal"),
            FinishReason::Refusal(why) => {
                let details = json!({"type": "refusal", "category": null, "explanation": why});
                Some(Self { reason: "refusal", sequence: None, details: Some(details) })
            }
            FinishReason::Pause => plain("pause_turn"),
            FinishReason::Failed(_) => None,
        }
    }

    /// Writes `stop_reason`, `stop_sequence` and, where there are any, `stop_details`.
    pub(super) fn write(self, object: &mut Map<String, Value>) {
        object.insert("stop_reason".to_owned(), self.reason.into());
        object.insert("stop_sequence".to_owned(), self.sequence.into());
        if let Some(details) = self.details {
            object.insert("stop_details".to_owned(), details);
        }
    }
}

/// Why the model refused: the explanation, else the category.
fn why(details: &Value) -> Option<String> {
    ["explanation", "category"].iter().find_map(|key| details.get(key)?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_reason_comes_back_as_itself() {
        for reason in [
            "end_turn",
            "stop_sequence",
            "max_tokens",
            "model_context_window_exceeded",
            "tool_use",
            "pause_turn",
            "refusal",
        ] {
            let finish = decode(reason, Some("END".to_owned()), None);
            let stop = Stop::of(&finish, reason == "tool_use", false).unwrap();
            assert_eq!(stop.reason, reason);
            assert_eq!(stop.sequence.is_some(), reason == "stop_sequence");
        }
    }

    #[test]
    fn an_unknown_reason_is_a_failure_and_has_no_clean_word() {
        let finish = decode("out_of_cheese", None, None);
        assert_eq!(finish, FinishReason::Failed("out_of_cheese".to_owned()));
        assert_eq!(Stop::of(&finish, false, false), None);
    }

    #[test]
    fn calls_that_end_with_a_plain_stop_still_ask_the_client_to_run_them() {
        assert_eq!(Stop::of(&FinishReason::Stop, true, false).unwrap().reason, "tool_use");
        assert_eq!(Stop::of(&FinishReason::Length, true, false).unwrap().reason, "max_tokens");
    }

    #[test]
    fn refusals_keep_their_explanation() {
        let details = json!({"type": "refusal", "category": "bio", "explanation": "Not this."});
        let finish = decode("refusal", None, Some(&details));
        assert_eq!(finish, FinishReason::Refusal(Some("Not this.".to_owned())));
        let stop = Stop::of(&finish, false, false).unwrap();
        assert_eq!(stop.details.unwrap()["explanation"], "Not this.");
        assert_eq!(Stop::of(&FinishReason::Stop, false, true).unwrap().reason, "refusal");
    }
}
