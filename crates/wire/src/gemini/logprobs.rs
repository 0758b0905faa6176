//! Token log probabilities, turned into OpenAI's `logprobs` object, which is the neutral form.

use serde::Deserialize;
use serde_json::{Value, json};

use super::piece::Word;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult<'a> {
    #[serde(borrow)]
    chosen_candidates: Option<Vec<Token<'a>>>,
    #[serde(borrow)]
    top_candidates: Option<Vec<Alternatives<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Alternatives<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Token<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow)]
    token: Option<Word<'a>>,
    log_probability: Option<f64>,
}

impl LogprobsResult<'_> {
    /// `None` if no token was chosen.
    pub(super) fn into_openai(self) -> Option<Value> {
        let chosen = self.chosen_candidates.filter(|tokens| !tokens.is_empty())?;
        let mut tops = self.top_candidates.unwrap_or_default().into_iter();
        let content: Vec<Value> = chosen
            .into_iter()
            .map(|token| {
                let top = tops.next().and_then(|top| top.candidates);
                let top: Vec<Value> = top.unwrap_or_default().into_iter().map(said).collect();
                let mut entry = said(token);
                if let Some(fields) = entry.as_object_mut() {
                    fields.insert("top_logprobs".to_owned(), top.into());
                }
                entry
            })
            .collect();
        Some(json!({"content": content, "refusal": null}))
    }
}

fn said(token: Token<'_>) -> Value {
    let text = token.token.map(Word::owned).unwrap_or_default();
    json!({
        "token": text,
        "logprob": token.log_probability.unwrap_or(0.0),
        "bytes": text.as_bytes(),
    })
}
