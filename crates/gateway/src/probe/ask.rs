//! One question to one key, in the provider's own dialect, and what its answer amounts to. Tells nobody.
//! Tests: `it/probes.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::{Instant, timeout_at};
use waypost_core::config::ProbeKind;
use waypost_core::operation::Operation;
use waypost_core::provider::{Endpoint, Place};
use waypost_core::rate_headers;
use waypost_core::snapshot::{Channel, Credential, Deployment};
use waypost_core::verdict::{Outcome, Verdict, judge};
use waypost_wire::Dialect;
use waypost_wire::chat::{Message, Part, Request, Role};
use waypost_wire::dialect::{Decoded, Face, Target as Said};
use waypost_wire::error::RemoteError;
use waypost_wire::listing;
use waypost_wire::loss::Losses;

use super::{Finding, Tested, default_model};
use crate::app::{App, Live};
use crate::discovery;
use crate::http::reply::JSON;
use crate::pipeline::attempt::trouble;
use crate::pipeline::simulate;
use crate::upstream::{Answer, Failure, OutBody, Outgoing, Target, Timeouts};

/// The longest a question may take, whatever the channel's timeouts are.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MAX_ANSWER: u64 = 8 << 20;
/// What some models answer to whom wants one token of them: with that they have said that the key works.
const TOO_SHORT: &str = "output limit was reached";

/// What is asked.
pub(super) struct Question {
    channel: Arc<Channel>,
    /// With the endpoint; the account's list of models if absent.
    pub(super) chat: Option<(Arc<Deployment>, &'static Endpoint)>,
    path: String,
    body: Bytes,
}

/// An answer, or why it was none.
pub(super) struct Heard {
    pub(super) tested: Tested,
    pub(super) verdict: Option<Verdict>,
    pub(super) headers: HeaderMap,
}

impl Question {
    /// Words a question for a channel. `None` if there is nothing to ask: no list, no model or no chat.
    pub(super) fn of(live: &Live, channel: &Arc<Channel>, kind: ProbeKind, model: Option<&str>) -> Option<Self> {
        let chat = || Self::chat(live, channel, model.or_else(|| default_model(channel))?);
        match kind {
            ProbeKind::Chat => chat(),
            // Who has no list can still be asked for a word.
            ProbeKind::Models => Self::list(channel).or_else(chat),
        }
    }

    fn list(channel: &Arc<Channel>) -> Option<Self> {
        let path = channel.models_path().filter(|_| !channel.provider.built_in)?;
        Some(Self { channel: Arc::clone(channel), chat: None, path, body: Bytes::new() })
    }

    fn chat(live: &Live, channel: &Arc<Channel>, model: &str) -> Option<Self> {
        let endpoint = channel.endpoint(Operation::Chat, Dialect::OpenaiChat)?;
        let deployment = live.snapshot.deployment_on(channel, model);
        let place = Place {
            prefix: &channel.prefix,
            model: &deployment.upstream,
            version: channel.api_version.as_deref().unwrap_or_default(),
            ..Place::default()
        };
        let path = endpoint.path_and_query(&place)?;
        let target = Said { model: &deployment.upstream, traits: &deployment.traits };
        let body = endpoint.dialect.codec().encode_request(&one_word(), &target, &mut Losses::default()).ok()?;
        Some(Self { channel: Arc::clone(channel), chat: Some((deployment, endpoint)), path, body })
    }

    /// Does the answer say something of the key?
    pub(super) fn says_something(&self) -> bool {
        self.chat.is_some() || !self.channel.provider.open_list
    }

    /// Whom it is for.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The public name of the model it is about.
    fn model(&self) -> Option<&Arc<str>> {
        self.chat.as_ref().map(|(deployment, _)| &deployment.model)
    }

    fn outgoing(&self, live: &Live, credential: &Credential) -> Option<Outgoing> {
        let target = Target::at(Arc::clone(live.origin(self.channel.id)?), &self.path).ok()?;
        let mut headers = discovery::headers(&self.channel, credential);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let method = match self.chat {
            Some(_) => {
                headers.insert(CONTENT_TYPE, JSON);
                Method::POST
            }
            None => Method::GET,
        };
        Some(Outgoing { method, target, headers, body: OutBody::Full(self.body.clone()) })
    }

