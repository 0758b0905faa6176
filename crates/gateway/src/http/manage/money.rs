//! Credit and vouchers over HTTP: given, taken and redeemed. Amounts are decimal USD in strings. Every one is an entry of the
//! ledger, and nothing is taken that is not there. Tests: `it/manage/money.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;
use waypost_core::role::Action;
use waypost_store::StoreError;
use waypost_store::digest;
use waypost_store::ledger::Kind as Entry;
use waypost_store::ledger::grants::{Balance, Grant};
use waypost_store::ledger::history::Event;
use waypost_store::ledger::vouchers::{self, Redemption, Voucher};
use waypost_store::money::{Money, MoneyError};
use waypost_store::page::{BadCursor, Scope};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::keys::view::check_name;
use super::route::{Kind, Needs, Route, shape};

const WRITE: Needs = Needs::May(Action::WriteMoney);

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/credits/{account}"),
        "credit.get",
        "what an account (`user:<id>`, `team:<id>` or `key:<id>`) was given and has spent",
        Needs::May(Action::ReadMoney),
        Kind::Show,
        |ask| Box::pin(get(ask)),
    )
    .giving(shape::<BalanceView>),
    Route::new(
        ("GET", "/admin/credits/{account}/history"),
        "credit.history",
        "what happened to an account, the newest first",
        Needs::May(Action::ReadMoney),
        Kind::List,
        |ask| Box::pin(history(ask)),
    )
    .giving(shape::<Page<EventView>>),
    Route::new(
        ("POST", "/admin/credits/{account}/top-up"),
        "credit.top_up",
        "give an account credit; from then on it spends what it is given and no more",
        WRITE,
        Kind::Make,
        |ask| Box::pin(grant(ask, Entry::TopUp)),
    )
    .taking(shape::<Amount>)
    .giving(shape::<BalanceView>),
    Route::new(
        ("POST", "/admin/credits/{account}/adjust"),
        "credit.adjust",
        "correct an account's credit; a negative amount takes what is neither spent nor held",
        WRITE,
        Kind::Make,
        |ask| Box::pin(grant(ask, Entry::Adjustment)),
    )
    .taking(shape::<Amount>)
    .giving(shape::<BalanceView>),
    Route::new(("GET", "/admin/vouchers"), "voucher.list", "vouchers without their codes", WRITE, Kind::List, |ask| {
        Box::pin(list_vouchers(ask))
    })
    .giving(shape::<Page<VoucherView>>),
    Route::new(
        ("POST", "/admin/vouchers"),
        "voucher.create",
        "make up to 100 vouchers; their codes are in this answer and never again",
        WRITE,
        Kind::Make,
        |ask| Box::pin(make_vouchers(ask)),
    )
    .taking(shape::<NewVouchers>)
    .giving(shape::<VouchersMade>),
    Route::new(
        ("DELETE", "/admin/vouchers/{id}"),
        "voucher.revoke",
        "end a voucher that was not redeemed",
        WRITE,
        Kind::End,
        |ask| Box::pin(revoke_voucher(ask)),
    ),
    Route::new(
        ("POST", "/auth/vouchers/redeem"),
        "voucher.redeem",
        "turn a voucher's code into credit of your own",
        Needs::User(Action::RedeemVouchers),
        Kind::Act,
        |ask| Box::pin(redeem(ask)),
    )
    .taking(shape::<Code>)
    .giving(shape::<Redeemed>),
];

/// How many vouchers are made at once.
const MOST_VOUCHERS: i64 = 100;

/// An account's sums, as far as they are in the database.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Credit")]
pub(super) struct BalanceView {
    account: String,
    /// It spends what it was given and no more.
    prepaid: bool,
    granted: String,
    spent: String,
    /// What was given less what was spent.
    left: String,
    /// Its books do not add up; nobody spends from it until somebody has looked.
    read_only: bool,
}

/// Something that happened to an account, as far as it is in the database.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CreditEvent")]
pub(super) struct EventView {
    at: i64,
    /// `charge`, `top_up`, `adjustment`, `voucher`, `reversal` or `correction`.
    kind: String,
    /// What the account got; negative if it was spent or taken.
    amount: String,
    /// The id of the request, or of what was given.
    request: String,
    /// Who gave or took it.
    actor: Option<String>,
    reason: Option<String>,
    key: Option<String>,
    model: Option<String>,
}

/// An amount, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Amount {
    /// USD, such as "12.5".
    amount: String,
    /// For the ledger.
    reason: String,
    /// Names this gift for ever: a second one of the same name is refused, so that it can be tried again safely.
    reference: Option<String>,
}

