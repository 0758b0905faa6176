//! The service tiers of providers, which multiply a price. Decides what the words of requests mean. Tests are below.

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
    /// A word that is not known here.
    Other,
}

impl ServiceTier {
    /// What a request's `service_tier` asks for. What is left to the provider is taken for the usual service.
    pub fn of(word: Option<&str>) -> Self {
        match word {
            None | Some("" | "auto" | "default" | "standard" | "standard_only" | "on_demand") => Self::Standard,
            Some("flex") => Self::Flex,
            Some("batch") => Self::Batch,
            Some("priority" | "fast") => Self::Priority,
            Some(_) => Self::Other,
        }
    }

    /// The word in logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Priority => "priority",
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
    /// what is unknown is not given away.
    pub fn of(&self, tier: ServiceTier) -> Factor {
        let known = match tier {
            ServiceTier::Standard => Some(Factor::ONE),
            ServiceTier::Flex => self.flex,
            ServiceTier::Batch => self.batch,
            ServiceTier::Priority => self.priority,
            ServiceTier::Other => None,
        };
        let dearest = || [self.flex, self.batch, self.priority].into_iter().flatten().fold(Factor::ONE, Factor::max);
        match (known, tier) {
            (Some(factor), _) => factor,
            // Both are sold as discounts: without one, they cost the same.
            (None, ServiceTier::Flex | ServiceTier::Batch) => Factor::ONE,
            (None, ServiceTier::Standard | ServiceTier::Priority | ServiceTier::Other) => dearest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_tiers_and_unknown_ones_are_never_cheaper() {
        assert_eq!(ServiceTier::of(None), ServiceTier::Standard);
        assert_eq!(ServiceTier::of(Some("auto")), ServiceTier::Standard);
        assert_eq!(ServiceTier::of(Some("priority")), ServiceTier::Priority);
        assert_eq!(ServiceTier::of(Some("warp")), ServiceTier::Other);
        let half = Factor::permille(500);
        let factors = ServiceFactors { flex: half, batch: None, priority: Factor::permille(2000) };
        assert_eq!(Some(factors.of(ServiceTier::Flex)), half);
        assert_eq!(factors.of(ServiceTier::Batch), Factor::ONE);
        assert_eq!(Some(factors.of(ServiceTier::Other)), factors.priority);
        assert_eq!(ServiceFactors { flex: half, ..Default::default() }.of(ServiceTier::Priority), Factor::ONE);
    }
}
