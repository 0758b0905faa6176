//! The rows of an SQL dump: `INSERT` statements of the tables `open_ai_api_key` and `api_caller`, as MySQL, Postgres and SQLite write
//! them. Reads no other SQL: every other statement is passed over. Tests are below.

mod sql;

use serde_json::Map;
use waypost_core::access::fingerprint;
use waypost_core::secret::Secret;
use waypost_store::catalog::{ChannelDraft, ModelDraft};

use self::sql::{Insert, Mistake};
use super::plan::hint;
use super::{ChannelPlan, CredentialPlan, KeyPlan, Plan, check};

/// Accounts at providers.
const ACCOUNTS: &str = "open_ai_api_key";
/// Callers.
const CALLERS: &str = "api_caller";

/// What a table's columns are if neither the statement nor a `CREATE TABLE` says it.
const ACCOUNT_COLUMNS: [&str; 6] = ["id", "title", "base_url", "api_key", "model", "status"];
const CALLER_COLUMNS: [&str; 5] = ["id", "title", "app_id", "app_secret", "valid"];

/// Is this such a dump?
pub(super) fn is_dump(name: &str, text: &str) -> bool {
    let begins =
        |line: &str| line.trim_start().get(..12).is_some_and(|start| start.eq_ignore_ascii_case("insert into "));
    name.to_ascii_lowercase().ends_with(".sql") || text.lines().take(10_000).any(begins)
}

/// What the dump asks for.
pub(super) fn read(text: &str) -> Result<Plan, Mistake> {
    let mut plan = Plan::default();
    for insert in sql::inserts(text)? {
        match insert.table.as_str() {
            ACCOUNTS => insert.rows(&ACCOUNT_COLUMNS).for_each(|row| account(&mut plan, &row)),
            CALLERS => insert.rows(&CALLER_COLUMNS).for_each(|row| caller(&mut plan, &row)),
            other => plan.skip(format!("table {other}"), format!("only {ACCOUNTS} and {CALLERS} are read")),
        }
    }
    plan.skipped.dedup();
    Ok(plan)
}

impl Insert {
    /// Each row as its columns' values; null is none.
    fn rows<'i>(&'i self, usual: &'i [&'i str]) -> impl Iterator<Item = Row<'i>> {
        self.values.iter().map(move |values| {
            let named = |at: usize| self.columns.get(at).map(String::as_str);
            let usual = |at: usize| usual.get(at).copied().filter(|_| self.columns.is_empty());
            let column = |at: usize| named(at).or_else(|| usual(at)).unwrap_or_default();
            Row(values.iter().enumerate().map(|(at, value)| (column(at), value.as_deref())).collect())
        })
    }
}

/// Columns and their values.
struct Row<'r>(Vec<(&'r str, Option<&'r str>)>);

