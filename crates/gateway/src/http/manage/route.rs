//! What a route of the administration, or of people's own pages, is: one line says its address, who may, what goes in and what
//! comes out. The router, the check of roles, the OpenAPI document and the test of isolation read the same lines.
//! Tests: `table.rs`, `it/manage/`.

use std::future::Future;
use std::pin::Pin;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use waypost_core::GatewayError;
use waypost_core::role::Action;

use super::answer::Answer;
use super::ask::Ask;

/// A line of the table.
pub(crate) struct Route {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// With `{id}` for what varies.
    pub path: &'static str,
    /// Unique; the operation's name in OpenAPI and in the audit log, such as `key.create`.
    pub name: &'static str,
    pub summary: &'static str,
    pub needs: Needs,
    /// What the body must be; none if nothing is read.
    pub input: Option<Shape>,
    /// What the body must be if whoever asks belongs to a team, where that is less.
    pub team_input: Option<Shape>,
    /// What the answer holds; none if it is not described.
    pub output: Option<Shape>,
    /// What may stand after the question mark: name and meaning.
    pub query: &'static [(&'static str, &'static str)],
    pub kind: Kind,
    /// Whether the body may hold a password: then it is small, it must be called JSON, which no form of a foreign page can do,
    /// and nothing of it is repeated in what is said about it.
    pub confidential: bool,
    pub handler: Handler,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Everybody, without a name.
    Nobody,
    /// Whoever may do this to something; to what, the handler says.
    May(Action),
    /// Whoever is a user, for what is their own.
    User(Action),
    /// Whoever is signed in, whatever their role, for what is their own. No token of the configuration signs anybody in.
    SignedIn,
    /// Whoever calls with a key, for what is the key's.
    Key,
}

/// What a route does with what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shows one thing, or something that has no parts.
    Show,
    /// Shows a page of a list.
    List,
    /// Tells what happens, as it happens, without an end.
    Follow,
    /// Sends a browser to another page.
    Send,
    /// Makes something.
    Make,
    /// Changes one thing; whoever does names the version that it is done to.
    Change,
    /// Ends one thing, which can be done twice; of a version, if one is named.
    End,
    /// Does something to one thing that has no version, or to none.
    Act,
}

/// The schema of a type.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;
/// What a route does.
pub(crate) type Handler = for<'a> fn(Ask<'a>) -> Answering<'a>;
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, GatewayError>> + Send + 'a>>;

/// The schema of this type, for the table.
pub(crate) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn elsewhere(ask: Ask<'_>) -> Answering<'_> {
    Box::pin(async move { Err(GatewayError::not_found(ask.uri().path())) })
}

impl Kind {
    /// Is it asked for without a body, with `GET`?
    pub(crate) fn reads(self) -> bool {
        match self {
            Self::Show | Self::List | Self::Follow | Self::Send => true,
            Self::Make | Self::Change | Self::End | Self::Act => false,
        }
    }
}

impl Route {
    /// A route that takes and gives nothing that is described.
    pub(crate) const fn new(
        (method, path): (&'static str, &'static str),
        name: &'static str,
        summary: &'static str,
        needs: Needs,
        kind: Kind,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            name,
            summary,
            needs,
            input: None,
            team_input: None,
            output: None,
            query: &[],
            kind,
            confidential: false,
            handler,
        }
    }

    /// What the data plane answers, as a line of the description: its router finds the path, and lets keys in.
    pub(crate) const fn keyed(
        address: (&'static str, &'static str),
        name: &'static str,
        summary: &'static str,
        kind: Kind,
    ) -> Self {
        Self::new(address, name, summary, Needs::Key, kind, elsewhere)
    }

    /// The body that it takes.
    #[must_use]
    pub(crate) const fn taking(self, input: Shape) -> Self {
        Self { input: Some(input), ..self }
    }

    /// The body that it takes of whoever belongs to a team.
    #[must_use]
    pub(crate) const fn taking_of_teams(self, input: Shape) -> Self {
        Self { team_input: Some(input), ..self }
    }

    /// The body that it gives.
    #[must_use]
    pub(crate) const fn giving(self, output: Shape) -> Self {
        Self { output: Some(output), ..self }
    }

    /// What may stand after the question mark.
    #[must_use]
    pub(crate) const fn asking(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    /// What the body holds may be a password.
    #[must_use]
    pub(crate) const fn confidentially(self) -> Self {
        Self { confidential: true, ..self }
    }

    /// What varies in the path, in order, if the path is one of this route's.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let mut varying = Vec::new();
        let mut parts = path.split('/');
        for ours in self.path.split('/') {
            let part = parts.next()?;
            if ours.starts_with('{') {
                if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
                {
                    return None;
                }
                varying.push(part);
            } else if ours != part {
                return None;
            }
        }
        parts.next().is_none().then_some(varying)
    }

    /// The names of what varies in the path.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
