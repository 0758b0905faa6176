//! Token counts, normalised once: what each dialect calls input or output is settled in its own decoder.

/// Tokens of one answer. `input` includes what came from and went into the prompt cache; `output` includes reasoning.
/// Absent means that the provider did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: Option<u64>,
    pub output: Option<u64>,
    /// Part of `input`, read from the prompt cache.
    pub cache_read: Option<u64>,
    /// Part of `input`, written to the prompt cache.
    pub cache_write: Option<u64>,
    /// Part of `cache_write`, kept for an hour rather than for minutes.
    pub cache_write_1h: Option<u64>,
    /// Part of `output`.
    pub reasoning: Option<u64>,
    /// Part of `input`.
    pub audio_input: Option<u64>,
    /// Part of `output`.
    pub audio_output: Option<u64>,
    /// How it was served, where the answer says so.
    pub served: Option<Served>,
}

/// How a provider serves a request, as far as that changes its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    Standard,
    Flex,
    Batch,
    Priority,
    /// A word that is not known here.
    Other,
}

impl Served {
    /// What a `service_tier` says, of a request or of an answer; `None` if it is left to the provider.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "" | "auto" => None,
            "default" | "standard" | "standard_only" | "on_demand" => Some(Self::Standard),
            "flex" => Some(Self::Flex),
            "batch" => Some(Self::Batch),
            "priority" | "fast" => Some(Self::Priority),
            _ => Some(Self::Other),
        }
    }

    /// May it cost more than the usual service?
    pub fn is_dearer(self) -> bool {
        match self {
            Self::Priority | Self::Other => true,
            Self::Standard | Self::Flex | Self::Batch => false,
        }
    }
}

impl Usage {
    /// Input and output together, never overflowing.
    pub fn total(&self) -> u64 {
        self.input.unwrap_or(0).saturating_add(self.output.unwrap_or(0))
    }

    /// Takes a later report of the same answer into account: reports are cumulative, so a later figure replaces an
    /// earlier one, is never added to it, and never makes a count fall.
    pub fn absorb(&mut self, later: &Usage) {
        let merge = |mine: &mut Option<u64>, theirs: Option<u64>| *mine = (*mine).max(theirs);
        merge(&mut self.input, later.input);
        merge(&mut self.output, later.output);
        merge(&mut self.cache_read, later.cache_read);
        merge(&mut self.cache_write, later.cache_write);
        merge(&mut self.cache_write_1h, later.cache_write_1h);
        merge(&mut self.reasoning, later.reasoning);
        merge(&mut self.audio_input, later.audio_input);
        merge(&mut self.audio_output, later.audio_output);
        self.served = later.served.or(self.served);
    }

    /// Both totals are known.
    pub fn is_complete(&self) -> bool {
        self.input.is_some() && self.output.is_some()
    }
}
