//! Subscription plans over HTTP: what whoever has one may use, how much of it, and at what price. Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::access::Endpoints;
use waypost_core::role::Action;
use waypost_store::StoreError;
use waypost_store::page::Scope;
use waypost_store::plans::{self, Billing, SubscriptionPlan, Terms};

use super::answer::{Answer, Page};
use super::ask::{Ask, given};
use super::keys::view::{LimitsView, check_name};
use super::route::{Kind, Needs, Route, shape};

const READ: Needs = Needs::May(Action::ReadPlans);
const WRITE: Needs = Needs::May(Action::WritePlans);

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/plans"), "plan.list", "plans, the newest first", READ, Kind::List, |ask| {
        Box::pin(list(ask))
    })
    .giving(shape::<Page<PlanView>>),
    Route::new(("POST", "/admin/plans"), "plan.create", "make a plan", WRITE, Kind::Make, |ask| Box::pin(create(ask)))
        .taking(shape::<NewPlan>)
        .giving(shape::<PlanView>),
    Route::new(("GET", "/admin/plans/{id}"), "plan.get", "one plan", READ, Kind::Show, |ask| Box::pin(get(ask)))
        .giving(shape::<PlanView>),
    Route::new(
        ("PATCH", "/admin/plans/{id}"),
        "plan.change",
        "change a plan, at once for everybody who has it; a disabled one gives nothing",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<PlanChange>)
    .giving(shape::<PlanView>),
];

/// What is the same for everybody who has the plan.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(super) struct PlanView {
    id: String,
    name: String,
    /// Names with `*`; empty means all.
    models: Vec<String>,
    /// Operations such as `chat`, or paths; empty means all.
    endpoints: Vec<String>,
    limits: LimitsView,
    /// What prices are multiplied with, such as "0.8".
    price_factor: String,
    /// `prepaid`: an account without credit gets no answer. `postpaid`: only budgets, and credit once it was given, stop anybody.
    billing: String,
    enabled: bool,
    created_at: i64,
    changed_at: i64,
    /// What `ETag` says.
    version: i64,
}

/// A plan to be made. What is left out is not limited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlan {
    name: String,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    rpm: Option<i64>,
    tpm: Option<i64>,
    concurrency: Option<i64>,
    tokens_per_day: Option<i64>,
    /// "1" if nothing is said; three digits after the point count.
    price_factor: Option<String>,
    /// `postpaid` (the default) or `prepaid`: then an account without credit gets no answer.
    billing: Option<String>,
}

/// What is to be different; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PlanChange {
    name: Option<String>,
    models: Option<Vec<String>>,
    endpoints: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    rpm: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    tpm: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    concurrency: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    tokens_per_day: Option<Option<i64>>,
    price_factor: Option<String>,
    billing: Option<String>,
    enabled: Option<bool>,
}

