//! The steps from an empty database to today's tables, in order. A step that has been released is never changed; another
//! one is added. Decides nothing; how they are taken is in [`crate::migrate`].

/// One step, in the words of each database.
pub(crate) struct Migration {
    pub(crate) number: i64,
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $file, ".sql")),
        }
    };
}

pub(crate) const ALL: &[Migration] = &[
    migration!(1, "base", "0001_base"),
    migration!(2, "ledger", "0002_ledger"),
    migration!(3, "people", "0003_people"),
    migration!(4, "keys", "0004_keys"),
    migration!(5, "logbook", "0005_logbook"),
    migration!(6, "catalog", "0006_catalog"),
    migration!(7, "security", "0007_security"),
    migration!(8, "captures", "0008_captures"),
    migration!(9, "alerts", "0009_alerts"),
    migration!(10, "purses", "0010_purses"),
    migration!(11, "budget makers", "0011_budget_makers"),
];
