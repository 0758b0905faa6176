//! What a deployment can do, and whether that is what a request needs: passed over, adapted or refused by policy.
//! Knows no vendor and no health. What nobody has said of a model is never held against it. Tests are below.

mod lack;

pub use lack::{Lack, refusal};

use waypost_wire::peek::{Features, Needs};

use crate::config::{CapabilityPolicy, Missing, Model, OverLimit, Unstreamed};
use crate::operation::Operation;

/// What is asked for in vain only costs thoughts: translated away, or refused by the provider in its own words.
const HINTS: Features = Features::REASONING;

/// What is known of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    can: Features,
    cannot: Features,
    /// The most tokens of prompt and answer together, or of the prompt alone where the vendor counts so.
    pub context: Option<u64>,
    /// The most tokens it writes.
    pub max_output: Option<u64>,
    pub modality: Option<Modality>,
    /// The day of the catalogue, if that is where something was found.
    pub checked: Option<&'static str>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    Chat,
    Embedding,
    Image,
    Speech,
    Transcription,
    Moderation,
    Realtime,
}

impl Modality {
    /// The word callers read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Image => "image",
            Self::Speech => "speech",
            Self::Transcription => "transcription",
            Self::Moderation => "moderation",
            Self::Realtime => "realtime",
        }
    }
}

/// How a deployment and a request go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Fits,
    /// It can be served if this is changed on the way.
    Adapt(Adaptation),
    Lacks(Lack),
}

/// What has to be changed so that a deployment can serve a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// Lower the output cap to this.
    pub max_output: Option<u64>,
    /// Ask for the answer whole, and tell it to the caller as a stream.
    pub whole: bool,
}

impl Capabilities {
    /// Whether it can do that, if anybody has said.
    pub fn knows(&self, feature: Features) -> Option<bool> {
        match (self.can.has(feature), self.cannot.within(feature).is_empty()) {
            (true, _) => Some(true),
            (false, false) => Some(false),
            (false, true) => None,
        }
    }

    /// Takes over what somebody knows better.
    pub(crate) fn say(&mut self, can: Features, cannot: Features) {
        self.can = self.can.without(cannot).with(can);
        self.cannot = self.cannot.without(can).with(cannot);
    }

    /// Takes over what the file says of the model: a list of capabilities is complete, but for streaming.
    #[must_use]
    pub fn told_by(mut self, model: &Model) -> Self {
        if let Some(listed) = &model.capabilities {
            let can = listed.iter().fold(Features::NONE, |all, one| all.with(one.features()));
            let all = Features::NAMED.iter().fold(Features::NONE, |all, (one, _)| all.with(*one));
            self.say(can, all.without(can).without(Features::STREAMING));
        }
        match model.supports_streaming {
            Some(true) => self.say(Features::STREAMING, Features::NONE),
            Some(false) => self.say(Features::NONE, Features::STREAMING),
            None => {}
        }
        self.context = model.context_length.or(self.context);
        self.max_output = model.max_output_tokens.or(self.max_output);
        self
    }

    /// How a request goes together with the deployment. A few nanoseconds where it does.
    #[inline]
    pub fn fit(&self, needs: &Needs, operation: Operation, policy: CapabilityPolicy) -> Fit {
        let lacking = needs.features.within(self.cannot).without(HINTS);
        if lacking.is_empty() && self.over(needs).is_none() && !self.is_too_small(needs) {
            return Fit::Fits;
        }
        self.judge(lacking, needs, operation, policy)
    }

    #[cold]
    fn judge(&self, lacking: Features, needs: &Needs, operation: Operation, policy: CapabilityPolicy) -> Fit {
        // Counting asks nothing of the model.
        if operation == Operation::CountTokens {
            return Fit::Fits;
        }
        let mut adaptation = Adaptation::default();
        if policy.missing != Missing::Ignore {
            if let Some(lack) = Lack::first(lacking.without(Features::STREAMING)) {
                return Fit::Lacks(lack);
            }
            if self.is_too_small(needs) {
                return Fit::Lacks(Lack::Context);
            }
            if lacking.has(Features::STREAMING) {
                match policy.streaming {
                    Unstreamed::Adapt if operation == Operation::Chat => adaptation.whole = true,
                    Unstreamed::Adapt | Unstreamed::Refuse => return Fit::Lacks(Lack::Streaming),
                }
            }
        }
        if let Some(most) = self.over(needs) {
            match policy.over_limit {
                OverLimit::Clamp => adaptation.max_output = Some(most),
                OverLimit::Refuse => return Fit::Lacks(Lack::Output(most)),
            }
        }
        if adaptation == Adaptation::default() { Fit::Fits } else { Fit::Adapt(adaptation) }
    }

    /// The most it writes, if the request asks for more.
    fn over(&self, needs: &Needs) -> Option<u64> {
        let most = self.max_output?;
        needs.output_tokens.filter(|wanted| *wanted > most).map(|_| most)
    }

    /// Does the prompt surely not fit in? Its size is known within a factor of two.
    fn is_too_small(&self, needs: &Needs) -> bool {
        let is_small = |context| !needs.several && needs.input_tokens / 2 > context;
        self.context.is_some_and(is_small)
    }
}

#[cfg(test)]
mod tests;
