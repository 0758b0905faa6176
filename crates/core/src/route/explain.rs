//! Why a request for a model would go where it would go now: every deployment with its standing, in the order of the plan.
//! Takes no turn and claims nothing. Tests are below.

use std::time::Duration;

use super::Query;
use crate::health::{Admission, Bar};
use crate::moment::Moment;
use crate::snapshot::{Deployment, Route, Snapshot};

/// A deployment of the model, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained<'s> {
    pub deployment: &'s str,
    pub tier: u8,
    pub weight: u32,
    /// Its place among those that would be tried; `None` if it would not be. Chance and turns aside, which decide within a
    /// tier.
    pub place: Option<usize>,
    /// Why it would not be tried.
    pub veto: Option<&'static str>,
    /// How long the veto lasts, where that is known.
    pub wait: Option<Duration>,
    /// It failed lately, so that its peers come first.
    pub behind: bool,
    /// Its share in per cent while it comes back.
    pub share: u8,
    pub in_flight: u32,
    pub recent: u64,
    pub latency: Option<Duration>,
}

/// Explains a query, with the route it takes; `None` if nobody knows the model.
pub fn explain<R>(
    snapshot: &Snapshot,
    query: &Query<'_>,
    now: Moment,
    tell: impl FnOnce(&Route, Vec<Explained<'_>>) -> R,
) -> Option<R> {
    let route = match query.model {
        Some(model) => snapshot.route(model)?,
        None => super::Found::Listed(snapshot.default.as_deref()?),
    };
    let mut explained = Vec::new();
    let mut place = 0;
    for tier in &route.tiers {
        let begin = explained.len();
        for deployment in &tier.deployments {
            explained.push(one(deployment, query, now));
        }
        let Some(mine) = explained.get_mut(begin..) else { continue };
        mine.sort_by_key(|one: &Explained<'_>| (one.veto.is_some(), one.behind || one.weight == 0));
        for able in mine.iter_mut().filter(|one| one.veto.is_none()) {
            able.place = Some(place);
            place += 1;
        }
    }
    Some(tell(&route, explained))
}

fn one<'d>(deployment: &'d Deployment, query: &Query<'_>, now: Moment) -> Explained<'d> {
    let channel = &deployment.channel;
    let standing = deployment.state.standing(&channel.policy, now);
    let (veto, until) = if channel.endpoint(query.operation, query.dialect).is_none() {
        (Some("does not serve the operation"), None)
    } else {
        match standing.admission {
            Admission::Barred(bar, until) => (Some(word(bar)), Some(until)),
            Admission::Free | Admission::OnTrial => match blocked_keys(deployment, now) {
                Some((why, until)) => (Some(why), until),
                None => (None, None),
            },
        }
    };
    Explained {
        deployment: &deployment.label,
        tier: deployment.tier,
        weight: deployment.weight,
        place: None,
        veto,
        wait: until.map(|until| until.since(now)),
        behind: standing.behind,
        share: standing.share,
        in_flight: deployment.state.in_flight(),
        recent: deployment.state.recent(now),
        latency: deployment.state.latency(),
    }
}

fn word(bar: Bar) -> &'static str {
    match bar {
        Bar::Breaker => "isolated: it failed too often",
        Bar::Missing => "its provider does not know the model",
        Bar::Patience => "its provider asked for patience",
    }
}

/// Why and until when none of a deployment's credentials can be used; `None` if one can.
pub(crate) fn blocked_keys(deployment: &Deployment, now: Moment) -> Option<(&'static str, Option<Moment>)> {
    let credentials = deployment.channel.credentials.iter().zip(&deployment.lanes);
    let free = credentials.map(|(credential, lane)| {
        let (out, resting) = (credential.state.free_at(now), lane.free_at(0, now));
        (out.max(resting), out > now)
    });
    match free.min_by_key(|(at, _)| *at) {
        Some((at, _)) if at <= now => None,
        Some((at, true)) => Some(("none of its credentials works", Some(at))),
        Some((at, false)) => Some(("its credentials are rate limited", Some(at))),
        None => Some(("it has no credential", None)),
    }
}

#[cfg(test)]
mod tests {
    use waypost_wire::Dialect;

    use super::*;
    use crate::config::{Config, Format};
    use crate::health::States;
    use crate::operation::Operation;
    use crate::snapshot::compile;
    use crate::verdict::Class;

    #[test]
    fn every_deployment_is_shown_with_what_speaks_against_it_000_25() {
        let text = "routing: {models: {smart: {strategy: least_busy}}}
channels:
  - {name: a, provider: openai, api_key: k, models: [{name: smart, upstream: gpt-4o}]}
  - {name: b, provider: anthropic, api_key: k, models: [{name: smart, upstream: claude-x}]}
  - {name: c, provider: openai, api_key: k, models: [{name: smart, upstream: gpt-4o-mini}], tier: 2}";
        let config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).unwrap();
        let snapshot = compile(&config, &States::default()).unwrap();
        let now = Moment::seconds(1);
        let route = snapshot.route("smart").unwrap();
        let (a, b) = (&route.tiers[0].deployments[0], &route.tiers[0].deployments[1]);
        for _ in 0..5 {
            let _ = a.state.fail(&a.channel.policy, Class::Network, None, now, false);
        }
        let _ = b.state.fail(&b.channel.policy, Class::Network, None, now, false);

        let query = Query {
            model: Some("smart"),
            operation: Operation::Chat,
            dialect: Dialect::OpenaiChat,
            needs: waypost_wire::peek::Needs::default(),
            charge: None,
        };
        let (strategy, told) = explain(&snapshot, &query, now, |route, explained| {
            let told = |one: &Explained<'_>| (one.deployment.to_owned(), one.place, one.veto, one.behind);
            (route.strategy.name(), explained.iter().map(told).collect::<Vec<_>>())
        })
        .unwrap();
        assert_eq!(strategy, "least_busy");
        assert_eq!(
            told,
            [
                ("b/smart".to_owned(), Some(0), None, true),
                ("a/smart".to_owned(), None, Some("isolated: it failed too often"), true),
                ("c/smart".to_owned(), Some(1), None, false),
            ]
        );
        let unknown = Query { model: Some("nope"), ..query };
        assert!(explain(&snapshot, &unknown, now, |_, _| ()).is_none());
    }
}
