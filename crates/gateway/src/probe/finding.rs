//! What asking a key can find, and how people are told. Built upon the verdict; knows no provider. Tests are below.

use std::time::Duration;

use waypost_core::verdict::{Class, Verdict};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It answered.
    Valid,
    /// The provider does not know the key, or not any more.
    InvalidKey,
    /// The account has no money or quota left.
    NoQuota,
    /// The key works and is limited now, for so long if the provider says so.
    Limited { retry_after: Option<Duration> },
    /// The provider does not serve the place we ask from.
    RegionBlocked,
    /// The provider does not know the model.
    ModelMissing,
    /// The key may not do this.
    Forbidden,
    /// No connection came about.
    Unreachable,
    /// No answer in time.
    Slow,
    /// An error of the provider's, or no answer that can be read.
    Broken,
}

impl Finding {
    /// What a verdict means. Whether there was a connection is for the caller to say.
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict.class {
            Class::CredentialDead => Self::InvalidKey,
            Class::NoMoney => Self::NoQuota,
            Class::RateLimited => Self::Limited { retry_after: verdict.wait },
            Class::RegionBlocked => Self::RegionBlocked,
            Class::ModelMissing => Self::ModelMissing,
            Class::Forbidden => Self::Forbidden,
            Class::Timeout => Self::Slow,
            Class::Network
            | Class::BadRequest
            | Class::Overloaded
            | Class::ServerError
            | Class::Unreadable
            | Class::Redirected => Self::Broken,
        }
    }

    /// The word in reports, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::InvalidKey => "invalid_key",
            Self::NoQuota => "no_quota",
            Self::Limited { .. } => "limited",
            Self::RegionBlocked => "region_blocked",
            Self::ModelMissing => "model_missing",
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Broken => "broken",
        }
    }

    /// One sentence that says what to do.
    pub fn sentence(self) -> String {
        let text = match self {
            Self::Valid => "The key works.",
            Self::InvalidKey => "The provider does not accept the key; make a new one there.",
            Self::NoQuota => "The account is out of credit or quota; top it up at the provider.",
            Self::Limited { retry_after: Some(wait) } => {
                let seconds = wait.as_millis().div_ceil(1000);
                return format!("The key works, but is limited now; the provider asks to wait {seconds} s.");
            }
            Self::Limited { retry_after: None } => "The key works, but is limited now; try again later.",
            Self::RegionBlocked => "The provider does not serve the region this machine is in; ask from another place.",
            Self::ModelMissing => "The provider does not know this model; check its name there, or name another one.",
            Self::Forbidden => "The key may not use this; check its permissions at the provider.",
            Self::Unreachable => "No connection came about; check `base_url` and the network.",
            Self::Slow => "No answer came in time.",
            Self::Broken => "The provider did not give an answer that can be used.",
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use waypost_core::verdict::{Outcome, Trouble, judge};
    use waypost_wire::error::RemoteError;

    use super::*;

    #[test]
    fn each_verdict_is_a_finding() {
        let of = |status| {
            let remote = RemoteError::default();
            let retry_after = Some(Duration::from_secs(7));
            Finding::of(&judge(Outcome::Status { status, remote: &remote, retry_after }, Some("m"))).name()
        };
        let table = [
            (401, "invalid_key"),
            (402, "no_quota"),
            (403, "forbidden"),
            (404, "model_missing"),
            (429, "limited"),
            (400, "broken"),
            (500, "broken"),
            (302, "broken"),
            (504, "slow"),
        ];
        for (status, finding) in table {
            assert_eq!(of(status), finding, "{status}");
        }
        for (trouble, finding) in [(Trouble::Timeout, Finding::Slow), (Trouble::Broken, Finding::Broken)] {
            assert_eq!(Finding::of(&judge(Outcome::Trouble(trouble), Some("m"))), finding);
        }
    }

    #[test]
    fn a_limit_says_how_long() {
        let limited = |millis| Finding::Limited { retry_after: Some(Duration::from_millis(millis)) }.sentence();
        assert_eq!(limited(6500), "The key works, but is limited now; the provider asks to wait 7 s.");
    }
}