    async fn send(&self, app: &App, live: &Live, credential: &Credential) -> Result<Answer, Failure> {
        let channel = &self.channel.timeouts;
        let deadline = Instant::now() + PATIENCE.min(channel.total);
        let timeouts =
            Timeouts { connect: channel.connect, first_byte: channel.first_byte, idle: channel.idle, deadline };
        if let Some(outgoing) = self.outgoing(live, credential) {
            return app.transport.send(outgoing, timeouts).await;
        }
        let face = self.chat.as_ref().and_then(|(_, endpoint)| Face::of(endpoint.dialect)).ok_or(Failure::BadHead)?;
        simulate::send(&app.simulator, Operation::Chat, face, &self.path, self.body.clone(), timeouts).await
    }

    /// Reads what a status of success came with.
    fn read(&self, body: &[u8]) -> Result<(), Verdict> {
        let model = self.model().map(|model| &**model);
        let Some((_, endpoint)) = &self.chat else {
            return listing::names(body).map(|_| ()).map_err(|_| judge(Outcome::Unreadable, model));
        };
        match endpoint.dialect.codec().decode_response(body) {
            Ok(Decoded::Response(response)) if !response.choices.is_empty() => Ok(()),
            Ok(Decoded::Error(remote)) => Err(judge(Outcome::Inside(&remote), model)),
            Ok(Decoded::Response(_)) | Err(_) => Err(judge(Outcome::Unreadable, model)),
        }
    }

    /// Reads the words of a refusal.
    fn remote(&self, body: &[u8]) -> RemoteError {
        let dialect = self.chat.as_ref().map_or(Dialect::OpenaiChat, |(_, endpoint)| endpoint.dialect);
        dialect.codec().decode_error(body)
    }
}

fn one_word() -> Request {
    let message = Message { role: Role::User, parts: vec![Part::text("Hi")], name: None };
    Request { messages: vec![message], max_output_tokens: Some(1), ..Request::default() }
}

/// Asks, and says what was found.
pub(super) async fn ask(app: &App, live: &Live, credential: &Credential, question: &Question) -> Heard {
    let began = Instant::now();
    let (mut status, mut headers, mut reached) = (None, HeaderMap::new(), true);
    let answering = async {
        let answer = question.send(app, live, credential).await?;
        let body = answer.body.collect(MAX_ANSWER).await;
        // An error page that is broken still has its status.
        let body = if answer.status.is_success() { body? } else { body.unwrap_or_default() };
        Ok((answer.status, answer.headers, body))
    };
    let heard = timeout_at(began + PATIENCE, answering).await.unwrap_or(Err(Failure::Deadline));
    let verdict = match heard {
        Err(failure) => {
            reached = !matches!(failure, Failure::Connect(_) | Failure::ConnectTimeout | Failure::Tls);
            Err(judge(Outcome::Trouble(trouble(&failure)), question.model().map(|model| &**model)))
        }
        Ok((code, heads, body)) => {
            status = Some(code.as_u16());
            headers = heads;
            if code.is_success() {
                question.read(&body)
            } else {
                refused(app, question, code.as_u16(), &headers, &body)
            }
        }
    };
    let verdict = verdict.err();
    let finding = match &verdict {
        None => Finding::Valid,
        Some(_) if !reached => Finding::Unreachable,
        Some(verdict) => Finding::of(verdict),
    };
    let tested = Tested { asked: true, finding, status, latency: began.elapsed(), model: question.model().cloned() };
    Heard { tested, verdict, headers }
}

fn refused(app: &App, question: &Question, status: u16, headers: &HeaderMap, body: &[u8]) -> Result<(), Verdict> {
    let remote = question.remote(body);
    if status == 400 && remote.message.contains(TOO_SHORT) {
        return Ok(());
    }
    let retry_after = rate_headers::retry_after(headers, &remote, app.unix_seconds());
    Err(judge(Outcome::Status { status, remote: &remote, retry_after }, question.model().map(|model| &**model)))
}
