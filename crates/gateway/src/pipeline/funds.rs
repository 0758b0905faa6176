//! The money of one request: the most it can cost is held before anything is sent, and what it did cost is settled, whatever
//! becomes of the connection. Decides what counts as delivered; prices are core's and the books are the store's.
//! Tests: `it/money.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::access::Caller;
use waypost_core::ledger::{Account, Purse, PurseId, Scope, Short, Supply};
use waypost_core::money::NanoUsd;
use waypost_core::operation::Operation;
use waypost_core::pricing::{self, Cost, Factor, Priced, Pricing, ServiceTier, Terms, Version, recorded};
use waypost_core::route::{Charge, Plan};
use waypost_core::snapshot::Deployment;
use waypost_core::usage::Outcome;
use waypost_store::StoreError;
use waypost_store::journal::{Counts, Parties};
use waypost_store::money::{self, Held, Money, Progress, Refused, Settlement};
use waypost_wire::chat::Usage;

use super::call::Call;
use super::kept::Written;
use crate::app::{App, Live};
use crate::telemetry::wall::rfc_3339;

/// How much of an answer may be delivered before the journal is told again: about 256 tokens.
const CHECKPOINT_BYTES: u64 = 1024;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

const PENNILESS: &str = "You exceeded your current quota: your plan is paid beforehand, and your account has no credit. Top \
                         it up, or redeem a voucher.";

/// Money set aside for one request.
pub struct Funds {
    held: Option<Held>,
    charge: Charge,
    pricing: Pricing,
    terms: Terms,
    /// The price of the deployment that was asked last.
    version: Option<Arc<Version>>,
    deployment: Option<Arc<str>>,
    /// What the journal was told last: how many bytes of an answer, and when.
    told: Option<(u64, Instant)>,
}

/// Who pays for a request, and from what.
#[derive(Clone, Debug)]
pub struct Payer {
    account: Account,
    /// Its credit, and the budgets of all that the request belongs to.
    purses: Vec<Arc<Purse>>,
    /// It has to pay beforehand, and was never given anything to pay with.
    penniless: bool,
}

impl Payer {
    fn of(money: &Money, caller: &Caller, model: Option<&Arc<str>>) -> Self {
        let account = Account::payer(caller.user.as_deref(), caller.team.as_deref(), &caller.id);
        let mut scopes = vec![Scope::Global, Scope::Key(Arc::clone(&caller.id))];
        scopes.extend(caller.user.iter().cloned().map(Scope::User));
        scopes.extend(caller.team.iter().cloned().map(Scope::Team));
        scopes.extend(model.cloned().map(Scope::Group));
        let purses = money.books().purses(&account, &scopes);
        let penniless = caller.prepaid && !purses.iter().any(|purse| matches!(purse.id(), PurseId::Credit(_)));
        Self { account, purses, penniless }
    }

    /// Does anything limit what it may spend?
    fn is_limited(&self) -> bool {
        self.penniless || self.purses.iter().any(|purse| purse.definition().is_none_or(|budget| budget.hard))
    }
}

/// What a caller may still spend: the least that its credit or any hard budget of it has, whatever the model. `None` if nothing
/// bounds it.
pub async fn left(money: &Money, caller: &Caller, now: i64) -> Result<Option<NanoUsd>, StoreError> {
    let payer = Payer::of(money, caller, None);
    let mut least = payer.penniless.then_some(NanoUsd::ZERO);
    for purse in &payer.purses {
        let definition = purse.definition();
        if definition.as_ref().is_some_and(|budget| !budget.hard) {
            continue;
        }
        let (whole, spent) = match (purse.supply(), definition) {
            (Supply::Owned, _) => {
                let standing = purse.standing(now);
                (standing.allotted.get(), standing.spent.get().saturating_add(standing.held.get()))
            }
            // A lease is a part of what there is; the database knows the whole.
            (Supply::Leased, None) => match money.store().balance(&payer.account).await? {
                Some(balance) => (balance.granted.get(), balance.spent.get()),
                None => (0, 0),
            },
            (Supply::Leased, Some(budget)) => {
                let start = purse.standing(now).start;
                let windows = money.store().windows(&budget.id, 1).await?;
                let spent = windows.iter().find(|window| window.start == start).map_or(0, |window| window.spent.get());
                (budget.amount.get(), spent)
            }
        };
        let left = NanoUsd(whole.saturating_sub(spent).max(0));
        least = Some(least.map_or(left, |least| least.min(left)));
    }
    Ok(least)
}

