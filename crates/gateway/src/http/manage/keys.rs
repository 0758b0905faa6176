//! Virtual keys over HTTP: made, listed, changed, rotated and revoked. A key's text is in one answer and nowhere else. What is
//! written is in effect before the answer is sent. Tests: `it/manage/keys.rs`.

mod own;
pub(super) mod view;

use serde_json::json;
use waypost_core::access::fingerprint;
use waypost_core::role::Action;
use waypost_core::secret::Secret;
use waypost_core::{GatewayError, key_text};
use waypost_store::Tx;
use waypost_store::keys::{self, Filter, Key, New, Owner};
use waypost_store::page::Scope;

use self::view::{KeyChange, KeyMade, KeyView, NewKey, Rotation, TeamKeyChange, TeamNewKey, Wanted};
use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};

pub(super) use own::ROUTES as OWN;

const READ: Needs = Needs::May(Action::ReadKeys);
/// A user, and a team for itself, may have made so many keys that are not revoked.
const MOST_OF_USER: i64 = 200;
const MOST_OF_TEAM: i64 = 2000;

const WRITE: Needs = Needs::May(Action::WriteKeys);

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/keys"), "key.list", "keys, the newest first", READ, Kind::List, |ask| {
        Box::pin(list(ask))
    })
    .giving(shape::<Page<KeyView>>)
    .asking(&[
        ("user", "only those of this user"),
        ("team", "only those of this team"),
        ("plan", "only those with this plan of their own"),
        ("revoked", "`true` shows those that were revoked, too"),
    ]),
    Route::new(
        ("POST", "/admin/keys"),
        "key.create",
        "make a key; its text is in this answer and never again",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<NewKey>)
    .taking_of_teams(shape::<TeamNewKey>)
    .giving(shape::<KeyMade>),
    Route::new(("GET", "/admin/keys/{id}"), "key.get", "one key", READ, Kind::Show, |ask| Box::pin(get(ask)))
        .giving(shape::<KeyView>),
    Route::new(
        ("PATCH", "/admin/keys/{id}"),
        "key.change",
        "rename a key, or change what it may; what is left out stays",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<KeyChange>)
    .taking_of_teams(shape::<TeamKeyChange>)
    .giving(shape::<KeyView>),
    Route::new(
        ("POST", "/admin/keys/{id}/rotate"),
        "key.rotate",
        "give a key another text; the old one works for a while",
        WRITE,
        Kind::Change,
        |ask| Box::pin(rotate(ask)),
    )
    .taking(shape::<Rotation>)
    .giving(shape::<KeyMade>),
    Route::new(
        ("DELETE", "/admin/keys/{id}"),
        "key.revoke",
        "end a key at once and for good",
        WRITE,
        Kind::End,
        |ask| Box::pin(revoke(ask)),
    )
    .giving(shape::<KeyView>),
];

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let filter = Filter {
        user: ask.query.get("user"),
        team: ask.query.get("team"),
        plan: ask.query.get("plan"),
        revoked: ask.query.get("revoked") == Some("true"),
    };
    let after = ask.after()?;
    let page = keys::page(ask.store()?, &ask.scope()?, &filter, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, KeyView::of))
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let key = find(&ask).await?;
    let version = key.version;
    Answer::of_version(&KeyView::of(key), version)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    // Whoever sees less than all says less: no plan, and no owner but one of their own.
    let wanted = match ask.scope()? {
        Scope::All => ask.input::<NewKey>()?.wanted(),
        Scope::Team(team) => ask.input::<TeamNewKey>()?.wanted(&team),
        Scope::Own(user) => ask.input::<view::OwnNewKey>()?.wanted(&user, ask.actor.team.as_deref()),
    };
    make(&ask, wanted).await
}

/// Makes a key as it is wanted, and shows its text.
async fn make(ask: &Ask<'_>, mut wanted: Wanted) -> Result<Answer, GatewayError> {
    wanted.check()?;
    view::settle_owner(ask, &mut wanted.owner).await?;
    view::check_plan(ask, wanted.plan.as_deref()).await?;
    let (secret, hash, hint) = new_text(ask)?;
    let new = New {
        id: ask.new_id("key")?,
        name: wanted.name,
        owner: wanted.owner,
        plan: wanted.plan,
        scopes: wanted.scopes,
        limits: wanted.limits,
        enabled: wanted.enabled,
        expires_at: wanted.expires_at,
        origin: "api".to_owned(),
        created_by: ask.actor.id.to_string(),
        hashes: vec![hash],
        hint,
    };
    let mut tx = ask.begin().await?;
    check_room(ask, &mut tx, &new.owner).await?;
    let key = keys::create(&mut tx, &new, ask.now()).await.map_err(|error| ask.fault(error))?;
    let view = KeyView::of(key.clone());
    ask.commit(tx, &key.id, key.owner.team.as_deref(), &json!({ "key": view })).await?;
    ask.take_effect("key", &key.id).await?;
    Answer::made(&KeyMade { key: secret.expose().to_owned(), view }, key.version)
}

