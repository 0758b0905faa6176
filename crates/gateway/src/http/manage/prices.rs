//! Prices over HTTP: versions are added and, until they are in effect, taken back; none is changed. Shows which price holds for a
//! model and who said it, and prices the past anew. What is written is in effect before the answer is sent, or the answer says why not.
//! Tests: `it/prices.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use waypost_core::GatewayError;
use waypost_core::config::{ConfigError, PriceEntry, SetPrice};
use waypost_core::pricing::book::in_force;
use waypost_core::pricing::{Book, Class, Price, Rates, Version};
use waypost_core::role::Action;
use waypost_store::prices::{self, Filter, PriceVersion};

use super::answer::{Answer, Page};
use super::ask::{Ask, NOTHING_TO_READ};
use super::route::{Kind, Needs, Route, shape};
use crate::follow::Feed as _;
use crate::prices::read;
use crate::telemetry::wall::rfc_3339;

const READ: Needs = Needs::May(Action::ReadPrices);
const WRITE: Needs = Needs::May(Action::WritePrices);

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/prices"),
        "price.list",
        "prices that were set here, the newest first",
        READ,
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<PriceView>>)
    .asking(&[("model", "the name or pattern that it is for, exactly"), ("provider", "the kind of provider")]),
    Route::new(
        ("POST", "/admin/prices"),
        "price.create",
        "set a price from a moment on; after prices of files, before the built-in book",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<NewPrice>)
    .giving(shape::<MadePrice>),
    Route::new(
        ("GET", "/admin/prices/effective"),
        "price.effective",
        "which price holds for a model, and who said it",
        READ,
        Kind::Show,
        |ask| Box::pin(effective(ask)),
    )
    .giving(shape::<EffectiveView>)
    .asking(&[
        ("model", "as callers name it"),
        ("channel", "only on this channel"),
        ("at", "milliseconds since 1970; now if nothing is said"),
    ]),
    Route::new(("GET", "/admin/prices/{id}"), "price.get", "one version of a price", READ, Kind::Show, |ask| {
        Box::pin(get(ask))
    })
    .giving(shape::<PriceView>),
    Route::new(
        ("DELETE", "/admin/prices/{id}"),
        "price.withdraw",
        "take back a version that has not come into effect",
        WRITE,
        Kind::End,
        |ask| Box::pin(withdraw(ask)),
    ),
];

/// A version never changes, so that there is only one of it.
const ONLY: i64 = 1;

/// A version of a price.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Price")]
pub(super) struct PriceView {
    id: String,
    model: String,
    provider: Option<String>,
    channel: Option<String>,
    /// The moment from which on it holds.
    effective_at: i64,
    /// It has not come into effect, and can be taken back.
    pending: bool,
    /// As in a file; decimals of USD are text.
    price: Map<String, Value>,
    /// How charges and calls name it.
    name: Option<String>,
    created_at: i64,
    created_by: String,
}

/// A version of a price that was set just now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadePrice {
    #[serde(flatten)]
    price: PriceView,
    /// From the next request on what it is for is charged by it, unless a price of a file comes before it.
    in_effect: bool,
    /// Why it is not; null if it is. It is kept in any case, and comes into effect when that is over.
    why: Option<String>,
}

/// A price to be set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPrice {
    /// Written as in a file.
    #[schemars(with = "PriceEntry")]
    price: Box<RawValue>,
    /// The moment from which on it holds, in milliseconds since 1970: the day in the price, or now, if nothing is said.
    effective_at: Option<i64>,
}

/// Which price holds for a model.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EffectivePrices")]
pub(super) struct EffectiveView {
    model: String,
    at: i64,
    /// A line for each deployment.
    data: Vec<DeploymentPrice>,
}

/// Which price holds for a deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DeploymentPrice {
    deployment: String,
    channel: String,
    /// The model's name at the provider.
    upstream: String,
    /// Null if nobody knows one.
    price: Option<VersionView>,
}

