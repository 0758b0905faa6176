//! Every route of the administration and of people's own pages, in one place. What is not here is not there. Tests are below, and in `it/manage/`.

use super::route::Route;
use super::{
    alerts, audit, budgets, captures, catalog, gateway, invites, keys, logs, money, openapi, plans, prices, rerate,
    sessions, teams, usage, users,
};
use crate::http::api::{billing, estimate};
use crate::http::auth;

/// The lines, noun by noun.
static TABLE: &[&[Route]] = &[
    openapi::ROUTES,
    auth::ROUTES,
    auth::SIGN,
    auth::OIDC,
    auth::PROFILE,
    auth::SESSIONS,
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
    captures::ROUTES,
];

/// What is asked with a key, of what the key's are, which the router of the data plane finds.
static KEYED: &[&[Route]] = &[billing::ROUTES, estimate::ROUTES];

/// All routes that are answered here.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    TABLE.iter().flat_map(|routes| routes.iter())
}

/// All routes that are described, wherever they are answered.
pub(super) fn described() -> impl Iterator<Item = &'static Route> {
    all().chain(KEYED.iter().flat_map(|routes| routes.iter()))
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
    use http::Method;

    use super::*;
    use crate::http::manage::route::{Kind, Needs};
    use crate::http::router::{self, Endpoint};
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
    /// What people do themselves, signed in, with a password that no command asks for.
    const FOR_PEOPLE: &[&str] = &["auth", "profile"];

    #[test]
    fn names_and_addresses_are_unique() {
        let names: HashSet<_> = described().map(|route| route.name).collect();
        let addresses: HashSet<_> = described().map(|route| (route.method, route.path)).collect();
        assert_eq!((names.len(), addresses.len()), (described().count(), described().count()));
    }

    #[test]
    fn nothing_is_for_everybody_but_the_door_and_the_description_of_the_rest() {
        let open: BTreeSet<_> =
            described().filter(|route| route.needs == Needs::Nobody).map(|route| route.path).collect();
        let expected = [
            "/admin/openapi.json",
            "/auth",
            "/auth/login",
            "/auth/oidc/callback",
            "/auth/oidc/start",
            "/auth/refresh",
            "/auth/register",
            "/auth/reset-password",
            "/auth/setup",
            "/openapi.json",
        ];
        assert_eq!(open, BTreeSet::from(expected));
    }

    #[test]
    fn reading_is_get_and_nothing_else_is() {
        for route in described() {
            assert_eq!(route.kind.reads(), route.method == "GET", "{}", route.name);
        }
    }

    #[test]
    fn whatever_changes_a_thing_in_place_is_done_to_a_version_that_can_be_read() {
        for route in described() {
            let in_place = matches!(route.method, "PUT" | "PATCH");
            assert!(!in_place || route.kind == Kind::Change, "{} changes a thing whatever its version", route.name);
            assert!(route.method != "DELETE" || route.kind == Kind::End, "{} ends nothing", route.name);
            if route.kind == Kind::Change {
                let shown = |other: &Route| other.kind == Kind::Show && route.path.starts_with(other.path);
                let found = described().any(|other| shown(other) && other.variables().eq(route.variables()));
                assert!(found, "{}: its version is shown nowhere", route.name);
            }
        }
    }

    #[test]
    fn whatever_takes_or_makes_something_says_what() {
        for route in described() {
            let told = matches!(route.kind, Kind::Show | Kind::List | Kind::Make | Kind::Change);
            assert!(!told || route.output.is_some(), "{} says nothing of its answer", route.name);
            let taken = matches!(route.kind, Kind::Make | Kind::Change);
            assert!(!taken || route.input.is_some(), "{} says nothing of its body", route.name);
            assert!(!route.kind.reads() || route.input.is_none(), "{} reads no body", route.name);
        }
    }

    #[test]
    fn the_router_of_everything_leads_to_what_is_described() {
        for route in described() {
            let path = route.path.replace(['{', '}'], "");
            let method = Method::from_bytes(route.method.as_bytes()).unwrap();
            let endpoint = router::route(&method, &path, false).endpoint;
            let keyed = matches!(endpoint, Endpoint::Billing(_) | Endpoint::Estimate);
            assert_eq!(keyed, route.needs == Needs::Key, "{}", route.name);
            assert!(keyed || endpoint == Endpoint::Managed, "{}: {endpoint:?}", route.name);
        }
    }

    #[test]
    fn a_path_that_is_nearly_right_is_none() {
        let name = |path: &str| at(path).first().map(|(route, _)| route.name);
        assert_eq!((name("/auth"), name("/auth/login")), (Some("auth.index"), Some("auth.login")));
        for path in ["/auth/", "/auth//login", "/auth/login/", "/auth/Login", "/auth/sessions/", "/auth/%6cogin"] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    /// Everything can be done on the command line, too. Whoever adds a noun writes `cli/<noun>s.rs`.
    #[test]
    fn every_noun_has_a_command() {
        let arguments = Arguments::command();
        let commands: HashSet<&str> = arguments.get_subcommands().map(clap::Command::get_name).collect();
        let nouns = all().filter_map(|route| route.name.split('.').next());
        let nouns: BTreeSet<&str> = nouns.filter(|noun| !FOR_PEOPLE.contains(noun)).collect();
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
