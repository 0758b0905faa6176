//! A config without a file: what the usual variables of SDKs say, else a set-up with the simulator.
//! Knows the names of variables, reads none itself. Tests are below.

use super::Config;
use super::channels::{Channel, ModelEntry};
use super::expand::Lookup;
use super::keys::Key;
use crate::secret::Secret;

/// What the environment amounts to.
#[derive(Debug)]
pub struct Environment {
    pub config: Config,
    /// The caller's key that was made, if none was given: to be shown once.
    pub made_key: Option<Secret>,
    /// There is no account at any provider; the simulator serves until there is one.
    pub setup: bool,
}

/// The provider accounts that variables can describe: kind, key, address.
const ACCOUNTS: &[(&str, &str, &str)] =
    &[("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL"), ("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")];

/// The variable that holds the key callers present.
const CALLER_KEY: &str = "WAYPOST_API_KEY";

/// The caller's key in set-up, the same for everybody: behind it is nothing but the simulator.
const SETUP_KEY: &str = "wp-simulator";

/// Builds a config from variables. `dice` must be unpredictable: they become the caller's key if there is an account to
/// protect and the environment names none. `simulated` are the names that set-up lists.
pub fn from_environment(lookup: Lookup<'_>, dice: [u8; 24], simulated: &[&str]) -> Environment {
    let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
    let mut config = Config {
        channels: ACCOUNTS
            .iter()
            .filter_map(|(provider, key, address)| {
                Some(Channel {
                    api_key: Some(Secret::new(set(key)?)),
                    base_url: set(address),
                    ..Channel::new(*provider, provider)
                })
            })
            .collect(),
        ..Config::default()
    };
    let setup = config.channels.is_empty();
    if setup {
        let models = simulated.iter().copied().chain(["sim/*"]).map(ModelEntry::named).collect();
        config.channels.push(Channel { models: Some(models), ..Channel::new("simulator", "simulator") });
    }
    let given = set(CALLER_KEY).map(Secret::new);
    let made_key = given.is_none().then(|| if setup { Secret::new(SETUP_KEY) } else { make_key(dice) });
    config.keys.push(Key {
        name: "default".to_owned(),
        key: given.or_else(|| made_key.clone()),
        key_sha256: None,
        models: vec!["*".to_owned()],
        enabled: true,
    });
    Environment { config, made_key, setup }
}

/// `wp-` and 48 hexadecimal digits.
fn make_key(dice: [u8; 24]) -> Secret {
    let digits: String = dice.iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::new(format!("wp-{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> Environment {
        let lookup = move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        from_environment(&lookup, [0xab; 24], &["sim/chat"])
    }

    #[test]
    fn one_variable_is_one_account() {
        // 001-55, 003-25
        let only = env(&[("ANTHROPIC_API_KEY", "sk-ant-1"), ("OPENAI_API_KEY", " ")]);
        assert!(!only.setup);
        assert_eq!(only.config.channels.len(), 1);
        assert_eq!(only.config.channels[0].name, "anthropic");

        let both = env(&[
            ("OPENAI_API_KEY", "sk-1"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
            ("ANTHROPIC_API_KEY", "sk-ant-1"),
            ("WAYPOST_API_KEY", "wp-mine"),
        ]);
        assert_eq!(both.config.channels.len(), 2);
        assert_eq!(both.config.channels[0].base_url.as_deref(), Some("http://127.0.0.1:1/v1"));
        assert!(both.made_key.is_none());
    }

    #[test]
    fn without_any_account_the_simulator_serves_under_the_key_of_the_readme() {
        let none = env(&[]);
        assert!(none.setup);
        assert_eq!(none.config.channels[0].provider.as_deref(), Some("simulator"));
        assert_eq!(none.made_key.map(|key| key.expose().to_owned()).as_deref(), Some("wp-simulator"));
    }

    #[test]
    fn an_account_is_never_behind_a_key_that_everybody_knows() {
        let account = env(&[("OPENAI_API_KEY", "sk-1")]);
        let made = account.made_key.unwrap();
        assert_eq!(made.expose(), format!("wp-{}", "ab".repeat(24)));
        assert_eq!(account.config.keys[0].key.as_ref(), Some(&made));
    }
}
