//! Who a user is at a provider of identities (OIDC). Decides that one of theirs is one of ours until somebody ends
//! that.
//! Tests: `tests/it/people.rs`.

use sqlx::{Any, Row as _, Transaction};

use crate::StoreError;

/// Links somebody of a provider to a user; [`StoreError::Taken`] if they are linked already.
pub async fn link(
    tx: &mut Transaction<'static, Any>,
    issuer: &str,
    subject: &str,
    user: &str,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query("insert into identities (issuer, subject, user_id, created_at) values ($1, $2, $3, $4)")
        .bind(issuer.to_owned())
        .bind(subject.to_owned())
        .bind(user.to_owned())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets who a user is at every provider: gives issuers and subjects. [`crate::users::end_sessions_of`] comes before, so that nobody
/// links them meanwhile.
pub async fn unlink(tx: &mut Transaction<'static, Any>, user: &str) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sqlx::query("delete from identities where user_id = $1 returning issuer, subject")
        .bind(user.to_owned())
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Is a user linked to anybody of a provider? Within a transaction that has written the user's row, nobody links them meanwhile.
pub async fn is_linked(tx: &mut Transaction<'static, Any>, issuer: &str, user: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("select subject from identities where issuer = $1 and user_id = $2 limit 1")
        .bind(issuer.to_owned())
        .bind(user.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}
