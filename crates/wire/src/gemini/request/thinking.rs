//! Whether and how the model is asked to think: by level or by budget, never both. Tests: here.

use serde_json::{Map, Value};

use super::put;
use crate::chat::{Effort, Thinking, ThinkingMode};
use crate::dialect::ThinkingStyle;
use crate::loss::Losses;

/// The largest budget every thinking model of the budget kind takes.
const MOST_BUDGET: i64 = 24_576;

/// The model settles its budget itself.
const DYNAMIC_BUDGET: i64 = -1;

/// Writes `thinkingConfig`, empty if nothing is to be said.
pub(super) fn write(wanted: Option<&Thinking>, style: ThinkingStyle, losses: &mut Losses) -> Map<String, Value> {
    let mut config = Map::new();
    let Some(wanted) = wanted else { return config };
    let off = wanted.mode == ThinkingMode::Off;
    match style {
        ThinkingStyle::Never => {
            if !off {
                losses.dropped("reasoning_effort");
            }
            return config;
        }
        ThinkingStyle::Adaptive => put(&mut config, "thinkingLevel", level(wanted, losses)),
        ThinkingStyle::Budget => put(&mut config, "thinkingBudget", budget(wanted, losses)),
    }
    if !off {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    config
}

/// The level; `None` leaves it to the model. Models with levels cannot stop thinking, only think least.
fn level(wanted: &Thinking, losses: &mut Losses) -> Option<&'static str> {
    match (wanted.mode, wanted.effort) {
        (ThinkingMode::Off, _) => {
            losses.clamped("reasoning_effort");
            Some("minimal")
        }
        (_, Some(effort)) => Some(effort_level(effort, losses)),
        (ThinkingMode::Budget(tokens), None) => {
            losses.emulated("thinking");
            Some(match tokens {
                0..=1024 => "low",
                1025..=8192 => "medium",
                8193.. => "high",
            })
        }
        (ThinkingMode::Unsaid | ThinkingMode::Adaptive, None) => None,
    }
}

fn effort_level(effort: Effort, losses: &mut Losses) -> &'static str {
    match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => {
            losses.clamped("reasoning_effort");
            "high"
        }
    }
}

/// The budget; `None` leaves it to the model.
fn budget(wanted: &Thinking, losses: &mut Losses) -> Option<i64> {
    match (wanted.mode, wanted.effort) {
        (ThinkingMode::Off, _) => Some(0),
        (ThinkingMode::Budget(tokens), _) => Some(tokens_within(tokens, losses)),
        (_, Some(effort)) => Some(effort_budget(effort, losses)),
        (ThinkingMode::Adaptive, None) => Some(DYNAMIC_BUDGET),
        (ThinkingMode::Unsaid, None) => None,
    }
}

/// A budget over the range is a 400, and callers used to other models ask for more.
fn tokens_within(tokens: u64, losses: &mut Losses) -> i64 {
    let within = i64::try_from(tokens).unwrap_or(i64::MAX).min(MOST_BUDGET);
    if tokens > within.unsigned_abs() {
        losses.clamped("thinking");
    }
    within
}

/// The budgets that Gemini's own OpenAI-compatible API takes for these words.
fn effort_budget(effort: Effort, losses: &mut Losses) -> i64 {
    match effort {
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => MOST_BUDGET,
        Effort::XHigh | Effort::Max => {
            losses.clamped("reasoning_effort");
            MOST_BUDGET
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(mode: ThinkingMode, effort: Option<Effort>, style: ThinkingStyle) -> (Value, String) {
        let mut losses = Losses::default();
        let wanted = Thinking { mode, effort, summary: None };
        let config = write(Some(&wanted), style, &mut losses);
        (config.into(), losses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn models_that_pace_themselves_get_a_level() {
        let level = |mode, effort| run(mode, effort, ThinkingStyle::Adaptive);
        let thoughts = |level: &str| json!({"thinkingLevel": level, "includeThoughts": true});
        for (effort, word, loss) in [
            (Effort::Minimal, "minimal", ""),
            (Effort::Low, "low", ""),
            (Effort::Medium, "medium", ""),
            (Effort::High, "high", ""),
            (Effort::XHigh, "high", "reasoning_effort=clamped"),
            (Effort::Max, "high", "reasoning_effort=clamped"),
        ] {
            assert_eq!(level(ThinkingMode::Unsaid, Some(effort)), (thoughts(word), loss.to_owned()));
        }
        for (tokens, word) in [(1024, "low"), (1025, "medium"), (8192, "medium"), (8193, "high")] {
            let said = level(ThinkingMode::Budget(tokens), None);
            assert_eq!(said, (thoughts(word), "thinking=emulated".to_owned()));
        }
        assert_eq!(level(ThinkingMode::Adaptive, None), (json!({"includeThoughts": true}), String::new()));
        let least = (json!({"thinkingLevel": "minimal"}), "reasoning_effort=clamped".to_owned());
        assert_eq!(level(ThinkingMode::Off, None), least);
    }

    #[test]
    fn older_models_get_a_budget() {
        let budget = |mode, effort| run(mode, effort, ThinkingStyle::Budget);
        let thoughts = |tokens: i64| json!({"thinkingBudget": tokens, "includeThoughts": true});
        for (effort, tokens, loss) in [
            (Effort::Minimal, 1024, ""),
            (Effort::Low, 1024, ""),
            (Effort::Medium, 8192, ""),
            (Effort::High, 24_576, ""),
            (Effort::Max, 24_576, "reasoning_effort=clamped"),
        ] {
            assert_eq!(budget(ThinkingMode::Unsaid, Some(effort)), (thoughts(tokens), loss.to_owned()));
        }
        let exact = budget(ThinkingMode::Budget(3000), Some(Effort::High));
        assert_eq!(exact, (thoughts(3000), String::new()));
        for (tokens, loss) in [(24_576, ""), (31_999, "thinking=clamped"), (u64::MAX, "thinking=clamped")] {
            assert_eq!(budget(ThinkingMode::Budget(tokens), None), (thoughts(24_576), loss.to_owned()));
        }
        assert_eq!(budget(ThinkingMode::Adaptive, None), (thoughts(-1), String::new()));
        assert_eq!(budget(ThinkingMode::Unsaid, None), (json!({"includeThoughts": true}), String::new()));
        assert_eq!(budget(ThinkingMode::Off, None), (json!({"thinkingBudget": 0}), String::new()));
    }

    #[test]
    fn models_that_never_think_are_not_asked_to() {
        let never = |mode, effort| run(mode, effort, ThinkingStyle::Never);
        assert_eq!(never(ThinkingMode::Off, None), (json!({}), String::new()));
        let dropped = (json!({}), "reasoning_effort=dropped".to_owned());
        assert_eq!(never(ThinkingMode::Unsaid, Some(Effort::High)), dropped);
    }
}
