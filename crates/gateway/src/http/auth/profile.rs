//! What users see and change of themselves. Decides the form of a user in answers: no hash, no generation.
//! Tests: `it/auth/passwords.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_core::role::Role;
use waypost_core::{GatewayError, Secret};
use waypost_store::users::User;

use super::cookie::{self, Along};
use crate::http::manage::answer::Answer;
use crate::http::manage::ask::Ask;
use crate::http::manage::route::{Kind, Needs, Route, shape};
use crate::identity::{ACCESS_COOKIE, Profile};

pub(in crate::http) const ROUTES: &[Route] = &[
    Route::new(("GET", "/auth/profile"), "profile.get", "who you are", Needs::SignedIn, Kind::Show, |ask| {
        Box::pin(show(ask))
    })
    .giving(shape::<ProfileView>),
    Route::new(
        ("PATCH", "/auth/profile"),
        "profile.change",
        "change your name; what is left out stays",
        Needs::SignedIn,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<ProfileChange>)
    .giving(shape::<ProfileView>)
    .confidentially(),
    Route::new(
        ("POST", "/auth/change-password"),
        "profile.change_password",
        "set another password; all your other sessions end, and this one gets another access token",
        Needs::SignedIn,
        Kind::Act,
        |ask| Box::pin(change_password(ask)),
    )
    .taking(shape::<PasswordChange>)
    .giving(shape::<AccessToken>)
    .confidentially(),
    Route::new(
        ("POST", "/auth/reset-password"),
        "profile.reset_password",
        "set a password by a token that an administrator made; all sessions end",
        Needs::Nobody,
        Kind::Act,
        |ask| Box::pin(reset_password(ask)),
    )
    .taking(shape::<PasswordReset>)
    .confidentially(),
];

/// A user as users see themselves.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
pub(super) struct ProfileView {
    /// `user`.
    object: &'static str,
    id: String,
    email: String,
    name: String,
    /// In the team, if there is one; else in the whole instance.
    role: Role,
    team: Option<String>,
    plan: Option<String>,
    created_at: i64,
}

/// What is to be different of oneself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    name: Option<String>,
}

/// Another password, and the one that it takes the place of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    #[schemars(with = "String")]
    current_password: Secret,
    #[schemars(with = "String")]
    new_password: Secret,
}

/// A password, and what allows to set it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordReset {
    #[schemars(with = "String")]
    token: Secret,
    #[schemars(with = "String")]
    password: Secret,
}

/// What the session goes on with. Whoever came by cookie goes on by cookie, and finds no token here.
#[derive(Debug, Serialize, JsonSchema)]
struct AccessToken {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// `Bearer`, beside the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// In seconds.
    expires_in: i64,
}

impl ProfileView {
    pub(super) fn of(user: &User) -> Self {
        Self {
            object: "user",
            id: user.id.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role,
            team: user.team.clone(),
            plan: user.plan.clone(),
            created_at: user.created_at,
        }
    }
}

async fn show(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let user = ask.identity()?.profile(ask.signed()?).await.map_err(|denied| ask.denied(denied))?;
    Answer::of_version(&ProfileView::of(&user), user.version)
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let ProfileChange { name } = ask.input()?;
    let profile = Profile { name: name.as_deref() };
    let changing = ask.identity()?.change_profile(ask.signed()?, profile, ask.expected()?, &ask.whence()).await;
    let user = changing.map_err(|denied| ask.denied(denied))?;
    Answer::of_version(&ProfileView::of(&user), user.version)
}

async fn change_password(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let PasswordChange { current_password, new_password } = ask.input()?;
    let (signed, whence) = (ask.signed()?, ask.whence());
    let changing = ask.identity()?.change_password(signed, &current_password, &new_password, &whence).await;
    let (token, expires_in) = changing.map_err(|denied| ask.denied(denied))?;
    let headers = ask.headers();
    if cookie::get(headers, ACCESS_COOKIE).is_some() && !headers.contains_key("authorization") {
        let mut answer = Answer::shown(&AccessToken { token: None, token_type: None, expires_in })?;
        cookie::set(&mut answer.headers, ACCESS_COOKIE, token.expose(), expires_in, Along::Strict)?;
        return Ok(answer);
    }
    Answer::shown(&AccessToken { token: Some(token.expose().to_owned()), token_type: Some("Bearer"), expires_in })
}

async fn reset_password(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let PasswordReset { token, password } = ask.input()?;
    let resetting = ask.identity()?.reset_password(&token, &password, &ask.whence()).await;
    resetting.map_err(|denied| ask.denied(denied))?;
    Ok(Answer::done())
}