/// A voucher, without its code.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Voucher")]
pub(super) struct VoucherView {
    id: String,
    label: String,
    amount: String,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    redeemed_at: Option<i64>,
    redeemed_by: Option<String>,
}

/// Vouchers to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewVouchers {
    label: String,
    /// USD for each.
    amount: String,
    /// 1 to 100; 1 if nothing is said.
    count: Option<i64>,
    expires_at: Option<i64>,
}

/// Vouchers with their codes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VouchersMade {
    data: Vec<VoucherMade>,
}

/// A voucher with its code, which is shown once.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VoucherMade {
    id: String,
    code: String,
}

/// A voucher's code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

/// What a voucher was worth.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Redeemed {
    amount: String,
}

impl BalanceView {
    fn of(balance: &Balance) -> Self {
        let left = balance.granted.get().saturating_sub(balance.spent.get());
        Self {
            account: balance.account.clone(),
            prepaid: balance.prepaid,
            granted: balance.granted.to_string(),
            spent: balance.spent.to_string(),
            left: NanoUsd(left).to_string(),
            read_only: balance.read_only,
        }
    }
}

impl EventView {
    fn of(event: Event) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            at: event.at,
            kind: event.kind.name().to_owned(),
            amount: event.amount.to_string(),
            request: event.request,
            actor: said(event.actor),
            reason: said(event.reason),
            key: said(event.key),
            model: said(event.model),
        }
    }
}

impl VoucherView {
    fn of(voucher: &Voucher) -> Self {
        let time = |at: i64| (at != 0).then_some(at);
        Self {
            id: voucher.id.clone(),
            label: voucher.label.clone(),
            amount: voucher.amount.to_string(),
            created_at: voucher.created_at,
            created_by: voucher.created_by.clone(),
            expires_at: time(voucher.expires_at),
            revoked_at: time(voucher.revoked_at),
            redeemed_at: time(voucher.redeemed_at),
            redeemed_by: (voucher.redeemed_at != 0).then(|| voucher.redeemed_by.clone()),
        }
    }
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let account = account(&ask)?;
    check_reach(&ask, &account)?;
    let balance = ask.store()?.balance(&account).await.map_err(|error| ask.fault(error))?;
    let balance = balance.ok_or_else(|| GatewayError::no_such(ask.id()))?;
    Answer::shown(&BalanceView::of(&balance))
}

async fn history(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let account = account(&ask)?;
    check_reach(&ask, &account)?;
    let after = ask.query.get("after").map(str::parse).transpose().map_err(|BadCursor| {
        GatewayError::invalid_request("`after` is no place in this list; use `next` of an answer.", Some("after"))
    })?;
    let page = ask.store()?.history(&account, after.as_ref(), ask.limit()?).await;
    let (events, next) = page.map_err(|error| ask.fault(error))?;
    let data = events.into_iter().map(EventView::of).collect();
    Answer::shown(&Page { data, next: next.map(|next| next.to_string()) })
}

async fn grant(ask: Ask<'_>, kind: Entry) -> Result<Answer, GatewayError> {
    let input = ask.input::<Amount>()?;
    let amount = amount(&input.amount)?;
    check_name("reason", &input.reason)?;
    if amount.get() == 0 || (kind == Entry::TopUp && amount.get() < 0) {
        return Err(GatewayError::invalid_request("`amount` is more than nothing.", Some("amount")));
    }
    let account = account(&ask)?;
    let id = match input.reference {
        Some(reference) => {
            check_name("reference", &reference)?;
            format!("grant:{reference}")
        }
        None => ask.new_id("grant")?,
    };
    let (actor, reason, at) = (&*ask.actor.id, input.reason.as_str(), ask.now());
    let detail = json!({ "amount": amount.to_string(), "reason": reason, "entry": id });
    let grant = Grant { id: &id, account: &account, amount, kind, actor, reason, at };
    let given = money(&ask)?.grant(grant, Some(ask.entry(account.as_str(), None, &detail))).await;
    let view = BalanceView::of(&given.map_err(|error| fault(&ask, error))?);
    Ok(Answer { status: http::StatusCode::CREATED, ..Answer::shown(&view)? })
}

async fn list_vouchers(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (after, limit) = (ask.after()?, ask.limit()? as usize);
    // Greater than every id: these are ASCII.
    let before = after.as_ref().map_or((i64::MAX, "~"), |place| (place.at, place.id.as_str()));
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = ask.store()?.vouchers(before, most).await.map_err(|error| ask.fault(error))?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| format!("{}_{}", last.created_at, last.id));
    Answer::shown(&Page { data: rows.iter().map(VoucherView::of).collect(), next })
}

