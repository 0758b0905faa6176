//! `waypost mock`: the simulator alone, as a provider on a port, so that another gateway or an application can be tried against
//! it. Speaks OpenAI and Anthropic, asks for no key, and answers with the statuses that its models' names say. Tests: `it/cli.rs`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::time::Instant;
use waypost_core::operation::Operation;

use super::print::say;
use crate::http::router::{Endpoint, Route, route};
use crate::jobs::Jobs;
use crate::serve::{BodyError, Edge, LastWords, Limits, Signals, check_head, read_body};
use crate::simulator::{self, Cut, Simulator};

/// What is in flight at the end may go on for so long.
const GRACE: Duration = Duration::from_secs(2);

/// Where it listens.
#[derive(Args, Clone, Debug)]
pub struct Mock {
    /// The port to listen on, on this machine only; 0 takes any free one.
    #[arg(long, default_value_t = 4010)]
    port: u16,
}

/// Serves until a signal ends it.
pub async fn run(wanted: &Mock) -> Result<ExitCode, String> {
    let address = SocketAddr::from(([127, 0, 0, 1], wanted.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; choose another port with --port"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut signals = Signals::listen().map_err(|error| format!("signals cannot be received: {error}"))?;
    let jobs = Jobs::new();
    let edge = Edge::new(Limits::default(), jobs.clone());
    let provider = Arc::new(Provider { simulator: Simulator::default(), limits: Limits::default() });
    let serving = edge.clone();
    jobs.spawn("accept loop", async move {
        let handler = move |request, _| {
            let provider = Arc::clone(&provider);
            async move { provider.answer(request).await }
        };
        serving.serve(listener, handler).await;
    });
    say(&format!("A simulated provider listens on http://{address}"));
    say(&format!("  OpenAI:    base_url: http://{address}/v1   (any key)"));
    say(&format!("  Anthropic: base_url: http://{address}      (any key)"));
    say("Its models, each of which behaves as its name says: sim/chat, sim/slow, sim/fail-503, ... (GET /v1/models)");
    signals.next().await;
    edge.drain(Instant::now() + GRACE).await;
    jobs.drain(Instant::now() + GRACE).await;
    Ok(ExitCode::SUCCESS)
}

struct Provider {
    simulator: Simulator,
    limits: Limits,
}

impl Provider {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if check_head(&request, &self.limits).is_err() {
            return bare(StatusCode::BAD_REQUEST);
        }
        let (head, body) = request.into_parts();
        let Route { endpoint, face } =
            route(&head.method, head.uri.path(), head.headers.contains_key("anthropic-version"));
        let Some(operation) = operation(&endpoint) else { return bare(StatusCode::OK) };
        let body = match read_body(body, &self.limits).await {
            Ok(body) => body,
            Err(BodyError::TooLarge { .. }) => return bare(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return bare(StatusCode::BAD_REQUEST),
        };
        let path = head.uri.path().to_owned();
        let call = simulator::Call { operation, dialect: face.dialect, codec: face.codec, path, body };
        let simulator::Answer { status, headers, body } = self.simulator.answer(call).await;
        let mut response = Response::new(Body(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// What is asked; nothing for a question about health.
fn operation(endpoint: &Endpoint<'_>) -> Option<Operation> {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Messages => Some(Operation::Chat),
        Endpoint::Completions => Some(Operation::Completions),
        Endpoint::Embeddings => Some(Operation::Embeddings),
        Endpoint::CountTokens => Some(Operation::CountTokens),
        Endpoint::Models | Endpoint::Model { .. } => Some(Operation::Models),
        Endpoint::Health { .. } => None,
        // Nothing is there: the simulator says so in the caller's dialect.
        Endpoint::PassThrough { .. }
        | Endpoint::MethodNotAllowed { .. }
        | Endpoint::Estimate
        | Endpoint::Managed
        | Endpoint::Metrics
        | Endpoint::Billing(_)
        | Endpoint::NotFound => Some(Operation::Passthrough),
    }
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body(simulator::Body::full(Bytes::new())));
    (*response.status_mut(), *response.headers_mut()) = (status, HeaderMap::new());
    response
}

/// A simulated answer on its way; a cut one breaks the connection.
struct Body(simulator::Body);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl LastWords for Body {}
