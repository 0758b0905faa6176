//! What a request asks of whoever answers it, noted while it is peeked: a set of features and three sizes.
//! Decides nothing; `core` compares it with what a deployment can do. Tests: `tests/square/needs.rs`, on the golden cases.

use std::fmt;

use super::source::Source;

/// A set of things that models can do and requests can need.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(u8);

impl Features {
    pub const NONE: Self = Self(0);
    /// An answer piece by piece.
    pub const STREAMING: Self = Self(1);
    /// Calls of functions that the caller runs.
    pub const TOOLS: Self = Self(1 << 1);
    /// Pictures in the prompt.
    pub const VISION: Self = Self(1 << 2);
    /// Sound in the prompt or in the answer.
    pub const AUDIO: Self = Self(1 << 3);
    /// Some JSON object as the answer.
    pub const JSON_MODE: Self = Self(1 << 4);
    /// JSON of a given schema as the answer.
    pub const JSON_SCHEMA: Self = Self(1 << 5);
    /// Thoughts before the answer.
    pub const REASONING: Self = Self(1 << 6);

    /// All of them, each with its word.
    pub const NAMED: [(Self, &'static str); 7] = [
        (Self::STREAMING, "streaming"),
        (Self::TOOLS, "tools"),
        (Self::VISION, "vision"),
        (Self::AUDIO, "audio"),
        (Self::JSON_MODE, "json_mode"),
        (Self::JSON_SCHEMA, "json_schema"),
        (Self::REASONING, "reasoning"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Is everything of `other` in this set?
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// The words of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter(move |(feature, _)| self.has(*feature)).map(|(_, name)| name)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What a request asks of whoever answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub features: Features,
    /// Bytes of pictures, sound and documents in the prompt, whose tokens cannot be told from their size.
    pub media_bytes: u64,
    /// How many of those there are, and how many of the bytes are of pictures.
    pub media_parts: u64,
    pub picture_bytes: u64,
    /// Nothing in the body bounds the prompt, only what the model reads: it goes on from what lies at the provider, or the provider
    /// puts into it what it finds, runs, fetches or unpacks.
    pub boundless: bool,
    /// Tools are listed, of which the provider tells the model in its own words.
    pub tools: bool,
    /// The field that makes the answer dearer than the usual service does, if there is one.
    pub dearer: Option<Dearer>,
    /// The tokens of everything else in the prompt, at four bytes each: right within a factor of two for usual texts.
    pub input_tokens: u64,
    /// The prompt is several texts, each of which is read by itself.
    pub several: bool,
    /// The output cap the caller set, and the field it stands in.
    pub output_tokens: Option<u64>,
    pub output_field: &'static str,
}

/// A field that asks for something dearer than the usual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dearer {
    /// By a service tier, of which a price may say what it costs.
    Service(&'static str),
    /// By something of which no price says what it costs.
    Unsaid(&'static str),
}

/// What a part of the prompt is to whoever counts its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A token is at least one of its bytes.
    Text,
    /// Its bytes do not tell, but it is never more than so many tokens.
    Media(Features),
    /// A document: a few bytes of it may unfold to any number of pages.
    File,
    /// It may be anything, or stand for something that lies elsewhere.
    Unknown,
}

impl Needs {
    /// Notes a part of the prompt. `bytes` is the whole part.
    pub(crate) fn weigh(&mut self, weight: Weight, source: Source, bytes: usize) {
        match weight {
            Weight::Text => {}
            Weight::File if source.words => {}
            Weight::Media(feature) => {
                self.part(feature, bytes);
                self.boundless |= source.no_picture;
            }
            Weight::File => {
                self.part(Features::NONE, bytes);
                self.boundless = true;
            }
            Weight::Unknown => self.boundless = true,
        }
    }

    /// Notes a part of the prompt by the word for its type. `bytes` is the whole part.
    pub(crate) fn part(&mut self, feature: Features, bytes: usize) {
        self.features.add(feature);
        self.media_bytes += bytes as u64;
        self.media_parts += u64::from(bytes > 0);
        if feature.has(Features::VISION) {
            self.picture_bytes += bytes as u64;
        }
    }

    /// The wanted form of the answer, by OpenAI's word for it.
    pub(crate) fn format(&mut self, word: &str) {
        match word {
            "json_schema" => self.features.add(Features::JSON_SCHEMA),
            "json_object" => self.features.add(Features::JSON_MODE),
            _ => {}
        }
    }

    /// A listed tool, by any dialect's word for its type. Tools that the provider runs are no function calls, and what they find
    /// becomes a part of the prompt; some that it only defines are run by the caller.
    pub(crate) fn tool(&mut self, word: &str) {
        const RUN_BY_CALLERS: [&str; 3] = ["bash_", "text_editor_", "memory_"];
        self.tools = true;
        match word {
            "function" | "custom" => self.features.add(Features::TOOLS),
            "local_shell" | "apply_patch" => {}
            _ => self.boundless |= !RUN_BY_CALLERS.iter().any(|prefix| word.starts_with(prefix)),
        }
    }

    /// How hard the model should think, by any dialect's word for it.
    pub(crate) fn effort(&mut self, word: &str) {
        if word != "none" {
            self.features.add(Features::REASONING);
        }
    }

    /// Adds what is known at the end of a scan of `length` bytes.
    pub(crate) fn finish(&mut self, length: usize, stream: bool, output_tokens: Option<u64>) {
        if stream {
            self.features.add(Features::STREAMING);
        }
        self.input_tokens = (length as u64).saturating_sub(self.media_bytes) / 4;
        self.output_tokens = output_tokens;
    }
}
