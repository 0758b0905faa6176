//! What an answer of the account itself (its list of models, say) means for its keys and deployments. Such an answer proves
//! less than one of a model: that the account is reached and knows the key, not that there is money or that models work.
//! Sends nothing and knows no clock. Tests are below.

use std::sync::Arc;

use crate::health::{Admission, Phase, Transition};
use crate::moment::Moment;
use crate::snapshot::{Channel, Credential, Deployment};
use crate::verdict::{Blame, Class, Verdict};

/// What changed for a deployment.
pub type Change<'d> = (&'d Arc<Deployment>, Transition);

/// The account answered a key: that is no longer refused (unless the provider answers whoever asks), and what could not be
/// reached is reached again.
pub fn account_answered<'d>(
    channel: &Channel,
    credential: &Credential,
    deployments: &[&'d Arc<Deployment>],
    now: Moment,
) -> Vec<Change<'d>> {
    if !channel.provider.open_list && credential.state.standing().out == Some(Class::CredentialDead) {
        credential.state.succeed();
    }
    deployments.iter().filter_map(|deployment| Some((*deployment, reached(deployment, now)?))).collect()
}

fn reached(deployment: &Deployment, now: Moment) -> Option<Transition> {
    let (state, policy) = (&deployment.state, &deployment.channel.policy);
    let unreached = state.last_error().is_some_and(|(class, _)| class == Class::Network);
    if !unreached || state.breaker(policy, now).0 == Phase::Closed {
        return None;
    }
    match state.admit_probe(policy, now) {
        Admission::OnTrial => state.succeed(policy, now, true),
        Admission::Free | Admission::Barred(..) => None,
    }
}

/// The account did not answer a key, as judged. What says that the key may not see a list says nothing of models.
pub fn account_failed<'d>(
    credential: &Credential,
    deployments: &[&'d Arc<Deployment>],
    verdict: &Verdict,
    now: Moment,
) -> Vec<Change<'d>> {
    match verdict.blame {
        Blame::Caller | Blame::Nobody => Vec::new(),
        Blame::Credential => {
            refused(credential, deployments, verdict, now);
            Vec::new()
        }
        // Where there is no list, there may be models.
        Blame::Deployment if verdict.class == Class::ModelMissing => Vec::new(),
        Blame::Deployment => {
            let failed = |deployment: &Deployment| {
                let policy = &deployment.channel.policy;
                if !policy.watched {
                    return None;
                }
                deployment.state.fail(policy, verdict.class, None, now, false)
            };
            deployments.iter().filter_map(|deployment| Some((*deployment, failed(deployment)?))).collect()
        }
    }
}

fn refused(credential: &Credential, deployments: &[&Arc<Deployment>], verdict: &Verdict, now: Moment) {
    let Some(policy) = deployments.first().map(|deployment| &deployment.channel.policy) else { return };
    if credential.header.is_none() || !policy.watched {
        return;
    }
    let span = match verdict.class {
        Class::CredentialDead => policy.cooldowns.dead_key.0,
        Class::NoMoney => policy.cooldowns.no_money.0,
        Class::BadRequest
        | Class::Forbidden
        | Class::RegionBlocked
        | Class::ModelMissing
        | Class::RateLimited
        | Class::Overloaded
        | Class::ServerError
        | Class::Timeout
        | Class::Network
        | Class::Unreadable
        | Class::Redirected => return,
    };
    credential.state.fail();
    credential.state.put_out(verdict.class, verdict.status, span, now);
}

#[cfg(test)]
mod tests {
    use waypost_wire::error::RemoteError;

    use super::*;
    use crate::config::{Config, Format};
    use crate::health::States;
    use crate::snapshot::{Snapshot, compile};
    use crate::verdict::{Outcome, Trouble, judge};

    fn snapshot() -> Snapshot {
        snapshot_of("openai")
    }

    fn snapshot_of(provider: &str) -> Snapshot {
        let text = format!("channels: [{{name: a, provider: {provider}, api_key: sk-1, models: [m, n]}}]");
        let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
        compile(&config, &States::default()).expect(&text)
    }

    fn status(status: u16) -> Verdict {
        judge(Outcome::Status { status, remote: &RemoteError::default(), retry_after: None }, Some("m"))
    }

    fn at(second: u64) -> Moment {
        Moment::seconds(second)
    }

    fn is_open(deployment: &Deployment, now: Moment) -> bool {
        deployment.state.breaker(&deployment.channel.policy, now).0 == Phase::Open
    }

    #[test]
    fn an_account_that_cannot_be_reached_isolates_all_its_deployments_and_its_answer_brings_them_back() {
        let snapshot = snapshot();
        let channel = &snapshot.channels[0];
        let (key, deployments) = (&channel.credentials[0], snapshot.deployments_of(channel));
        let unreached = judge(Outcome::Trouble(Trouble::Connect), Some("m"));
        for second in 1..5 {
            assert!(account_failed(key, &deployments, &unreached, at(second)).is_empty());
        }
        assert_eq!(account_failed(key, &deployments, &unreached, at(5)).len(), 2);
        assert!(deployments.iter().all(|deployment| is_open(deployment, at(6))));
        assert_eq!(account_answered(channel, key, &deployments, at(7)).len(), 2);
        assert!(!deployments.iter().any(|deployment| is_open(deployment, at(7))));
    }

    #[test]
    fn a_list_says_nothing_of_a_model_that_fails() {
        let snapshot = snapshot();
        let channel = &snapshot.channels[0];
        let (key, deployments) = (&channel.credentials[0], snapshot.deployments_of(channel));
        for second in 1..6 {
            deployments[0].state.fail(&channel.policy, Class::ServerError, None, at(second), false);
        }
        assert!(account_answered(channel, key, &deployments, at(6)).is_empty());
        assert!(is_open(deployments[0], at(6)));
        for code in [404, 403, 429] {
            assert!(account_failed(key, &deployments, &status(code), at(6)).is_empty());
            assert_eq!(key.state.standing().out, None, "{code}");
        }
    }

    #[test]
    fn a_refused_key_is_put_out_and_one_that_is_known_again_is_used_again_but_a_list_brings_no_money() {
        let snapshot = snapshot();
        let channel = &snapshot.channels[0];
        let (key, deployments) = (&channel.credentials[0], snapshot.deployments_of(channel));
        account_failed(key, &deployments, &status(401), at(1));
        assert_eq!(key.state.standing().out, Some(Class::CredentialDead));
        account_answered(channel, key, &deployments, at(2));
        assert_eq!(key.state.standing().out, None);
        account_failed(key, &deployments, &status(402), at(3));
        account_answered(channel, key, &deployments, at(4));
        assert_eq!(key.state.standing().out, Some(Class::NoMoney));
    }

    #[test]
    fn a_list_that_everybody_is_told_proves_nothing_of_a_key() {
        let snapshot = snapshot_of("openrouter");
        let channel = &snapshot.channels[0];
        let (key, deployments) = (&channel.credentials[0], snapshot.deployments_of(channel));
        account_failed(key, &deployments, &status(401), at(1));
        account_answered(channel, key, &deployments, at(2));
        assert_eq!(key.state.standing().out, Some(Class::CredentialDead));
    }
}
