//! Small things that are kept by name. Decides that what is there stays unless it is taken out by whoever knows its value.
//! Tests: `tests/it/people.rs`.

use sqlx::{Any, Row as _, Transaction};

use crate::{Store, StoreError};

/// Puts a value there if there is none of that name; tells whether it did.
pub async fn put(tx: &mut Transaction<'static, Any>, name: &str, value: &str, now: i64) -> Result<bool, StoreError> {
    let put =
        sqlx::query("insert into meta (name, value, changed_at) values ($1, $2, $3) on conflict (name) do nothing")
            .bind(name.to_owned())
            .bind(value.to_owned())
            .bind(now)
            .execute(&mut **tx)
            .await?;
    Ok(put.rows_affected() == 1)
}

/// Puts a value there if there is none of that name; gives the one that is there now. Of several who do it at the same
/// time, all are given the same.
pub async fn kept_or(store: &Store, name: &str, value: &str, now: i64) -> Result<String, StoreError> {
    let mut tx = store.begin().await?;
    put(&mut tx, name, value, now).await?;
    let row = sqlx::query("select value from meta where name = $1").bind(name.to_owned()).fetch_one(&mut *tx).await?;
    let kept = row.try_get(0)?;
    tx.commit().await?;
    Ok(kept)
}

/// The value of that name.
pub async fn get(store: &Store, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("select value from meta where name = $1")
        .bind(name.to_owned())
        .fetch_optional(store.reader())
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Takes a value out, if it is this one; of several who try, one does.
pub async fn take(tx: &mut Transaction<'static, Any>, name: &str, value: &str) -> Result<bool, StoreError> {
    let taken = sqlx::query("delete from meta where name = $1 and value = $2")
        .bind(name.to_owned())
        .bind(value.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Takes out whatever is there of that name.
pub async fn remove(tx: &mut Transaction<'static, Any>, name: &str) -> Result<(), StoreError> {
    sqlx::query("delete from meta where name = $1").bind(name.to_owned()).execute(&mut **tx).await?;
    Ok(())
}
