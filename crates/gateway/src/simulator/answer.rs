//! What the simulator answers: a pure function from a neutral request to a neutral response.
//! Knows no bytes, no time and no faults. Tests are in `answer/tests.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use waypost_wire::Dialect;
use waypost_wire::chat::{
    Choice, Content, FinishReason, Part, Reasoning, Request, Response, ResponseFormat, Role, Signature, ThinkingMode,
    ToolCall, Usage,
};

use super::model::Persona;
use super::prompt::Prompt;
use super::tools::{self, Planned};
use super::{prose, schema};
use crate::tokens;

#[cfg(test)]
mod tests;

/// When all simulated answers were made: 2026-01-01T00:00:00Z. Answers are the same every time.
pub(crate) const CREATED: u64 = 1_767_225_600;
/// More parallel answers than this are not given.
const MOST_CHOICES: u64 = 128;
/// The shortest prompt that is cached, and the step in which its cached part grows, as OpenAI documents them.
const CACHED_FROM: u64 = 1_024;
const CACHED_STEP: u64 = 128;

/// The answer to `request`. `seed` makes its ids unique to the request; `dialect` decides how ids and seals look.
pub(crate) fn answer(request: &Request, persona: Persona, dialect: Dialect, seed: &str) -> Response {
    let prompt = Prompt::of(request);
    let plan = tools::plan(request, &prompt, persona);
    let count = request.n.unwrap_or(1).clamp(1, MOST_CHOICES);
    let scene = Scene { request, prompt: &prompt, persona, dialect, seed, plan: &plan };
    let choices: Vec<Choice> = (0..count).map(|index| scene.choice(index as usize)).collect();
    let usage = usage(request, &choices);
    Response {
        id: None,
        model: Some(request.model.clone()),
        created: Some(CREATED),
        choices,
        usage: Some(usage),
        service_tier: None,
        system_fingerprint: None,
    }
}

struct Scene<'a> {
    request: &'a Request,
    prompt: &'a Prompt<'a>,
    persona: Persona,
    dialect: Dialect,
    seed: &'a str,
    plan: &'a [Planned],
}

impl Scene<'_> {
    fn choice(&self, index: usize) -> Choice {
        let mut budget = Budget { left: self.request.max_output_tokens.unwrap_or(u64::MAX), cut: false };
        let mut parts = Vec::new();
        if self.thinks() {
            parts.extend(self.reasoning(&mut budget));
        }
        let finish = if self.plan.is_empty() {
            let (text, stop) = stopped(&self.words(index), &self.request.stop);
            let text = budget.take(&text);
            parts.extend((!text.is_empty()).then(|| Part::text(text)));
            stop.map_or(FinishReason::Stop, |stop| FinishReason::StopSequence(Some(stop)))
        } else {
            parts.extend(self.calls(&mut budget, index));
            FinishReason::ToolCalls
        };
        Choice {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            parts,
            finish: Some(if budget.cut { FinishReason::Length } else { finish }),
            logprobs: None,
        }
    }

    fn thinks(&self) -> bool {
        match &self.request.thinking {
            None => self.persona == Persona::Think,
            Some(thinking) => match thinking.mode {
                ThinkingMode::Off => false,
                ThinkingMode::Adaptive | ThinkingMode::Budget(_) => true,
                ThinkingMode::Unsaid => thinking.effort.is_some() || self.persona == Persona::Think,
            },
        }
    }

    fn reasoning(&self, budget: &mut Budget) -> Option<Part> {
        let text = budget.take(&prose::thoughts(self.prompt));
        let sealed = match self.dialect {
            Dialect::Anthropic | Dialect::OpenaiResponses | Dialect::Gemini => true,
            // The chat dialect has no place for a seal.
            Dialect::OpenaiChat => false,
        };
        let content = Content::Reasoning(Reasoning { text: text.clone(), ..Reasoning::default() });
        (!text.is_empty()).then(|| Part {
            content,
            cache: None,
            signature: sealed
                .then(|| Signature { dialect: self.dialect, seal: STANDARD.encode(Sha256::digest(text.as_bytes())) }),
        })
    }

    fn words(&self, index: usize) -> String {
        let subject = self.prompt.topic();
        match &self.request.response_format {
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                schema::instance(schema, self.prompt, &subject).to_string()
            }
            Some(ResponseFormat::JsonObject) => {
                let answer = prose::reply(self.prompt, index);
                json!({"topic": subject, "answer": answer}).to_string()
            }
            Some(ResponseFormat::Text) | None if self.persona == Persona::Echo => self.prompt.text.clone(),
            Some(ResponseFormat::Text) | None => prose::reply(self.prompt, index),
        }
    }

    fn calls(&self, budget: &mut Budget, index: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for (number, planned) in self.plan.iter().enumerate() {
            if budget.cut {
                break;
            }
            if !budget.spend(tokens::count(&planned.name)) {
                break;
            }
            let prefix = match self.dialect {
                Dialect::Anthropic => "toolu",
                Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => "call",
            };
            let call = ToolCall {
                id: format!("{prefix}_{}{index}{number}", self.seed),
                name: planned.name.clone(),
                arguments: budget.take(&planned.arguments),
                kind: planned.kind,
            };
            parts.push(Content::ToolCall(call).into());
        }
        parts
    }
}

