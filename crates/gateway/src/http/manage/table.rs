//! Every route of the administration, in one place. What is not here is not there. Tests are below, and in `it/manage/`.

use super::route::Route;
use super::{
    alerts, audit, budgets, catalog, gateway, invites, keys, logs, money, openapi, plans, prices, rerate, sessions,
    teams, usage, users,
};

/// The lines, noun by noun.
static TABLE: &[&[Route]] = &[
    openapi::ROUTES,
    gateway::ROUTES,
    catalog::ROUTES,
    keys::ROUTES,
    keys::OWN,
    users::ROUTES,
    invites::ROUTES,
    teams::ROUTES,
    plans::ROUTES,
    prices::ROUTES,
    rerate::ROUTES,
    sessions::ROUTES,
    audit::ROUTES,
    money::ROUTES,
    budgets::ROUTES,
    usage::ROUTES,
    logs::ROUTES,
    alerts::ROUTES,
];

/// All routes.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    TABLE.iter().flat_map(|routes| routes.iter())
}

/// The routes of a path, whatever the method, with what varies in it.
pub(super) fn at(path: &str) -> Vec<(&'static Route, Vec<&str>)> {
    let found = all().filter_map(|route| Some((route, route.matches(path)?)));
    let mut found: Vec<_> = found.collect();
    // `/admin/keys/new` would be more than `/admin/keys/{id}`.
    let fewest = found.iter().map(|(_, varying)| varying.len()).min().unwrap_or_default();
    found.retain(|(_, varying)| varying.len() == fewest);
    found
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use clap::CommandFactory as _;

    use super::*;
    use crate::http::manage::route::{Kind, Needs};
    use crate::start::Arguments;

    /// Nouns whose command is not their plural: the command, and what it does for them.
    const OTHERWISE: &[(&str, &str)] = &[
        // One's own keys, and one's own costs, are asked for by the same commands with one's own token.
        ("api_key", "keys"),
        ("billing", "usage"),
        ("call", "logs"),
        // The same in one document.
        ("catalog", "export"),
        ("endpoint", "channels"),
    ];
    /// Nouns that have no plural.
    const UNCOUNTED: &[&str] = &["audit", "gateway", "security", "usage"];
    /// What describes the others is for programs; `waypost admin` prints it.
    const FOR_PROGRAMS: &[&str] = &["openapi"];

    #[test]
    fn names_and_addresses_are_unique() {
        let names: HashSet<_> = all().map(|route| route.name).collect();
        let addresses: HashSet<_> = all().map(|route| (route.method, route.path)).collect();
        assert_eq!((names.len(), addresses.len()), (all().count(), all().count()));
    }

    #[test]
    fn nothing_is_for_everybody_but_the_description_of_the_rest() {
        let open: Vec<_> = all().filter(|route| route.needs == Needs::Nobody).map(|route| route.path).collect();
        assert_eq!(open, ["/openapi.json", "/admin/openapi.json"]);
    }

    #[test]
    fn reading_is_get_and_nothing_else_is() {
        for route in all() {
            assert_eq!(route.kind.reads(), route.method == "GET", "{}", route.name);
            let one = route.variables().count() > 0;
            assert!(route.kind != Kind::Change || one, "{}: what has a version has an id", route.name);
        }
    }

    /// Everything can be done on the command line, too. Whoever adds a noun writes `cli/<noun>s.rs`.
    #[test]
    fn every_noun_has_a_command() {
        let arguments = Arguments::command();
        let commands: HashSet<&str> = arguments.get_subcommands().map(clap::Command::get_name).collect();
        let nouns: BTreeSet<&str> = all().filter_map(|route| route.name.split('.').next()).collect();
        let command_of = |noun: &str| match OTHERWISE.iter().find(|(known, _)| *known == noun) {
            Some((_, command)) => (*command).to_owned(),
            None if UNCOUNTED.contains(&noun) => noun.to_owned(),
            None if FOR_PROGRAMS.contains(&noun) => "admin".to_owned(),
            None => format!("{noun}s"),
        };
        let without: Vec<&str> = nouns.iter().filter(|noun| !commands.contains(&*command_of(noun))).copied().collect();
        assert_eq!(without, [""; 0], "these nouns have no command");
        for (noun, _) in OTHERWISE {
            assert!(nouns.contains(noun), "{noun} is no noun of the table any more");
        }
    }
}
