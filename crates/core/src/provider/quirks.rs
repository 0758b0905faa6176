//! A vendor's deviations as a constant; turned into the wire's [`Traits`] when a deployment is compiled.
//! Decides nothing. What single models deviate in is in `catalogue.rs`.

use waypost_wire::dialect::{MaxTokensField, StreamUsage, ThinkingStyle, ToolChoiceRequired, Traits};

/// How a vendor's API differs from a complete, current implementation of its dialect. Field names are the target's.
#[derive(Clone, Copy, Debug)]
pub struct Quirks {
    /// Hints the vendor answers with an error: left out.
    pub drop: &'static [&'static str],
    /// Fields it does not know and whose loss changes the meaning: refused.
    pub refuse: &'static [&'static str],
    /// Fields that have another name.
    pub rename: &'static [(&'static str, &'static str)],
    pub stream_usage: StreamUsage,
    pub max_tokens_field: MaxTokensField,
    pub tool_choice_required: ToolChoiceRequired,
    pub developer_role: bool,
    pub reasoning_content: bool,
    pub image_urls: bool,
}

impl Quirks {
    /// The dialect as its inventor serves it today.
    pub const NONE: Self = Self {
        // Known to the newest models only, and refused by the others; a breakpoint is a hint.
        drop: &["prompt_cache_breakpoint"],
        refuse: &[],
        rename: &[],
        stream_usage: StreamUsage::Asked,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        tool_choice_required: ToolChoiceRequired::Required,
        developer_role: true,
        reasoning_content: false,
        image_urls: true,
    };

    /// What every OpenAI-compatible server understands: the older names.
    pub const COMPATIBLE: Self =
        Self { max_tokens_field: MaxTokensField::MaxTokens, developer_role: false, ..Self::NONE };

    /// The vendor's part of a deployment's traits.
    pub fn traits(&self) -> Traits {
        Traits {
            drop: owned(self.drop),
            refuse: owned(self.refuse),
            rename: self.rename.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
            stream_usage: self.stream_usage,
            max_tokens_field: self.max_tokens_field,
            tool_choice_required: self.tool_choice_required,
            developer_role: self.developer_role,
            reasoning_content: self.reasoning_content,
            image_urls: self.image_urls,
            thinking: ThinkingStyle::Adaptive,
            ..Traits::default()
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