impl<'r> Row<'r> {
    fn get(&self, column: &str) -> Option<&'r str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(column));
        found.and_then(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    fn name(&self) -> String {
        let id = self.get("id").map(|id| format!("#{id}"));
        self.get("title").map(str::to_owned).or(id).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// Is it valid? Whoever says nothing means yes.
    fn is_on(&self, column: &str) -> bool {
        self.get(column).is_none_or(|value| !matches!(value, "0" | "false" | "FALSE" | "f" | "b'0'"))
    }
}

fn account(plan: &mut Plan, row: &Row<'_>) {
    let name = free_name(row, |name| plan.channels.iter().any(|known| known.draft.name == name));
    let Some(key) = row.get("api_key") else {
        return plan.skip(format!("channel {name}"), "it has no `api_key`");
    };
    let model = |name: &str| ModelDraft { name: name.trim().to_owned(), ..ModelDraft::default() };
    let models =
        row.get("model").map(|models| models.split(',').map(model).filter(|model| !model.name.is_empty()).collect());
    let draft = ChannelDraft {
        name,
        provider: None,
        base_url: row.get("base_url").map(str::to_owned),
        enabled: row.is_on("status"),
        headers: None,
        settings: Map::new(),
        models: models.unwrap_or_default(),
    };
    let key =
        CredentialPlan { name: "default".to_owned(), key: Some(Secret::new(key)), enabled: true, limits: Map::new() };
    let mut channel = ChannelPlan { draft, credentials: vec![key] };
    // What no address tells of is one of the many that speak as OpenAI does.
    if check(&channel.draft, &channel.credentials, &[]).is_err() {
        channel.draft.provider = Some("openai_compatible".to_owned());
    }
    plan.channels.push(channel);
}

fn caller(plan: &mut Plan, row: &Row<'_>) {
    let name = free_name(row, |name| plan.keys.iter().any(|known| known.name == name));
    let texts: Vec<&str> = ["app_id", "app_secret"].iter().filter_map(|column| row.get(column)).collect();
    let Some(shown) = texts.first().copied() else {
        return plan.skip(format!("key {name}"), "it has neither `app_id` nor `app_secret`");
    };
    plan.keys.push(KeyPlan {
        name,
        hashes: texts.iter().map(|text| fingerprint(text)).collect(),
        hint: hint(shown),
        enabled: row.is_on("valid"),
        models: None,
    });
}

/// The row's title, with its number if another one has it.
fn free_name(row: &Row<'_>, is_taken: impl Fn(&str) -> bool) -> String {
    let name = row.name();
    if is_taken(&name) { format!("{name} #{}", row.get("id").unwrap_or("2")) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a dump of that router looks, with what dumps have around it.
    const DUMP: &str = "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\n\
        CREATE TABLE `open_ai_api_key` (\n  `id` int NOT NULL,\n  `title` varchar(100) DEFAULT 'a,b',\n  `base_url` text,\n  \
        `api_key` text,\n  `model` text,\n  `status` tinyint(1),\n  PRIMARY KEY (`id`),\n  KEY `x` (`title`)\n);\n\
        INSERT INTO `open_ai_api_key` VALUES (1,'OpenAI Key 1','https://api.openai.com/v1','sk-xxx','gpt-3.5-turbo',1),\
        (2,'It''s \\'ours\\'; really','https://llm.example/v1','sk-yyy',NULL,0);\n\
        INSERT INTO api_caller (id, title, app_id, app_secret, valid)\nVALUES (1, 'Internal App', 'app_token_123', 'secret', 1);\n\
        insert into \"public\".\"api_caller\" (\"valid\", \"title\", \"app_id\") values (false, 'Old', 'old_token');\n\
        INSERT INTO other VALUES (1);\n";

    #[test]
    fn rows_of_the_dump_become_channels_and_keys_002_34_002_35() {
        let plan = read(DUMP).unwrap();
        let channels: Vec<_> = plan
            .channels
            .iter()
            .map(|channel| (channel.draft.name.as_str(), channel.draft.enabled, channel.draft.provider.as_deref()))
            .collect();
        assert_eq!(channels, [("OpenAI Key 1", true, None), ("It's 'ours'; really", false, None)]);
        let first = &plan.channels[0];
        assert_eq!(first.draft.models[0].name, "gpt-3.5-turbo");
        assert_eq!(first.credentials[0].key.as_ref().map(|key| key.expose()), Some("sk-xxx"));
        let keys: Vec<_> = plan.keys.iter().map(|key| (key.name.as_str(), key.enabled, key.hashes.len())).collect();
        assert_eq!(keys, [("Internal App", true, 2), ("Old", false, 1)]);
        assert_eq!(plan.keys[0].hashes[0], fingerprint("app_token_123"));
        assert_eq!(plan.skipped.len(), 1);
    }

    #[test]
    fn rows_of_one_title_stay_apart() {
        let plan = read("INSERT INTO open_ai_api_key VALUES (1,'A','','k1','m',1),(2,'A','','k2','m',1);").unwrap();
        let names: Vec<_> = plan.channels.iter().map(|channel| channel.draft.name.as_str()).collect();
        assert_eq!(names, ["A", "A #2"]);
    }

    #[test]
    fn a_dump_is_known_by_its_name_or_its_words() {
        assert!(is_dump("a.SQL", "") && is_dump("a.txt", "\n  Insert Into x values (1);"));
        assert!(!is_dump("a.yaml", "channels: []\n"));
    }
}
