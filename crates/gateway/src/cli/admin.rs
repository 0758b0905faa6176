//! `waypost admin`: any call of a running gateway's administration, for whatever has no command of its own. Prints the answer as
//! JSON. Tests: `it/manage/command.rs`.

use clap::Args;

use super::print::say;
use super::remote::Remote;

/// A call, as `/openapi.json` describes it.
#[derive(Args, Clone, Debug)]
pub struct Call {
    /// GET, POST, PATCH or DELETE.
    method: String,
    /// Such as /admin/users.
    path: String,
    /// The body, as JSON.
    body: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Does it, and prints the answer.
pub async fn run(call: &Call) -> Result<(), String> {
    let body = call.body.as_deref().map(serde_json::from_str).transpose();
    let body = body.map_err(|error| format!("the body is no JSON: {error}"))?;
    let answer = call.remote.ask(&call.method.to_ascii_uppercase(), &call.path, body).await?;
    if !answer.is_null() {
        say(&format!("{answer:#}"));
    }
    Ok(())
}