/// Finds out who pays for a request and how it is charged, before it is planned: what limits its payer also limits where it may
/// go. What is found here is what [`hold`] takes the money from.
pub fn charge(app: &App, caller: &Caller, call: &mut Call) {
    let Some(money) = app.money.as_ref().filter(|_| is_charged(call)) else { return };
    let payer = Payer::of(money, caller, call.model.as_ref());
    call.charge = Some(Charge { at: app.unix_millis(), limited: payer.is_limited() });
    call.payer = Some(payer);
}

fn is_charged(call: &Call) -> bool {
    may_cost(call.operation) && (call.operation != Operation::Passthrough || !call.method.is_safe())
}

/// Counting and looking cost nothing.
pub fn may_cost(operation: Operation) -> bool {
    match operation {
        Operation::Chat
        | Operation::Completions
        | Operation::Embeddings
        | Operation::Images
        | Operation::Audio
        | Operation::Passthrough => true,
        Operation::CountTokens | Operation::Models => false,
    }
}

/// Why there is no money for a request.
pub enum NoFunds {
    /// A purse has not enough.
    Short(Box<Short>),
    /// Whatever else it is, nothing cheaper would help.
    Refused(GatewayError),
}

impl From<GatewayError> for NoFunds {
    fn from(error: GatewayError) -> Self {
        Self::Refused(error)
    }
}

/// Holds the most that the request can cost. When this answers, the hold is in the journal and the request may be sent.
pub async fn hold(
    app: &App,
    live: &Live,
    caller: &Caller,
    call: &Call,
    plan: &Plan<'_>,
) -> Result<Option<Funds>, NoFunds> {
    let (Some(money), Some(charge), Some(payer)) = (&app.money, call.charge, &call.payer) else { return Ok(None) };
    let pricing = &live.snapshot.pricing;
    let terms = terms(caller, call);
    let Dearest { amount, version } = dearest(pricing, call, plan, charge, &terms)?;
    let Payer { account, purses, penniless } = payer.clone();
    if penniless && amount > NanoUsd::ZERO {
        return Err(GatewayError::budget_exceeded(PENNILESS).into());
    }
    let ask = money::Ask {
        request: app.ledger_id(&call.request_id),
        payer: account,
        purses,
        amount,
        prices: version.map_or_else(|| "".into(), |version| Arc::clone(&version.id)),
        parties: Parties {
            key: Some(Arc::clone(&caller.id)),
            user: caller.user.clone(),
            team: caller.team.clone(),
            model: call.model.clone(),
            deployment: None,
        },
        at: charge.at,
    };
    let held = money.hold(ask).await.map_err(|refused| refusal(&call.request_id, refused))?;
    Ok(Some(Funds {
        held: Some(held),
        charge,
        pricing: pricing.clone(),
        terms,
        version: None,
        deployment: None,
        told: None,
    }))
}

fn terms(caller: &Caller, call: &Call) -> Terms {
    Terms {
        service: ServiceTier::of(call.peek.service_tier.as_deref()).unless_said(),
        factor: Factor::permille(caller.price_factor_permille).unwrap_or(Factor::ONE),
        calls: 1,
        images: images(call),
    }
}

