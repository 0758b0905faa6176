//! The most a request can cost, before it is sent. Decides what to take for what cannot be known then: always the dearest.
//! Tests are in `tests.rs` beside this.

use waypost_wire::peek::{Features, Peek, may_cache_long};

use super::cost::{Class, Sum};
use super::factor::Factor;
use super::price::{Price, Rates};
use super::service::ServiceTier;
use crate::money::{NanoUsd, PicoUsd};

/// What a request may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The prompt is at most so many tokens; see [`input_bound`].
    pub input: u64,
    /// One answer is at most so many tokens.
    pub output_cap: u64,
    /// So many answers are wanted.
    pub n: u64,
    pub calls: u32,
    pub images: u32,
    pub service: ServiceTier,
    /// The caller's factor, such as its plan's.
    pub factor: Factor,
    /// There may be sound in the prompt or in the answer.
    pub audio: bool,
    /// The prompt may ask the provider to keep parts of it for an hour.
    pub long_cache: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            input: 0,
            output_cap: 0,
            n: 1,
            calls: 1,
            images: 0,
            service: ServiceTier::Standard,
            factor: Factor::ONE,
            audio: false,
            long_cache: false,
        }
    }
}

impl Ask {
    /// What a peeked request asks of a model that reads at most `context` tokens and is told to write at most `output_cap`.
    /// Pictures that an endpoint makes are not told by the peek: set `images`. Some APIs take no cap below 16 tokens, to
    /// which smaller ones are raised.
    pub fn of(peek: &Peek, body: &[u8], context: Option<u64>, output_cap: u64) -> Self {
        Self {
            input: input_bound(peek, body.len() as u64, context),
            output_cap: if output_cap == 0 { 0 } else { output_cap.max(LEAST_CAP) },
            n: peek.n.max(1),
            service: ServiceTier::of(peek.service_tier.as_deref()),
            audio: peek.needs.features.has(Features::AUDIO) || peek.needs.media_bytes > 0,
            long_cache: may_cache_long(body),
            ..Self::default()
        }
    }
}

impl Price {
    /// The most that the request can cost: never less than what [`Price::cost`] makes of any usage within the ask. `None`
    /// beyond nine billion dollars.
    pub fn bound(&self, ask: &Ask) -> Option<NanoUsd> {
        let most = |rate: fn(&Rates, &Ask) -> PicoUsd| {
            let rates = self.rates_within(ask.input).map(|rates| rate(rates, ask));
            rates.max().unwrap_or(PicoUsd::ZERO)
        };
        let mut sum = Sum::new(self.service.most(ask.service), ask.factor);
        sum.add(Class::Input, ask.input, most(|rates, ask| rates.most_input(ask.audio, ask.long_cache)))?;
        sum.add(Class::Output, ask.output_cap.checked_mul(ask.n)?, most(|rates, ask| rates.most_output(ask.audio)))?;
        sum.add(Class::Call, u64::from(ask.calls), self.call)?;
        sum.add(Class::Image, u64::from(ask.images), self.image)?;
        Some(sum.total)
    }
}

/// The least output cap of OpenAI's Responses.
const LEAST_CAP: u64 = 16;
/// What one picture, document or recording is taken for where its bytes do not tell.
const MEDIA: u64 = 16_384;
/// What providers add to a prompt that lists tools, those that they define among them.
const TOOLS: u64 = 2_048;
/// What is taken for a prompt that nothing in the body bounds, if nobody says how much the model reads.
const CONTEXT: u64 = 1_048_576;

/// The most tokens that the prompt of a body of so many bytes can be. A token is at least one byte of text, and a body is
/// longer than the text in it. Pictures are taken for more than any provider does, sound for a token in two bytes. Documents may
/// have any number of pages in a few bytes, and what a provider finds, fetches or has stored is not in the body at all: with such,
/// it is as much as the model is said to read, which bounds all that is not text. Text is never taken for less than it can be: accounts are
/// let into longer contexts than the catalogue knows.
pub fn input_bound(peek: &Peek, bytes: u64, context: Option<u64>) -> u64 {
    let needs = &peek.needs;
    let text = bytes.saturating_sub(needs.media_bytes);
    let files = needs.media_bytes.saturating_sub(needs.picture_bytes) / 2;
    let media = needs.media_parts.saturating_mul(MEDIA).saturating_add(files);
    let tools = if needs.tools { TOOLS } else { 0 };
    let more = if needs.boundless { CONTEXT } else { 0 };
    let unseen = media.saturating_add(more).min(context.unwrap_or(u64::MAX));
    text.saturating_add(tools).saturating_add(unseen)
}