/// What is left of the output tokens asked for.
struct Budget {
    left: u64,
    /// Something did not fit.
    cut: bool,
}

impl Budget {
    /// As much of the text as fits.
    fn take(&mut self, text: &str) -> String {
        let fitting = tokens::prefix(text, self.left);
        self.left -= tokens::count(fitting).min(self.left);
        self.cut |= fitting.len() < text.len();
        fitting.to_owned()
    }

    fn spend(&mut self, tokens: u64) -> bool {
        self.cut |= tokens > self.left;
        self.left = self.left.saturating_sub(tokens);
        !self.cut
    }
}

/// The text up to the first stop string in it, and which one that was.
fn stopped(text: &str, stops: &[String]) -> (String, Option<String>) {
    let stops = stops.iter().filter(|stop| !stop.is_empty());
    let found = stops.filter_map(|stop| Some((text.find(stop.as_str())?, stop)));
    match found.min_by_key(|(at, _)| *at) {
        Some((at, stop)) => (text.get(..at).unwrap_or_default().to_owned(), Some(stop.clone())),
        None => (text.to_owned(), None),
    }
}

fn usage(request: &Request, choices: &[Choice]) -> Usage {
    let parts = || choices.iter().flat_map(|choice| &choice.parts);
    let is_reasoning = |part: &&Part| matches!(part.content, Content::Reasoning(_));
    let reasoning = parts().filter(is_reasoning).map(|part| tokens::count_parts(std::slice::from_ref(part))).sum();
    let (cache_read, cache_write) = cached(request);
    Usage {
        input: Some(tokens::count_request(request)),
        output: Some(choices.iter().map(|choice| tokens::count_parts(&choice.parts)).sum()),
        cache_read: Some(cache_read),
        cache_write: Some(cache_write),
        cache_write_1h: None,
        reasoning: Some(reasoning),
        audio_input: None,
        audio_output: None,
        served: None,
    }
}

/// How much of the prompt came from a prompt cache and how much went into it, without any memory: what came before the
/// last assistant message must have been sent before. With breakpoints (Anthropic) the cache reaches to the last one;
/// without, it is what OpenAI would have cached by itself. Short prompts are not cached.
fn cached(request: &Request) -> (u64, u64) {
    let replayed = request.messages.iter().rposition(|message| message.role == Role::Assistant).unwrap_or(0);
    let marked = request.messages.iter().rposition(|message| message.parts.iter().any(|part| part.cache.is_some()));
    let before = |messages: usize| {
        let prefix = tokens::count_prefix(request, messages);
        if messages > 0 && prefix >= CACHED_FROM { prefix } else { 0 }
    };
    match marked {
        Some(at) => {
            let read = before(replayed.min(at + 1));
            (read, before(at + 1).saturating_sub(read))
        }
        None => (before(replayed) / CACHED_STEP * CACHED_STEP, 0),
    }
}
