//! Many rows in one statement. Knows no table. Tests are below; its users' are on both databases.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::AnyConnection;

use crate::Kind;

pub(crate) type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// How many rows a statement has; the largest stays below the number of values that either database takes.
const SIZES: [usize; 4] = [128, 32, 8, 1];

/// Writes rows, each of so many values, between the beginning of a statement and its end.
pub(crate) async fn insert_all<T>(
    connection: &mut AnyConnection,
    (before, after): (&str, &str),
    width: usize,
    rows: &[T],
    bind: impl Fn(Query, &T) -> Query,
) -> Result<(), sqlx::Error> {
    for rows in portions(rows) {
        let places = places(connection, rows.len(), width);
        let sql: Arc<str> = format!("{before} {places} {after}").into();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        rows.iter().fold(query, &bind).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The rows in pieces of a few sizes, so that each statement is prepared once.
pub(crate) fn portions<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (now, later) = rest.split_at(size);
        rest = later;
        Some(now)
    })
}

/// `($1, $2), ($3, $4)`: places for the values of so many rows. For SQLite they are `(?, ?), (?, ?)`: it takes `$1` for a name
/// and looks through all of them for each, which costs more than the rows when there are thousands.
pub(crate) fn places(connection: &AnyConnection, rows: usize, width: usize) -> String {
    text_of_places(database(connection) == Kind::Postgres, rows, width)
}

/// Which of the two it is.
pub(crate) fn database(connection: &AnyConnection) -> Kind {
    if connection.backend_name() == "PostgreSQL" { Kind::Postgres } else { Kind::Sqlite }
}

fn text_of_places(numbered: bool, rows: usize, width: usize) -> String {
    if !numbered {
        let row = format!("({})", vec!["?"; width].join(", "));
        return vec![row.as_str(); rows].join(", ");
    }
    let mut text = String::with_capacity(rows * (width * 7 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for place in 1..=width {
            text.push_str(if place == 1 { "" } else { ", " });
            // Writing to a string does not fail.
            let _ = write!(text, "${}", row * width + place);
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_each_database_wants_them() {
        assert_eq!(text_of_places(true, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(text_of_places(false, 2, 2), "(?, ?), (?, ?)");
    }

    #[test]
    fn pieces_are_all_of_the_rows_in_few_sizes() {
        for count in [0, 1, 7, 8, 127, 128, 300] {
            let rows: Vec<usize> = (0..count).collect();
            let pieces: Vec<&[usize]> = portions(&rows).collect();
            assert_eq!(pieces.concat(), rows);
            assert!(pieces.iter().all(|piece| SIZES.contains(&piece.len())));
        }
    }
}
