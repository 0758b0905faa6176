//! Whether and how the model is asked to think. Tests: here.

use serde_json::{Map, Value, json};

use crate::chat::{Effort, Request, Thinking, ThinkingMode};
use crate::dialect::{ThinkingStyle, Traits};
use crate::loss::Losses;

/// The least budget the API takes; the cap on the answer must be larger.
const LEAST_BUDGET: u64 = 1024;

/// What a budget made from an effort leaves for the answer, if the cap is large enough.
const ROOM_FOR_ANSWER: u64 = 4096;

/// What forbids thinking in this request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hindrance {
    /// Some tool must be called, which the API does not combine with thinking.
    pub(super) forced_tool: bool,
    /// The request goes on with a tool loop whose calls came back without their signed thoughts.
    pub(super) unsigned_tool_loop: bool,
}

/// The decision: the `thinking` object, the `output_config.effort`, and whether the model will think.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Thought {
    pub(super) thinking: Option<Value>,
    pub(super) effort: Option<&'static str>,
    pub(super) on: bool,
}

/// Decides. A cap the caller did not set is raised for a budget; one that was set is a promise about money and stands.
pub(super) fn decide(
    request: &Request,
    traits: &Traits,
    hindrance: &Hindrance,
    max_tokens: &mut u64,
    losses: &mut Losses,
) -> Thought {
    let Some(wanted) = &request.thinking else { return Thought::default() };
    let thought = match (traits.thinking, wanted.mode) {
        (ThinkingStyle::Never, ThinkingMode::Off) => Thought::default(),
        (ThinkingStyle::Never, ThinkingMode::Unsaid | ThinkingMode::Adaptive | ThinkingMode::Budget(_)) => {
            losses.dropped("reasoning_effort");
            Thought::default()
        }
        (ThinkingStyle::Adaptive, ThinkingMode::Off) => Thought { effort: effort(wanted.effort, losses), ..off() },
        (ThinkingStyle::Budget, ThinkingMode::Off) => off(),
        (ThinkingStyle::Adaptive, ThinkingMode::Unsaid | ThinkingMode::Adaptive | ThinkingMode::Budget(_)) => {
            adaptive(wanted, losses)
        }
        (ThinkingStyle::Budget, ThinkingMode::Unsaid | ThinkingMode::Adaptive | ThinkingMode::Budget(_)) => {
            budgeted(request, wanted, traits, max_tokens, losses)
        }
    };
    if thought.on && (hindrance.forced_tool || hindrance.unsigned_tool_loop) {
        losses.dropped("thinking");
        return Thought { effort: thought.effort, ..off() };
    }
    thought
}

fn off() -> Thought {
    Thought { thinking: Some(json!({"type": "disabled"})), effort: None, on: false }
}

fn adaptive(wanted: &Thinking, losses: &mut Losses) -> Thought {
    let effort = match (wanted.effort, wanted.mode) {
        (Some(_), _) => effort(wanted.effort, losses),
        (None, ThinkingMode::Budget(budget)) => {
            losses.emulated("thinking");
            Some(match budget {
                0..=1024 => "low",
                1025..=8192 => "medium",
                8193.. => "high",
            })
        }
        (None, ThinkingMode::Unsaid | ThinkingMode::Off | ThinkingMode::Adaptive) => None,
    };
    Thought { thinking: Some(object("adaptive", wanted)), effort, on: true }
}

fn budgeted(
    request: &Request,
    wanted: &Thinking,
    traits: &Traits,
    max_tokens: &mut u64,
    losses: &mut Losses,
) -> Thought {
    let exact = match wanted.mode {
        ThinkingMode::Budget(budget) => Some(budget),
        ThinkingMode::Unsaid | ThinkingMode::Off | ThinkingMode::Adaptive => None,
    };
    let Some(budget) = exact.or_else(|| effort_budget(wanted, losses)) else { return Thought::default() };
    let budget = budget.max(LEAST_BUDGET);
    if request.max_output_tokens.is_none() {
        *max_tokens = max_tokens.saturating_add(budget).min(traits.max_output_tokens.unwrap_or(u64::MAX));
    }
    if *max_tokens <= LEAST_BUDGET {
        losses.dropped("reasoning_effort");
        return Thought::default();
    }
    // An exact budget only has to fit; one made from an effort must also leave room for the answer.
    let most = match exact {
        Some(_) => *max_tokens - 1,
        None => (*max_tokens - ROOM_FOR_ANSWER.min(*max_tokens / 2)).max(LEAST_BUDGET),
    };
    if budget > most {
        losses.clamped("reasoning_effort");
    }
    let mut thinking = object("enabled", wanted);
    if let Some(thinking) = thinking.as_object_mut() {
        thinking.insert("budget_tokens".to_owned(), budget.min(most).into());
    }
    Thought { thinking: Some(thinking), effort: None, on: true }
}

/// A budget for an effort; `None` if the caller only asked to see thoughts.
fn effort_budget(wanted: &Thinking, losses: &mut Losses) -> Option<u64> {
    match (wanted.effort, wanted.mode) {
        (Some(Effort::Minimal | Effort::Low), _) => Some(LEAST_BUDGET),
        (Some(Effort::Medium), _) => Some(8192),
        (Some(Effort::High), _) => Some(16_384),
        (Some(Effort::XHigh), _) => Some(32_768),
        (Some(Effort::Max), _) => Some(65_536),
        (None, ThinkingMode::Adaptive) => {
            losses.emulated("thinking");
            Some(8192)
        }
        (None, ThinkingMode::Unsaid | ThinkingMode::Off | ThinkingMode::Budget(_)) => {
            losses.dropped("reasoning.summary");
            None
        }
    }
}