/// A version of a price, whoever said it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PriceInEffect")]
pub(super) struct VersionView {
    /// How charges and calls name it.
    name: String,
    /// `channel` or `file`, `api` (set here), or `embedded` (the built-in book).
    origin: String,
    /// Where the price is from, for people.
    source: Option<String>,
    effective_at: i64,
    /// USD for a million tokens of each class, and for each call and picture.
    rates: Map<String, Value>,
    /// Other rates for prompts of more tokens than `above`.
    tiers: Vec<Map<String, Value>>,
    /// What service tiers multiply it by.
    service_tiers: Map<String, Value>,
}

impl PriceView {
    fn of(version: PriceVersion, now: i64) -> Self {
        let price: Map<String, Value> = serde_json::from_str(&version.body).unwrap_or_default();
        Self {
            name: read(&version).ok().map(|(_, read)| read.id.to_string()),
            id: version.id,
            model: version.model,
            provider: version.provider,
            channel: price.get("channel").and_then(Value::as_str).map(str::to_owned),
            effective_at: version.effective_at,
            pending: version.effective_at > now,
            price,
            created_at: version.created_at,
            created_by: version.created_by,
        }
    }
}

impl VersionView {
    fn of(version: &Version) -> Self {
        let Price { rates, tiers, call, image, service } = &version.price;
        let mut base = rates_of(rates);
        for (class, unit) in [(Class::Call, call), (Class::Image, image)] {
            base.insert(class.name().to_owned(), json!(unit.as_per_unit().to_string()));
        }
        let tiers = tiers.iter().map(|tier| {
            let mut rates = rates_of(&tier.rates);
            rates.insert("above".to_owned(), json!(tier.above));
            rates
        });
        let factors = [("flex", service.flex), ("batch", service.batch), ("priority", service.priority)];
        let factors = factors.into_iter().filter_map(|(name, factor)| Some((name, factor?)));
        Self {
            name: version.id.to_string(),
            origin: version.origin.name().to_owned(),
            source: version.source.as_deref().map(str::to_owned),
            effective_at: version.effective_from,
            rates: base,
            tiers: tiers.collect(),
            service_tiers: factors.map(|(name, factor)| (name.to_owned(), json!(factor.to_string()))).collect(),
        }
    }
}

fn rates_of(rates: &Rates) -> Map<String, Value> {
    let Rates { input, output, cache_read, cache_write, cache_write_1h, reasoning, audio_input, audio_output } = *rates;
    let classes = [
        (Class::Input, input),
        (Class::Output, output),
        (Class::CacheRead, cache_read),
        (Class::CacheWrite, cache_write),
        (Class::CacheWrite1h, cache_write_1h),
        (Class::Reasoning, reasoning),
        (Class::AudioInput, audio_input),
        (Class::AudioOutput, audio_output),
    ];
    let shown = classes.into_iter().map(|(class, rate)| (class, rate.as_per_million().to_string()));
    shown.map(|(class, rate)| (class.name().to_owned(), json!(rate))).collect()
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (after, now) = (ask.after()?, ask.now());
    let filter = Filter { model: ask.query.get("model"), provider: ask.query.get("provider") };
    let page = prices::page(ask.store()?, &filter, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, |version| PriceView::of(version, now)))
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let version = prices::get(ask.store()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    Answer::of_version(&PriceView::of(version, ask.now()), ONLY)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let NewPrice { price, effective_at } = ask.input()?;
    let mut entry = PriceEntry::parse(price.get()).map_err(|errors| wrong(&errors))?;
    let day = entry.effective_from.take().map(|day| day.unix_ms());
    let effective_at = match (effective_at, day) {
        (Some(_), Some(_)) => {
            let message = "`effective_at` and the price's `effective_from` say the same: leave one of them out.";
            return Err(GatewayError::invalid_request(message, Some("effective_at")));
        }
        (Some(at), None) | (None, Some(at)) if at >= 0 => at,
        (Some(_), None) | (None, Some(_)) => {
            let message = "`effective_at` is in milliseconds since 1970.";
            return Err(GatewayError::invalid_request(message, Some("effective_at")));
        }
        (None, None) => ask.now(),
    };
    let set = SetPrice { entry, effective_at };
    Book::check(&set, "price").map_err(|error| wrong(&[error]))?;
    let version = PriceVersion {
        id: ask.new_id("price")?,
        model: set.entry.model.clone().unwrap_or_default(),
        provider: set.entry.provider.clone(),
        effective_at,
        body: set.entry.written().to_string(),
        created_at: ask.now(),
        created_by: ask.actor.id.to_string(),
    };
    let mut tx = ask.begin().await?;
    prices::add(&mut tx, &version).await.map_err(|error| ask.fault(error))?;
    let id = version.id.clone();
    let view = PriceView::of(version, ask.now());
    ask.commit(tx, &id, None, &json!({ "price": view })).await?;
    let why = match take_effect(&ask).await? {
        None if view.pending => {
            Some(format!("It holds from {} on.", rfc_3339(u64::try_from(effective_at).unwrap_or_default())))
        }
        refused => refused,
    };
    Answer::made(&MadePrice { price: view, in_effect: why.is_none(), why }, ONLY)
}