/// The most that the request can cost at this deployment; nothing if nobody can say.
pub fn most_at(live: &Live, caller: &Caller, call: &Call, deployment: &Deployment) -> Option<NanoUsd> {
    let pricing = &live.snapshot.pricing;
    let charge = call.charge?;
    match pricing.decide(&deployment.prices, charge.at, charge.limited).ok()? {
        Priced::At(version) => version.price.bound(&most(pricing, call, deployment, &terms(caller, call))),
        Priced::Unpriced => None,
    }
}

/// How many pictures are asked for.
fn images(call: &Call) -> u32 {
    match call.operation {
        Operation::Images => u32::try_from(call.peek.n.max(1)).unwrap_or(u32::MAX),
        Operation::Chat
        | Operation::Completions
        | Operation::Embeddings
        | Operation::Audio
        | Operation::Passthrough
        | Operation::CountTokens
        | Operation::Models => 0,
    }
}

/// The most that a request can cost at any deployment that it may go to.
struct Dearest {
    amount: NanoUsd,
    version: Option<Arc<Version>>,
}

fn dearest(
    pricing: &Pricing,
    call: &Call,
    plan: &Plan<'_>,
    charge: Charge,
    terms: &Terms,
) -> Result<Dearest, GatewayError> {
    let mut dearest = Dearest { amount: NanoUsd::ZERO, version: None };
    for deployment in plan.considered() {
        let Ok(Priced::At(version)) = pricing.decide(&deployment.prices, charge.at, charge.limited) else { continue };
        let bound = version.price.bound(&most(pricing, call, deployment, terms)).ok_or_else(GatewayError::unpriced)?;
        if dearest.version.is_none() || bound > dearest.amount {
            dearest = Dearest { amount: bound, version: Some(version) };
        }
    }
    Ok(dearest)
}

/// The most that a request can use at a deployment.
fn most(pricing: &Pricing, call: &Call, deployment: &Deployment, terms: &Terms) -> pricing::Ask {
    let capabilities = &deployment.capabilities;
    let body: &[u8] = call.body().map_or(&[], |body| body);
    let cap = match call.operation {
        Operation::Chat | Operation::Completions => {
            pricing.output_cap(call.peek.max_output_tokens, capabilities.max_output, Pricing::USUAL_OUTPUT)
        }
        Operation::Audio | Operation::Images | Operation::Passthrough => Pricing::USUAL_OUTPUT,
        Operation::Embeddings | Operation::CountTokens | Operation::Models => 0,
    };
    let mut ask = pricing::Ask::of(&call.peek, body, capabilities.context, cap);
    if call.body().is_none() {
        // An upload is read while it is sent.
        ask.input = capabilities.context.or_else(|| call.length()).unwrap_or(u64::from(u32::MAX));
    }
    // The answer may tell of sound that the request does not.
    ask.audio |= call.operation == Operation::Audio;
    pricing::Ask { factor: terms.factor, images: terms.images, calls: terms.calls, ..ask }
}

fn refusal(request_id: &str, refused: Refused) -> NoFunds {
    match refused {
        Refused::Short(short) => NoFunds::Short(Box::new(short)),
        Refused::Frozen(_) | Refused::Unavailable(_) => {
            tracing::error!(request.id = request_id, error = %refused, "no money can be held");
            NoFunds::Refused(GatewayError::database_away())
        }
    }
}

/// What a caller is told whose purse has not enough.
pub fn refusal_of(short: &Short) -> GatewayError {
    GatewayError::budget_exceeded(words(short))
}

