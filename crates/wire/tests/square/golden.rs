//! The golden square: every recorded request in every dialect, every recorded answer and stream in every dialect that
//! callers speak, each with what was lost. A snapshot that changes is a change of meaning: read it before accepting it.

use std::fmt::Write;

use bytes::BytesMut;
use serde_json::Value;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::{Decoded, Face, Target, ThinkingStyle, Traits};
use waypost_wire::error::Fault;
use waypost_wire::loss::Losses;
use waypost_wire::{Dialect, WireError};

use crate::fixtures::{self, Fixture, frames, reply};

#[test]
fn every_request_is_said_in_every_dialect_or_refused_by_name() {
    for face in Face::ALL {
        each(face.dialect, "request", ".request.json", |fixture| {
            let request = match face.codec.decode_request(&fixture.bytes) {
                Ok(request) => request,
                Err(error) => return format!("refused: {error:?}\n"),
            };
            face.codec.peek(&fixture.bytes).expect("what is decoded is also let in");
            let mut shown = String::new();
            for dialect in Dialect::ALL {
                let today = said(dialect, &request, &Traits::default());
                let older = said(dialect, &request, &older());
                let _ = writeln!(shown, "=== {}\n{today}", dialect.name());
                if older != today {
                    let _ = writeln!(shown, "=== {}, an older model\n{older}", dialect.name());
                }
            }
            shown
        });
    }
}

#[test]
fn every_answer_is_said_in_every_dialect_that_callers_speak() {
    for dialect in Dialect::ALL {
        each(dialect, "response", ".response.json", |fixture| {
            let mut shown = format!("{}\n", survey(dialect, fixture));
            match dialect.codec().decode_response(&fixture.bytes) {
                Err(error) => shown += &format!("not an answer: {error:?}\n"),
                Ok(Decoded::Error(error)) => shown += &format!("an error: {error:#?}\n"),
                Ok(Decoded::Response(response)) => {
                    for face in Face::ALL {
                        let mut losses = Losses::default();
                        let body = face.codec.encode_response(&response, &reply(), &mut losses);
                        let _ = writeln!(shown, "=== {}\n{}{}", face.dialect.name(), lost(&losses), pretty(&body));
                    }
                }
            }
            shown
        });
    }
}

#[test]
fn every_stream_is_said_in_every_dialect_that_callers_speak() {
    for dialect in Dialect::ALL {
        each(dialect, "stream", ".sse", |fixture| {
            let (events, end) = fixtures::read(dialect.codec(), &frames([&fixture.bytes[..]]));
            let mut shown = String::from("=== events\n");
            for event in &events {
                let _ = writeln!(shown, "{event:?}");
            }
            let _ = writeln!(shown, "{end:?}\n");
            for face in Face::ALL {
                let mut encoder = face.codec.stream_encoder(reply());
                let mut out = BytesMut::new();
                for event in &events {
                    match event {
                        Event::Error(_) => encoder.error(&FAULT, &mut out),
                        event => encoder.event(event, &mut out),
                    }
                }
                if end.is_err() {
                    encoder.error(&FAULT, &mut out);
                }
                let text = String::from_utf8(out.to_vec()).unwrap();
                let _ = writeln!(shown, "=== {}\n{}{text}", face.dialect.name(), lost(encoder.losses()));
            }
            shown
        });
    }
}

/// What a broken stream is reported as.
pub(crate) const FAULT: Fault<'static> = Fault {
    status: 502,
    openai_type: "server_error",
    openai_code: Some("stream_broken"),
    anthropic_type: "api_error",
    gemini_status: "UNAVAILABLE",
    message: "the model's provider broke off",
    param: None,
    request_id: "req_1",
};

/// A model that lacks what dialects have gained over the years.
fn older() -> Traits {
    Traits {
        max_output_tokens: Some(8192),
        thinking: ThinkingStyle::Budget,
        json_schema: false,
        developer_role: false,
        image_urls: false,
        ..Traits::default()
    }
}

fn said(dialect: Dialect, request: &waypost_wire::chat::Request, traits: &Traits) -> String {
    let mut losses = Losses::default();
    match dialect.codec().encode_request(request, &Target { model: "the-model", traits }, &mut losses) {
        Ok(body) => format!("{}{}", lost(&losses), pretty(&body)),
        Err(error) => format!("refused: {}\n", blame(&error)),
    }
}

fn blame(error: &WireError) -> String {
    format!("{}: {error}", error.param().unwrap_or("?"))
}

fn survey(dialect: Dialect, fixture: &Fixture) -> String {
    match dialect.codec().survey_response(&fixture.bytes) {
        Ok(survey) => format!("relayed: {survey:?}"),
        Err(error) => format!("not relayed: {error:?}"),
    }
}

fn lost(losses: &Losses) -> String {
    losses.iter().fold(String::new(), |lines, loss| lines + &format!("lost: {loss}\n"))
}

fn pretty(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).expect("encoders write JSON");
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

/// One snapshot for each fixture of a dialect.
fn each(dialect: Dialect, what: &str, kind: &str, show: impl Fn(&Fixture) -> String) {
    each_of(&format!("chat/{}", dialect.name()), kind, |fixture| {
        (format!("{}__{}.{what}", dialect.name(), fixture.case), show(fixture))
    });
}

/// One snapshot, named and drawn by `show`, for each fixture in a folder; all are compared before a failure is reported.
pub(crate) fn each_of(folder: &str, kind: &str, show: impl Fn(&Fixture) -> (String, String)) {
    let mut wrong = Vec::new();
    for fixture in fixtures::operation(folder, kind) {
        let (name, shown) = show(&fixture);
        let compared = std::panic::catch_unwind(|| {
            insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
                insta::assert_snapshot!(name.as_str(), shown);
            });
        });
        if compared.is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "snapshots that differ: {wrong:?}");
}