async fn make_vouchers(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<NewVouchers>()?;
    check_name("label", &input.label)?;
    let (amount, count) = (amount(&input.amount)?, input.count.unwrap_or(1));
    if amount.get() <= 0 {
        return Err(GatewayError::invalid_request("`amount` is more than nothing.", Some("amount")));
    }
    if !(1..=MOST_VOUCHERS).contains(&count) {
        let message = format!("`count` is a number from 1 to {MOST_VOUCHERS}.");
        return Err(GatewayError::invalid_request(message, Some("count")));
    }
    let mut tx = ask.begin().await?;
    let mut made = Vec::new();
    for _ in 0..count {
        let voucher = Voucher {
            id: ask.new_id("vch")?,
            label: input.label.clone(),
            amount,
            created_at: ask.now(),
            created_by: ask.actor.id.to_string(),
            expires_at: input.expires_at.unwrap_or(0),
            revoked_at: 0,
            redeemed_at: 0,
            redeemed_by: String::new(),
        };
        let code = code(&ask)?;
        vouchers::add(&mut tx, &voucher, &code).await.map_err(|error| ask.fault(error))?;
        made.push(VoucherMade { id: voucher.id, code });
    }
    let ids: Vec<&str> = made.iter().map(|voucher| voucher.id.as_str()).collect();
    let detail = json!({ "label": input.label, "amount": amount.to_string(), "vouchers": ids });
    ask.commit(tx, &input.label, None, &detail).await?;
    Ok(Answer { status: http::StatusCode::CREATED, ..Answer::shown(&VouchersMade { data: made })? })
}

async fn revoke_voucher(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let mut tx = ask.begin().await?;
    vouchers::revoke(&mut tx, ask.id(), ask.now()).await.map_err(|error| match error {
        StoreError::Stale => GatewayError::no_such(ask.id()),
        error => ask.fault(error),
    })?;
    ask.commit(tx, ask.id(), None, &json!({})).await?;
    Ok(Answer::done())
}

async fn redeem(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let Code { code } = ask.input()?;
    let account = Account::user(&ask.actor.id);
    let redemption = Redemption { code: &code, account: &account, actor: &ask.actor.id, at: ask.now() };
    let detail = json!({});
    let entry = ask.entry(account.as_str(), ask.actor.team.as_deref(), &detail);
    let amount = money(&ask)?.redeem(redemption, Some(entry)).await.map_err(|error| match error {
        // Nothing is told to whoever guesses.
        MoneyError::Store(StoreError::NotFound) => {
            GatewayError::invalid_request("`code` is no voucher that can be redeemed.", Some("code"))
        }
        error => fault(&ask, error),
    })?;
    Answer::shown(&Redeemed { amount: amount.to_string() })
}

/// The money of this process; where there is none, there is nothing of this.
pub(super) fn money<'a>(ask: &Ask<'a>) -> Result<&'a Money, GatewayError> {
    ask.app.money.as_ref().ok_or_else(|| GatewayError::not_found(ask.uri().path()))
}

pub(super) fn fault(ask: &Ask<'_>, error: MoneyError) -> GatewayError {
    match error {
        MoneyError::Store(error) => ask.fault(error),
        MoneyError::Journal(error) => GatewayError::database_away().caused_by(error),
    }
}

/// The account that the path names: one that pays.
fn account(ask: &Ask<'_>) -> Result<Account, GatewayError> {
    let account = Account::parse(ask.id()).ok().filter(Account::pays);
    account.ok_or_else(|| GatewayError::no_such(ask.id()))
}

/// Whoever sees less than all sees their own account, and their team's.
fn check_reach(ask: &Ask<'_>, account: &Account) -> Result<(), GatewayError> {
    let theirs = match ask.scope()? {
        Scope::All => true,
        Scope::Team(team) => *account == Account::team(&team) || *account == Account::user(&ask.actor.id),
        Scope::Own(user) => *account == Account::user(&user),
    };
    if theirs { Ok(()) } else { Err(GatewayError::no_such(ask.id())) }
}

pub(super) fn amount(text: &str) -> Result<NanoUsd, GatewayError> {
    text.parse()
        .map_err(|_| GatewayError::invalid_request("`amount` is a decimal of USD such as \"12.5\".", Some("amount")))
}

/// 128 random bits in groups that can be read aloud.
fn code(ask: &Ask<'_>) -> Result<String, GatewayError> {
    let digits = digest::hex(&ask.random::<16>()?).to_ascii_uppercase();
    let groups: Vec<&str> = (0..4).filter_map(|at| digits.get(at * 8..at * 8 + 8)).collect();
    Ok(groups.join("-"))
}