fn effort(effort: Option<Effort>, losses: &mut Losses) -> Option<&'static str> {
    effort.map(|effort| match effort {
        Effort::Minimal => {
            losses.clamped("reasoning_effort");
            "low"
        }
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    })
}

fn object(kind: &str, wanted: &Thinking) -> Value {
    let mut thinking = Map::new();
    thinking.insert("type".to_owned(), kind.into());
    if wanted.summary.is_some() {
        thinking.insert("display".to_owned(), "summarized".into());
    }
    thinking.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(thinking: Thinking, max: Option<u64>, traits: &Traits, hindrance: Hindrance) -> (Thought, u64, String) {
        let request = Request { thinking: Some(thinking), max_output_tokens: max, ..Request::default() };
        let mut max_tokens = max.or(traits.max_output_tokens).unwrap_or(4096);
        let mut losses = Losses::default();
        let thought = decide(&request, traits, &hindrance, &mut max_tokens, &mut losses);
        let losses = losses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        (thought, max_tokens, losses)
    }

    fn with_effort(effort: Effort) -> Thinking {
        Thinking { effort: Some(effort), ..Thinking::default() }
    }

    fn budget_model() -> Traits {
        Traits { thinking: ThinkingStyle::Budget, ..Traits::default() }
    }

    fn budget_of(thought: &Thought) -> Option<u64> {
        thought.thinking.as_ref()?.get("budget_tokens")?.as_u64()
    }

    #[test]
    fn an_effort_is_adaptive_thinking_on_models_that_pace_themselves() {
        let (thought, _, losses) = run(with_effort(Effort::XHigh), None, &Traits::default(), Hindrance::default());
        assert_eq!(thought.thinking, Some(json!({"type": "adaptive"})));
        assert_eq!((thought.effort, losses.as_str()), (Some("xhigh"), ""));
        let (least, _, losses) = run(with_effort(Effort::Minimal), None, &Traits::default(), Hindrance::default());
        assert_eq!((least.effort, losses.as_str()), (Some("low"), "reasoning_effort=clamped"));
    }

    #[test]
    fn a_budget_fits_under_the_cap_the_caller_set() {
        let (thought, cap, losses) = run(with_effort(Effort::High), Some(4096), &budget_model(), Hindrance::default());
        assert_eq!((budget_of(&thought), cap), (Some(2048), 4096));
        assert_eq!(losses, "reasoning_effort=clamped");
        let exact = Thinking { mode: ThinkingMode::Budget(9000), ..Thinking::default() };
        let (thought, cap, _) = run(exact, Some(4096), &budget_model(), Hindrance::default());
        assert_eq!((budget_of(&thought), cap), (Some(4095), 4096));
    }

    #[test]
    fn a_cap_nobody_set_grows_with_the_budget_as_far_as_the_model_goes() {
        let (thought, cap, _) = run(with_effort(Effort::Medium), None, &budget_model(), Hindrance::default());
        assert_eq!((budget_of(&thought), cap), (Some(8192), 12_288));
        let small = Traits { max_output_tokens: Some(8192), ..budget_model() };
        let (thought, cap, _) = run(with_effort(Effort::Medium), None, &small, Hindrance::default());
        assert_eq!((budget_of(&thought), cap), (Some(4096), 8192));
    }

    #[test]
    fn there_is_no_thinking_under_a_cap_too_small_for_it() {
        let (thought, cap, losses) = run(with_effort(Effort::Low), Some(1024), &budget_model(), Hindrance::default());
        assert_eq!((thought, cap, losses.as_str()), (Thought::default(), 1024, "reasoning_effort=dropped"));
        let (thought, _, losses) = run(with_effort(Effort::Low), Some(1025), &budget_model(), Hindrance::default());
        assert_eq!((budget_of(&thought), losses.as_str()), (Some(1024), ""));
    }

    #[test]
    fn a_forced_tool_and_an_unsigned_tool_loop_turn_thinking_off() {
        for hindrance in [
            Hindrance { forced_tool: true, unsigned_tool_loop: false },
            Hindrance { forced_tool: false, unsigned_tool_loop: true },
        ] {
            for traits in [Traits::default(), budget_model()] {
                let (thought, _, losses) = run(with_effort(Effort::High), Some(64_000), &traits, hindrance);
                assert_eq!((thought.thinking, thought.on), (Some(json!({"type": "disabled"})), false));
                assert_eq!(losses, "thinking=dropped");
            }
        }
    }

    #[test]
    fn off_is_said_aloud_unless_the_model_never_thinks() {
        let none = Thinking { mode: ThinkingMode::Off, ..Thinking::default() };
        let (thought, _, losses) = run(none.clone(), None, &Traits::default(), Hindrance::default());
        assert_eq!((thought.thinking, losses.as_str()), (Some(json!({"type": "disabled"})), ""));
        let never = Traits { thinking: ThinkingStyle::Never, ..Traits::default() };
        assert_eq!(run(none, None, &never, Hindrance::default()).0, Thought::default());
        let (thought, _, losses) = run(with_effort(Effort::High), None, &never, Hindrance::default());
        assert_eq!((thought, losses.as_str()), (Thought::default(), "reasoning_effort=dropped"));
    }
}
