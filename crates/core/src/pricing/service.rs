//! The service tiers of providers, which multiply a price. Decides what the words of requests mean. Tests are below.

use waypost_wire::chat::Served;

use super::factor::Factor;

/// How a provider serves a request, as far as that changes its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    #[default]
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Within a day.
    Batch,
    /// Faster and dearer.
    Priority,
    /// Left to the provider, whose answer says which it was.
    Auto,
    /// A word that is not known here.
    Other,
}

impl From<Served> for ServiceTier {
    fn from(served: Served) -> Self {
        match served {
            Served::Standard => Self::Standard,
            Served::Flex => Self::Flex,
            Served::Batch => Self::Batch,
            Served::Priority => Self::Priority,
            Served::Other => Self::Other,
        }
    }
}

impl ServiceTier {
    /// What a request's `service_tier` asks for.
    pub fn of(word: Option<&str>) -> Self {
        word.and_then(Served::of).map_or(Self::Auto, Self::from)
    }

    /// What to charge of what was asked for where the answer does not say how it was served. A discount is the provider's to grant:
    /// what it does not name it may never have been told, and nothing that is answered at once is of a batch. A surcharge counts,
    /// because the provider may have served what it was asked for.
    #[must_use]
    pub fn unless_said(self) -> Self {
        match self {
            Self::Flex | Self::Batch => Self::Standard,
            Self::Standard | Self::Priority | Self::Auto | Self::Other => self,
        }
    }

    /// The word in logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Priority => "priority",
            Self::Auto => "auto",
            Self::Other => "other",
        }
    }
}

/// What the service tiers of a price multiply it by; absent means that nobody has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceFactors {
    pub flex: Option<Factor>,
    pub batch: Option<Factor>,
    pub priority: Option<Factor>,
}

impl ServiceFactors {
    /// The factor of a tier. A tier without one costs as the dearest that has one, and never less than the usual service:
    /// what is unknown is not given away. What was left to a provider that says nothing was the usual service.
    pub fn of(&self, tier: ServiceTier) -> Factor {
        let known = match tier {
            ServiceTier::Standard | ServiceTier::Auto => Some(Factor::ONE),
            ServiceTier::Flex => self.flex,
            ServiceTier::Batch => self.batch,
            ServiceTier::Priority => self.priority,
            ServiceTier::Other => None,
        };
        match (known, tier) {
            (Some(factor), _) => factor,
            // Both are sold as discounts: without one, they cost the same.
            (None, ServiceTier::Flex | ServiceTier::Batch) => Factor::ONE,
            (None, ServiceTier::Standard | ServiceTier::Auto | ServiceTier::Priority | ServiceTier::Other) => {
                self.dearest()
            }
        }
    }

    /// The dearest that an answer to a request for this tier can name: a provider may serve less than was asked for as usual, and
    /// whatever it likes where it was left to it.
    pub fn most(&self, asked: ServiceTier) -> Factor {
        match asked {
            ServiceTier::Standard => Factor::ONE,
            ServiceTier::Flex | ServiceTier::Batch | ServiceTier::Priority => self.of(asked).max(Factor::ONE),
            ServiceTier::Auto | ServiceTier::Other => self.dearest(),
        }
    }

    fn dearest(&self) -> Factor {
        [self.flex, self.batch, self.priority].into_iter().flatten().fold(Factor::ONE, Factor::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_tiers_and_unknown_ones_are_never_cheaper() {
        assert_eq!((ServiceTier::of(None), ServiceTier::of(Some("auto"))), (ServiceTier::Auto, ServiceTier::Auto));
        assert_eq!(ServiceTier::of(Some("standard_only")), ServiceTier::Standard);
        assert_eq!(ServiceTier::of(Some("priority")), ServiceTier::Priority);
        assert_eq!(ServiceTier::of(Some("warp")), ServiceTier::Other);
        let half = Factor::permille(500);
        let factors = ServiceFactors { flex: half, batch: None, priority: Factor::permille(2000) };
        assert_eq!(Some(factors.of(ServiceTier::Flex)), half);
        assert_eq!(factors.of(ServiceTier::Batch), Factor::ONE);
        assert_eq!(Some(factors.of(ServiceTier::Other)), factors.priority);
        assert_eq!(factors.of(ServiceTier::Auto), Factor::ONE);
        for (asked, most) in [("auto", 2000), ("warp", 2000), ("priority", 2000), ("flex", 1000), ("default", 1000)] {
            assert_eq!(Some(factors.most(ServiceTier::of(Some(asked)))), Factor::permille(most), "{asked}");
        }
        for (asked, charged) in [("flex", "default"), ("batch", "default"), ("priority", "priority"), ("warp", "warp")]
        {
            assert_eq!(ServiceTier::of(Some(asked)).unless_said(), ServiceTier::of(Some(charged)), "{asked}");
        }
        assert_eq!(ServiceFactors { flex: half, ..Default::default() }.of(ServiceTier::Priority), Factor::ONE);
    }
}
