//! Invites: secrets that let somebody in once, as a new user or with a new password. Kept as hashes. Decides that each is used
//! once and in time. Tests: `tests/it/people.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::role::Role;

use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError};

/// An invite, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// `inv_…`
    pub id: String,
    pub created_at: i64,
    pub expires_at: i64,
    /// The actor who made it.
    pub made_by: String,
    /// Whose password it resets; absent if it makes a new user.
    pub user: Option<String>,
    /// Only this address may use it.
    pub email: Option<String>,
    pub role: Role,
    pub team: Option<String>,
    pub plan: Option<String>,
    pub used_at: Option<i64>,
    /// Whoever it let in.
    pub used_by: Option<String>,
}

const SELECT: &str =
    "select id, created_at, expires_at, made_by, user_id, email, role, team, plan, used_at, used_by from invites";

/// Adds an invite whose secret has this hash ([`crate::digest::of`]).
pub async fn create(tx: &mut Transaction<'static, Any>, invite: &Invite, secret_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "insert into invites (id, created_at, expires_at, secret_hash, made_by, user_id, email, role, team, plan)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(invite.id.clone())
    .bind(invite.created_at)
    .bind(invite.expires_at)
    .bind(secret_hash.to_owned())
    .bind(invite.made_by.clone())
    .bind(invite.user.clone())
    .bind(invite.email.clone())
    .bind(invite.role.name())
    .bind(invite.team.clone())
    .bind(invite.plan.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The invite of that secret, if it can be used now.
pub async fn usable(store: &Store, secret_hash: &str, now: i64) -> Result<Option<Invite>, StoreError> {
    let listing = Listing::of(SELECT).only("secret_hash = $", secret_hash).only("expires_at > $", now);
    Ok(listing.rows(store, read).await?.into_iter().find(|invite| invite.used_at.is_none()))
}

/// Uses an invite up; [`StoreError::NotFound`] if somebody was faster, or if it is past its time.
pub async fn redeem(tx: &mut Transaction<'static, Any>, id: &str, by: &str, now: i64) -> Result<(), StoreError> {
    let written = sqlx::query(
        "update invites set used_at = $1, used_by = $2 where id = $3 and used_at is null and expires_at > $4",
    )
    .bind(now)
    .bind(by.to_owned())
    .bind(id.to_owned())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Takes an invite back, before it is used.
pub async fn withdraw(tx: &mut Transaction<'static, Any>, scope: &Scope, id: &str) -> Result<Invite, StoreError> {
    let row = sqlx::query(
        "delete from invites where id = $1 and used_at is null
         returning id, created_at, expires_at, made_by, user_id, email, role, team, plan, used_at, used_by",
    )
    .bind(id.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    let invite = read(&row)?;
    // Whoever rolls back on this error has taken nothing.
    if scope.holds(Some(&invite.made_by), invite.team.as_deref()) { Ok(invite) } else { Err(StoreError::NotFound) }
}

/// Takes back the resets of somebody's password that were not used.
pub(crate) async fn forget_resets_of(tx: &mut Transaction<'static, Any>, user: &str) -> Result<(), StoreError> {
    let sql = "delete from invites where user_id = $1 and used_at is null";
    sqlx::query(sql).bind(user.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Takes back what somebody made and nobody used: invites, and resets for others.
pub(crate) async fn forget_made_by(tx: &mut Transaction<'static, Any>, maker: &str) -> Result<(), StoreError> {
    let sql = "delete from invites where made_by = $1 and used_at is null";
    sqlx::query(sql).bind(maker.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// A page of invites within the scope, the newest first.
pub async fn page(
    store: &Store,
    scope: &Scope,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<Invite>, StoreError> {
    let listing = Listing::of(SELECT).within(scope, "team = $", "made_by = $");
    listing.page(store, after, limit, read, |invite| Cursor { at: invite.created_at, id: invite.id.clone() }).await
}

fn read(row: &AnyRow) -> Result<Invite, StoreError> {
    let (id, role): (String, String) = (row.try_get(0)?, row.try_get(6)?);
    let role = Role::from_name(&role)
        .ok_or_else(|| StoreError::Corrupt(format!("invites.role of {id}: `{role}` is no role; correct the row")))?;
    Ok(Invite {
        id,
        created_at: row.try_get(1)?,
        expires_at: row.try_get(2)?,
        made_by: row.try_get(3)?,
        user: row.try_get(4)?,
        email: row.try_get(5)?,
        role,
        team: row.try_get(7)?,
        plan: row.try_get(8)?,
        used_at: row.try_get(9)?,
        used_by: row.try_get(10)?,
    })
}
