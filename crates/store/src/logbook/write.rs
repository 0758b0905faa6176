//! Writing calls down: many rows in a transaction, with the sums they change. Tests: `it/logbook.rs`.

use super::row::{COLUMNS, LogRow, WIDTH, bind};
use super::{Logbook, sums};
use crate::StoreError;
use crate::rows::insert_all;

impl Logbook<'_> {
    /// Writes these calls and adds them to the sums: all of it, or nothing.
    pub async fn write(&self, rows: &[LogRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.store.begin().await?;
        let before = format!("insert into request_log ({COLUMNS}) values");
        insert_all(&mut transaction, (&before, ""), WIDTH, rows, bind).await?;
        sums::add(&mut transaction, rows).await?;
        transaction.commit().await?;
        Ok(())
    }
}