impl PlanView {
    fn of(plan: SubscriptionPlan) -> Self {
        let Terms { name, models, endpoints, rpm, tpm, concurrency, tokens_per_day, price_permille, billing } =
            plan.terms;
        Self {
            id: plan.id,
            name,
            models,
            endpoints,
            limits: LimitsView { rpm, tpm, concurrency, tokens_per_day },
            price_factor: factor(price_permille),
            billing: billing.name().to_owned(),
            enabled: plan.enabled,
            created_at: plan.created_at,
            changed_at: plan.changed_at,
            version: plan.version,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    if let Scope::Own(_) = ask.scope()? {
        return own_plans(&ask).await;
    }
    let after = ask.after()?;
    let page = plans::page(ask.store()?, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, PlanView::of))
}

/// The plan that whoever asks has.
async fn own_plans(ask: &Ask<'_>) -> Result<Answer, GatewayError> {
    let mut data = Vec::new();
    if let Some(id) = own_plan(ask).await? {
        data.push(PlanView::of(plans::get(ask.store()?, &id).await.map_err(|error| ask.fault(error))?));
    }
    Answer::shown(&Page { data, next: None })
}

async fn own_plan(ask: &Ask<'_>) -> Result<Option<String>, GatewayError> {
    let (store, id) = (ask.store()?, &*ask.actor.id);
    let user = match waypost_store::users::get(store, &Scope::All, id).await {
        Ok(user) => user,
        Err(StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(ask.fault(error)),
    };
    match (user.plan, user.team) {
        (Some(plan), _) => Ok(Some(plan)),
        (None, Some(team)) => {
            let team = waypost_store::teams::get(store, &Scope::All, &team).await.map_err(|error| ask.fault(error))?;
            Ok(team.plan)
        }
        (None, None) => Ok(None),
    }
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    if let Scope::Own(_) = ask.scope()?
        && own_plan(&ask).await?.as_deref() != Some(ask.id())
    {
        return Err(GatewayError::no_such(ask.id()));
    }
    let plan = plans::get(ask.store()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    let version = plan.version;
    Answer::of_version(&PlanView::of(plan), version)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<NewPlan>()?;
    let terms = Terms {
        name: input.name,
        models: input.models,
        endpoints: input.endpoints,
        rpm: input.rpm,
        tpm: input.tpm,
        concurrency: input.concurrency,
        tokens_per_day: input.tokens_per_day,
        price_permille: input.price_factor.as_deref().map_or(Ok(1000), permille)?,
        billing: input.billing.as_deref().map_or(Ok(Billing::Postpaid), billing)?,
    };
    check(&terms)?;
    let id = ask.new_id("plan")?;
    let mut tx = ask.begin().await?;
    let plan = plans::create(&mut tx, &id, &terms, ask.now()).await.map_err(|error| ask.fault(error))?;
    let (version, view) = (plan.version, PlanView::of(plan));
    ask.commit(tx, &id, None, &json!({ "plan": view })).await?;
    Answer::made(&view, version)
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<PlanChange>()?;
    let old = plans::get(ask.store()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    ask.check_version(old.version)?;
    let was = old.terms.clone();
    let terms = Terms {
        name: input.name.unwrap_or(was.name),
        models: input.models.unwrap_or(was.models),
        endpoints: input.endpoints.unwrap_or(was.endpoints),
        rpm: input.rpm.unwrap_or(was.rpm),
        tpm: input.tpm.unwrap_or(was.tpm),
        concurrency: input.concurrency.unwrap_or(was.concurrency),
        tokens_per_day: input.tokens_per_day.unwrap_or(was.tokens_per_day),
        price_permille: input.price_factor.as_deref().map_or(Ok(was.price_permille), permille)?,
        billing: input.billing.as_deref().map_or(Ok(was.billing), billing)?,
    };
    check(&terms)?;
    let enabled = input.enabled.unwrap_or(old.enabled);
    let mut tx = ask.begin().await?;
    let plan = plans::change(&mut tx, &old.id, Some(old.version), &terms, enabled, ask.now()).await;
    let plan = plan.map_err(|error| ask.fault(error))?;
    let (id, version) = (plan.id.clone(), plan.version);
    let (before, after) = (PlanView::of(old), PlanView::of(plan));
    ask.commit(tx, &id, None, &json!({ "before": before, "after": after })).await?;
    ask.take_effect("plan", &id).await?;
    Answer::of_version(&after, version)
}

fn check(terms: &Terms) -> Result<(), GatewayError> {
    check_name("name", &terms.name)?;
    Endpoints::read(&terms.endpoints).map_err(|bad| {
        GatewayError::invalid_request(
            format!("`{}` is no endpoint such as `chat` or `/v1/files*`.", bad.0),
            Some("endpoints"),
        )
    })?;
    let limits = [
        ("rpm", terms.rpm),
        ("tpm", terms.tpm),
        ("concurrency", terms.concurrency),
        ("tokens_per_day", terms.tokens_per_day),
    ];
    match limits.iter().find(|(_, limit)| limit.is_some_and(|limit| limit < 0)) {
        Some((field, _)) => Err(GatewayError::invalid_request(format!("`{field}` is not negative."), Some(field))),
        None => Ok(()),
    }
}

fn billing(word: &str) -> Result<Billing, GatewayError> {
    Billing::from_name(word)
        .ok_or_else(|| GatewayError::invalid_request("`billing` is `prepaid` or `postpaid`.", Some("billing")))
}

/// Thousandths as a decimal: 800 is "0.8".
fn factor(permille: i64) -> String {
    let (whole, rest) = (permille / 1000, permille % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

/// A decimal as thousandths.
fn permille(text: &str) -> Result<i64, GatewayError> {
    let read = || {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| (1..=6).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(rest) || rest.len() > 3 {
            return None;
        }
        let rest: i64 = format!("{rest:0<3}").parse().ok()?;
        Some(whole.parse::<i64>().ok()? * 1000 + rest)
    };
    read().ok_or_else(|| {
        let message = "`price_factor` is a decimal such as \"0.8\", with at most three digits after the point.";
        GatewayError::invalid_request(message, Some("price_factor"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_exact_decimals() {
        for (text, thousandths, shown) in
            [("1", 1000, "1"), ("0.8", 800, "0.8"), ("1.25", 1250, "1.25"), ("0", 0, "0"), ("2.005", 2005, "2.005")]
        {
            assert_eq!(permille(text).ok(), Some(thousandths), "{text}");
            assert_eq!(factor(thousandths), shown);
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.0001", "1,5", "1234567"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