/// Every node keeps every key in memory: those who answer for themselves, or for a team, cannot fill it.
async fn check_room(ask: &Ask<'_>, tx: &mut Tx, owner: &Owner) -> Result<(), GatewayError> {
    let most = match ask.scope()? {
        Scope::All => return Ok(()),
        Scope::Team(_) if owner.user.is_none() => MOST_OF_TEAM,
        Scope::Team(_) | Scope::Own(_) => MOST_OF_USER,
    };
    if keys::count(tx, owner).await.map_err(|error| ask.fault(error))? < most {
        return Ok(());
    }
    let message = format!("There are {most} keys already; revoke those that nobody uses any more.");
    Err(GatewayError::conflict(message, None))
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let old = find(&ask).await?;
    ask.check_version(old.version)?;
    let wanted = match ask.scope()? {
        Scope::All => ask.input::<KeyChange>()?.applied(&old),
        Scope::Team(_) => ask.input::<TeamKeyChange>()?.applied(&old),
        Scope::Own(_) => ask.input::<view::OwnKeyChange>()?.applied(&old),
    };
    alter(&ask, &old, wanted).await
}

/// Changes a key to what is wanted.
async fn alter(ask: &Ask<'_>, old: &Key, mut wanted: Wanted) -> Result<Answer, GatewayError> {
    wanted.check()?;
    view::check_maker(ask, old, &wanted).await?;
    if wanted.owner != old.owner {
        view::settle_owner(ask, &mut wanted.owner).await?;
    }
    if wanted.plan != old.plan {
        view::check_plan(ask, wanted.plan.as_deref()).await?;
    }
    let wanted = wanted.of(old);
    let mut tx = ask.begin().await?;
    if wanted.owner != old.owner {
        check_room(ask, &mut tx, &wanted.owner).await?;
    }
    let key = keys::change(&mut tx, &ask.scope()?, &wanted).await.map_err(|error| ask.fault(error))?;
    let (before, after) = (KeyView::of(old.clone()), KeyView::of(key.clone()));
    ask.commit(tx, &key.id, key.owner.team.as_deref(), &json!({ "before": before, "after": after })).await?;
    ask.take_effect("key", &key.id).await?;
    Answer::of_version(&after, key.version)
}

async fn rotate(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let overlap = ask.input::<Rotation>()?.overlap()?;
    let (secret, hash, hint) = new_text(&ask)?;
    let (now, scope) = (ask.now(), ask.scope()?);
    let valid_until = now.saturating_add(overlap);
    let mut tx = ask.begin().await?;
    let key = keys::rotate(&mut tx, &scope, (ask.id(), ask.expected()?), (&hash, &hint), (now, valid_until)).await;
    let key = key.map_err(|error| ask.fault(error))?;
    let detail = json!({ "old_valid_until": valid_until, "hint": key.hint });
    ask.commit(tx, &key.id, key.owner.team.as_deref(), &detail).await?;
    ask.take_effect("key", &key.id).await?;
    let version = key.version;
    Answer::of_version(&KeyMade { key: secret.expose().to_owned(), view: KeyView::of(key) }, version)
}

async fn revoke(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let scope = ask.scope()?;
    let mut tx = ask.begin().await?;
    let key = keys::revoke(&mut tx, &scope, (ask.id(), ask.expected_if_said()?), ask.now()).await;
    let key = key.map_err(|error| ask.fault(error))?;
    ask.commit(tx, &key.id, key.owner.team.as_deref(), &json!({ "name": key.name, "hint": key.hint })).await?;
    ask.take_effect("key", &key.id).await?;
    let version = key.version;
    Answer::of_version(&KeyView::of(key), version)
}

/// The key that the path names, within reach.
async fn find(ask: &Ask<'_>) -> Result<Key, GatewayError> {
    keys::get(ask.store()?, &ask.scope()?, ask.id()).await.map_err(|error| ask.fault(error))
}

fn new_text(ask: &Ask<'_>) -> Result<(Secret, [u8; 32], String), GatewayError> {
    let secret = key_text::write(ask.random()?);
    let (hash, hint) = (fingerprint(secret.expose()), key_text::hint(secret.expose()));
    Ok((secret, hash, hint))
}
