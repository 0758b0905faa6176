//! Forgetting old calls, a bounded number at a time, so that nobody waits long for the database. Sums stay.
//! Tests: `it/logbook.rs`.

use super::Logbook;
use crate::StoreError;

impl Logbook<'_> {
    /// Removes up to `most` of the calls that began before `before` (milliseconds since 1970), oldest first; tells how many.
    pub async fn prune(&self, before: i64, most: i64) -> Result<u64, StoreError> {
        let sql = "delete from request_log where seq in \
                   (select seq from request_log where at < $1 order by at, seq limit $2)";
        let mut transaction = self.store.begin().await?;
        let removed = sqlx::query(sql).bind(before).bind(most).execute(&mut *transaction).await?.rows_affected();
        transaction.commit().await?;
        Ok(removed)
    }
}