fn words(short: &Short) -> String {
    let whose = match short.purse.id() {
        PurseId::Credit(_) => "prepaid credit",
        PurseId::Budget(_) => match short.purse.definition().as_ref().map(|budget| &budget.scope) {
            Some(Scope::Key(_)) => "budget of this API key",
            Some(Scope::User(_)) => "budget of this user",
            Some(Scope::Team(_)) => "budget of this team",
            Some(Scope::Group(_)) => "budget of this model",
            Some(Scope::Global) | None => "budget of this gateway",
        },
    };
    let mut text = format!(
        "You exceeded your current quota: the {whose} has {} USD left, and this request may cost up to {} USD.",
        short.left, short.needed
    );
    match (short.ends, short.purse.id()) {
        (Some(ends), _) => {
            text.push_str(&format!(" It starts anew at {}.", rfc_3339(u64::try_from(ends).unwrap_or_default())));
        }
        (None, PurseId::Credit(_)) => text.push_str(" Top it up, or ask for a smaller `max_tokens`."),
        (None, PurseId::Budget(_)) => text.push_str(" Have it raised, or ask for a smaller `max_tokens`."),
    }
    text
}

impl Funds {
    /// A deployment is asked, or answers: from now on its price counts.
    pub fn at(&mut self, deployment: &Deployment) {
        self.version = match self.pricing.decide(&deployment.prices, self.charge.at, self.charge.limited) {
            Ok(Priced::At(version)) => Some(version),
            Ok(Priced::Unpriced) | Err(_) => None,
        };
        self.deployment = Some(Arc::clone(&deployment.label));
        if let Some(held) = &mut self.held {
            held.priced(self.version.as_ref().map_or_else(|| "".into(), |version| Arc::clone(&version.id)));
        }
    }

    /// Waits until the hold is as durable as the journal promises: the first byte may go to the caller.
    pub async fn durable(&mut self) -> Result<(), GatewayError> {
        match &mut self.held {
            Some(held) => held.durable().await.map_err(|error| GatewayError::database_away().caused_by(error)),
            None => Ok(()),
        }
    }

    /// Is the journal to be told how much was delivered?
    pub fn is_due(&self, output_bytes: u64) -> bool {
        self.told.is_none_or(|(bytes, at)| output_bytes >= bytes + CHECKPOINT_BYTES || at.elapsed() >= CHECKPOINT_EVERY)
    }

    /// Tells the journal how much was delivered, so that a crash is charged for it and not for more.
    pub fn checkpoint(&mut self, usage: &Usage, output_bytes: u64, at: i64) {
        self.told = Some((output_bytes, Instant::now()));
        let cost = self.cost(usage, self.terms).map_or(NanoUsd::ZERO, |cost| cost.total);
        if let Some(held) = &mut self.held {
            held.checkpoint(Progress {
                at,
                usage: counts(usage, &self.terms),
                cost,
                deployment: self.deployment.clone(),
            });
        }
    }

    /// Ends the request. Nothing may be in full at the caller before what comes back is done.
    pub fn settle(
        &mut self,
        outcome: Outcome,
        usage: &Usage,
        delivered: bool,
        at: i64,
    ) -> (Option<Cost>, Option<Written>) {
        let terms = match outcome {
            _ if !delivered => Terms { calls: 0, images: 0, ..self.terms },
            // Pictures that broke off are none.
            Outcome::Broken | Outcome::Failed => Terms { images: 0, ..self.terms },
            Outcome::Complete | Outcome::Abandoned => self.terms,
        };
        let cost = self.cost(usage, terms);
        let Some(held) = self.held.take() else { return (cost, None) };
        let end = Settlement {
            at,
            usage: counts(usage, &terms),
            // Nobody can owe what cannot be counted: then all that was held.
            cost: match (&cost, &self.version) {
                (Some(cost), _) => cost.total,
                (None, Some(_)) => held.amount(),
                (None, None) => NanoUsd::ZERO,
            },
            outcome: outcome.name().into(),
            deployment: self.deployment.clone(),
        };
        let (_, ticket) = held.settle(end);
        (cost, Written::of(ticket))
    }

    fn cost(&self, usage: &Usage, terms: Terms) -> Option<Cost> {
        self.version.as_ref()?.cost(usage, terms)
    }
}

fn counts(usage: &Usage, terms: &Terms) -> Counts {
    recorded::counts(usage, terms).into_iter().map(|(word, count)| (Cow::Borrowed(word), count)).collect()
}