async fn withdraw(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let version = prices::get(ask.store()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    if ask.expected_if_said()?.is_some_and(|expected| expected != ONLY) {
        return Err(GatewayError::precondition_failed());
    }
    let mut tx = ask.begin().await?;
    prices::withdraw(&mut tx, ask.id(), ask.now()).await.map_err(|error| ask.fault(error))?;
    ask.commit(tx, ask.id(), None, &json!({ "price": PriceView::of(version, ask.now()) })).await?;
    take_effect(&ask).await?;
    Ok(Answer::done())
}

/// From now on requests are charged by what the database says. Says why not, if something is in the way.
async fn take_effect(ask: &Ask<'_>) -> Result<Option<String>, GatewayError> {
    if let Some(feed) = ask.app.prices.get() {
        feed.refresh().await.map_err(|error| ask.fault(error))?;
        return Ok(ask.reload().await);
    }
    Ok(Some(NOTHING_TO_READ.to_owned()))
}

async fn effective(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let missing = || GatewayError::invalid_request("`model` says of which model.", Some("model"));
    let model = ask.query.get("model").ok_or_else(missing)?;
    let channel = ask.query.get("channel");
    let at = ask.number("at")?.unwrap_or_else(|| ask.now());
    let live = ask.app.live();
    let route = live.snapshot.route(model).ok_or_else(|| GatewayError::no_such(model))?;
    let deployments = route.tiers.iter().flat_map(|tier| &tier.deployments);
    let wanted = deployments.filter(|deployment| channel.is_none_or(|name| *deployment.channel.name == *name));
    let data = wanted.map(|deployment| DeploymentPrice {
        deployment: deployment.label.to_string(),
        channel: deployment.channel.name.to_string(),
        upstream: deployment.upstream.to_string(),
        price: in_force(&deployment.prices, at).map(|version| VersionView::of(version)),
    });
    Answer::shown(&EffectiveView { model: model.to_owned(), at, data: data.collect() })
}

/// What is wrong with a price, and how to mend it.
fn wrong(errors: &[ConfigError]) -> GatewayError {
    let field = errors.first().map(|error| error.path.trim_start_matches("price.")).unwrap_or_default();
    let said = errors.iter().map(|error| match (error.path.as_str(), &error.fix) {
        ("" | "price", None) => error.reason.clone(),
        ("" | "price", Some(fix)) => format!("{}; {fix}", error.reason),
        (path, None) => format!("{path}: {}", error.reason),
        (path, Some(fix)) => format!("{path}: {}; {fix}", error.reason),
    });
    let message = format!("The price cannot be used: {}.", said.collect::<Vec<_>>().join("; "));
    GatewayError::invalid_request(message, Some(field).filter(|field| !field.is_empty()).or(Some("price")))
}
