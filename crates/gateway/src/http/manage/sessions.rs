//! Who is signed in, and ending that, over HTTP. Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::sessions::{self, Session};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/sessions"),
        "session.list",
        "sessions that live, the newest first",
        Needs::May(Action::ReadSessions),
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<SessionView>>)
    .asking(&[("user", "only those of this user")]),
    Route::new(
        ("DELETE", "/admin/sessions/{id}"),
        "session.end",
        "end a session at once",
        Needs::May(Action::EndSessions),
        Kind::End,
        |ask| Box::pin(end(ask)),
    ),
];

/// Somebody signed in somewhere.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(super) struct SessionView {
    id: String,
    user: String,
    team: Option<String>,
    created_at: i64,
    /// The last sign of life.
    changed_at: i64,
    expires_at: i64,
    /// What the client called itself.
    agent: String,
    address: String,
}

impl SessionView {
    fn of(session: Session) -> Self {
        Self {
            id: session.id,
            user: session.user,
            team: session.team,
            created_at: session.created_at,
            changed_at: session.changed_at,
            expires_at: session.expires_at,
            agent: session.agent,
            address: session.address,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (after, user) = (ask.after()?, ask.query.get("user"));
    let page = sessions::page(ask.store()?, &ask.scope()?, user, ask.now(), after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, SessionView::of))
}

async fn end(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let scope = ask.scope()?;
    let mut tx = ask.begin().await?;
    let session =
        sessions::end(&mut tx, &scope, ask.id(), "ended", ask.now()).await.map_err(|error| ask.fault(error))?;
    ask.commit(tx, &session.id, session.team.as_deref(), &json!({ "user": session.user })).await?;
    ask.note_session_end(&session.id);
    Ok(Answer::done())
}
