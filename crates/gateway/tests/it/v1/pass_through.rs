//! Every other path under an OpenAI mount: it reaches the default OpenAI account as it came, and its answer comes back so.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use waypost_testkit::{Client, Request, Script, Upstream};

use super::{CHAT, COMPLETION, EMBEDDING, openai, openai_error, refused};
use crate::harness::{Gateway, KEY, channel};

const FORM: &str = "multipart/form-data; boundary=----x7Qb";
/// As the SDKs write it, but with the model behind the file and bytes that are no text.
const UPLOAD: &[u8] = b"------x7Qb\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r\xc3\xa9sum\xc3\xa9.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\x00\xff\xfe\r\n------x7\r\n\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------x7Qb--\r\n";
const JOB: &str = r#"{"object":"fine_tuning.job","id":"ftjob-1","model":"gpt-4o-mini","status":"queued"}"#;

async fn through(script: Script) -> (Upstream, Gateway) {
    let upstream = Upstream::always(script).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "['*']")).await;
    (upstream, gateway)
}

/// Everything 000-R1 lists that has no endpoint of its own: method, path and query, content type, body.
fn relayed() -> Vec<(&'static str, &'static str, &'static str, &'static [u8])> {
    const JSON: &str = "application/json";
    vec![
        ("POST", "moderations", JSON, br#"{"model":"omni-moderation-latest","input":"I like you"}"#),
        ("POST", "images/generations", JSON, br#"{"model":"dall-e-3","prompt":"an otter","x_foo":1}"#),
        ("POST", "images/edits", FORM, UPLOAD),
        ("POST", "audio/speech", JSON, br#"{"model":"tts-1","input":"Hi","voice":"alloy"}"#),
        ("POST", "audio/transcriptions", FORM, UPLOAD),
        ("POST", "audio/translations", FORM, UPLOAD),
        ("GET", "files?purpose=batch&limit=2", "", b""),
        ("POST", "files", FORM, UPLOAD),
        ("GET", "files/file-1", "", b""),
        ("DELETE", "files/file-1", "", b""),
        ("GET", "files/file-1/content", "", b""),
        (
            "POST",
            "fine_tuning/jobs",
            JSON,
            br#"{"model":"gpt-4o-mini","training_file":"file-1","seed":9007199254740993}"#,
        ),
        ("GET", "fine_tuning/jobs/ftjob-1", "", b""),
        ("POST", "fine_tuning/jobs/ftjob-1/cancel", "", b""),
        ("POST", "fine_tuning/jobs/ftjob-1/cancel", JSON, b""),
        ("GET", "fine_tuning/jobs/ftjob-1/events?after=ftevent-9", "", b""),
        (
            "POST",
            "batches",
            JSON,
            br#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}"#,
        ),
        ("GET", "batches/batch_1", "", b""),
        ("POST", "batches/batch_1/cancel", "", b""),
        ("POST", "assistants", JSON, br#"{"model":"gpt-4o","name":"A"}"#),
        ("GET", "assistants/asst_1", "", b""),
        ("GET", "chat/completions?limit=1", "", b""),
        ("GET", "responses/resp_1?include[]=a", "", b""),
        ("DELETE", "models/ft:gpt-4o-mini:acme::7p4l", "", b""),
        ("PUT", "not/invented/yet", "application/octet-stream", b"\x00\x01\xff"),
        ("BREW", "tea", "", b""),
    ]
}

fn request(method: &str, mount: &str, rest: &str, kind: &str, body: &'static [u8]) -> Request {
    let request = Request::new(method, &format!("{mount}/{rest}")).bearer(KEY).body(body);
    if kind.is_empty() { request } else { request.header("content-type", kind) }
}

#[tokio::test]
async fn every_openai_endpoint_answers_and_none_is_404_000_06() {
    let (_upstream, gateway) = openai().await;
    for (path, body) in [("chat/completions", CHAT), ("completions", COMPLETION), ("embeddings", EMBEDDING)] {
        assert_eq!(gateway.post(&format!("/v1/{path}"), body).await.status, 200, "{path}");
    }
    assert_eq!(gateway.get("/v1/models").await.status, 200);
    assert_eq!(gateway.get("/v1/models/gpt-4o").await.status, 200);

    let (upstream, gateway) = through(Script::reply(200, JOB)).await;
    for mount in ["/v1", "/v1/openai", "/proxy/v1"] {
        for (method, rest, kind, body) in relayed() {
            let answer = request(method, mount, rest, kind, body).send(gateway.url()).await;

            assert_eq!((answer.status, answer.text()), (200, JOB), "{method} {mount}/{rest}");
            let seen = upstream.last();
            assert_eq!((&*seen.method, &*seen.path_and_query), (method, &*format!("/v1/{rest}")));
            assert_eq!(seen.body, body, "{method} {rest}");
            assert_eq!(seen.header("content-type").unwrap_or_default(), kind, "{method} {rest}");
            assert_eq!(seen.header("authorization"), Some("Bearer sk-main"));
        }
    }
}

#[tokio::test]
async fn a_form_that_can_be_read_in_two_ways_goes_nowhere() {
    let (upstream, gateway) = through(Script::reply(200, JOB)).await;
    let form = |boundary: &str, model: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--{boundary}--\r\n")
    };
    let body = format!("{}{}", form("A", "cheap"), form("B", "dear"));
    let ask = |kinds: &[&str]| {
        let request = Request::new("POST", "/v1/images/edits").bearer(KEY).body(body.clone());
        kinds.iter().fold(request, |request, kind| request.header("content-type", kind))
    };
    for kinds in [
        &["multipart/form-data; boundary=A", "multipart/form-data; boundary=B"][..],
        &["multipart/form-data; boundary=A; boundary*=utf-8''B"],
    ] {
        let answer = ask(kinds).send(gateway.url()).await;
        assert_eq!((answer.status, upstream.hits()), (400, 0), "{kinds:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_upstreams_status_and_bytes_come_back_as_they_are() {
    let binary = b"\x00\x01\xfe\xff\r\n\r\nPK";
    let script = Script::reply(200, &binary[..])
        .header("content-type", "application/octet-stream")
        .header("content-disposition", "attachment; filename=\"a.bin\"")
        .header("set-cookie", "s=1")
        .header("x-internal", "1");
    let (_upstream, gateway) = through(script).await;
    let answer = gateway.get("/v1/files/file-1/content").await;
    assert_eq!(answer.body, &binary[..]);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"a.bin\""));
    assert_eq!((answer.header("set-cookie"), answer.header("x-internal")), (None, None));
    assert_eq!(
        (answer.header("x-waypost-attempts"), answer.header("x-waypost-cost-basis")),
        (Some("1"), Some("estimated"))
    );

    for status in [201, 202, 206] {
        let (_upstream, gateway) = through(Script::reply(status, JOB)).await;
        assert_eq!(gateway.get("/v1/batches/batch_1").await.status, status);
    }
    // Asked for plain bytes, some send others: unread, they must keep their label.
    let packed = Script::reply(200, &b"\x1f\x8b\x08"[..]).header("content-encoding", "gzip");
    let (upstream, gateway) = through(packed).await;
    assert_eq!(gateway.get("/v1/files/file-1/content").await.header("content-encoding"), Some("gzip"));
    assert_eq!(upstream.last().header("accept-encoding"), Some("identity"));

    let (_upstream, gateway) = through(Script::reply(204, "")).await;
    let answer = Request::new("DELETE", "/v1/files/file-1").bearer(KEY).send(gateway.url()).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
}

#[tokio::test]
async fn a_conditional_request_is_answered_with_not_modified() {
    let upstream = Upstream::by(|request| {
        assert_eq!((request.header("if-none-match"), request.header("range")), (Some("\"v1\""), Some("bytes=0-9")));
        Script::reply(304, "").header("etag", "\"v1\"")
    })
    .await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "['*']")).await;
    let request = Request::get("/v1/files/file-1/content").bearer(KEY).header("if-none-match", "\"v1\"");
    let answer = request.header("range", "bytes=0-9").send(gateway.url()).await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"v1\"")));
}

#[tokio::test]
async fn the_upstreams_own_404_and_409_are_passed_on_in_our_shape() {
    let missing = r#"{"error":{"message":"No such File object: file-nope","type":"invalid_request_error","param":"id","code":null}}"#;
    let (_upstream, gateway) = through(Script::reply(404, missing)).await;
    let error = openai_error(&gateway.get("/v1/files/file-nope").await, 404);
    assert_eq!(
        (error["message"].as_str(), error["param"].as_str()),
        (Some("No such File object: file-nope"), Some("id"))
    );

    let done = r#"{"error":{"message":"Cannot cancel a batch with status 'completed'.","type":"invalid_request_error","param":null,"code":null}}"#;
    let (upstream, gateway) = through(Script::reply(409, done)).await;
    let answer = Request::new("POST", "/v1/batches/batch_1/cancel").bearer(KEY).send(gateway.url()).await;
    assert!(openai_error(&answer, 409)["message"].as_str().unwrap().starts_with("Cannot cancel"));
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn an_empty_body_is_refused_before_any_upstream_hit_000_13() {
    let (upstream, gateway) = through(Script::reply(200, JOB)).await;
    for (rest, param) in [
        ("moderations", "input"),
        ("images/generations", "prompt"),
        ("images/edits", "prompt"),
        ("audio/speech", "model"),
        ("fine_tuning/jobs", "model"),
        ("batches", "input_file_id"),
        ("uploads", "filename"),
    ] {
        let path = format!("/v1/{rest}");
        refused(&gateway, &upstream, &path, &[("{}", param), ("", ""), ("[]", "body"), ("{", "")]).await;
    }
    for (rest, param) in [
        ("files", "file"),
        ("audio/transcriptions", "file"),
        ("audio/translations", "file"),
        ("images/variations", "image"),
    ] {
        let path = format!("/v1/{rest}");
        refused(&gateway, &upstream, &path, &[("{}", param), ("", param)]).await;
        for body in [
            &b""[..],
            b"------x7Qb--\r\n",
            b"------x7Qb\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n------x7Qb--\r\n",
        ] {
            let answer = request("POST", "/v1", rest, FORM, body).send(gateway.url()).await;
            assert_eq!(openai_error(&answer, 400)["param"], param, "{rest} {:?}", String::from_utf8_lossy(body));
        }
        let nothing = Request::new("POST", &path).bearer(KEY).send(gateway.url()).await;
        assert_eq!(openai_error(&nothing, 400)["param"], param);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn mistyped_fields_are_refused_by_name_000_13() {
    let (upstream, gateway) = through(Script::reply(200, JOB)).await;
    for (rest, body, param) in [
        ("moderations", r#"{"input":7}"#, "input"),
        ("moderations", r#"{"input":"a","model":7}"#, "model"),
        ("images/generations", r#"{"prompt":["a"]}"#, "prompt"),
        ("images/generations", r#"{"prompt":"a","model":{}}"#, "model"),
        ("audio/speech", r#"{"model":"tts-1","input":"a"}"#, "voice"),
        ("audio/speech", r#"{"model":"tts-1","input":1,"voice":"alloy"}"#, "input"),
        ("fine_tuning/jobs", r#"{"model":"gpt-4o"}"#, "training_file"),
        ("batches", r#"{"input_file_id":"f","endpoint":"/v1/chat/completions"}"#, "completion_window"),
        ("moderations", r#"{"input":"a","model":"m","model":"n"}"#, "model"),
    ] {
        refused(&gateway, &upstream, &format!("/v1/{rest}"), &[(body, param)]).await;
    }
}

#[tokio::test]
async fn the_model_of_a_form_is_mapped_inside_it_wherever_it_stands() {
    let upstream = Upstream::always(Script::reply(200, r#"{"text":"hi"}"#)).await;
    let channels = [
        channel("main", "openai", &upstream.url(), "[gpt-4o]"),
        channel("ears", "openai", &upstream.url(), "[{name: whisper-1, upstream: whisper-large-v3-turbo}]"),
    ]
    .concat();
    let gateway = Gateway::with_channels(&channels).await;

    let answer = request("POST", "/v1", "audio/transcriptions", FORM, UPLOAD).send(gateway.url()).await;

    assert_eq!((answer.status, answer.text()), (200, r#"{"text":"hi"}"#));
    assert_eq!(answer.header("x-waypost-deployment"), Some("ears/whisper-1"));
    let seen = upstream.last();
    let at = UPLOAD.windows(9).position(|window| window == b"whisper-1").unwrap();
    let expected = [&UPLOAD[..at], b"whisper-large-v3-turbo", &UPLOAD[at + 9..]].concat();
    assert_eq!(seen.body, expected);
    assert_eq!((seen.header("content-type"), seen.header("authorization")), (Some(FORM), Some("Bearer sk-ears")));

    let unknown: &[u8] = b"------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nnope\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n------x7Qb--\r\n";
    let answer = request("POST", "/v1", "audio/transcriptions", FORM, unknown).send(gateway.url()).await;
    assert_eq!(openai_error(&answer, 404)["code"], "model_not_found");
    assert_eq!(upstream.hits(), 1);
}

/// The second half is sent only when the upstream has the first: a gateway that buffers would wait for ever.
#[tokio::test]
async fn uploads_are_streamed_and_not_buffered() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let gateway = Gateway::with_channels(&channel("main", "openai", &url, "['*']")).await;
    let first: &[u8] = b"------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nFIRST HALF";
    let second: &[u8] = b"SECOND HALF\r\n------x7Qb--\r\n";
    let length = first.len() + second.len();
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: {FORM}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut client = Client::connect(gateway.url()).await;
    client.write(&[head.as_bytes(), first].concat()).await.unwrap();

    let (mut socket, _) = upstream.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"FIRST HALF") {
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
    }
    client.write(second).await.unwrap();
    while !seen.ends_with(b"------x7Qb--\r\n") {
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
    }
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"text\":\"hi\"}")
        .await
        .unwrap();

    assert_eq!(client.answer().await.unwrap().text(), r#"{"text":"hi"}"#);
    let seen = String::from_utf8(seen).unwrap().to_ascii_lowercase();
    assert!(seen.contains(&format!("content-length: {length}\r\n")), "{seen}");
}

/// A form in two pieces, of which the second is written when the upstream has the first.
async fn in_two(first: &str, second: &str) -> (Vec<u8>, Gateway, waypost_testkit::Answer) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let gateway = Gateway::with_channels(&channel("main", "openai", &url, "['*']")).await;
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n\r\n",
        first.len() + second.len()
    );
    let mut client = Client::connect(gateway.url()).await;
    client.write(format!("{head}{first}").as_bytes()).await.unwrap();
    let (mut socket, _) = upstream.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(&first.as_bytes()[first.len() - 10..]) {
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
    }
    client.write(second.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    while socket.read_buf(&mut seen).await.unwrap_or(0) != 0 {}
    (seen, gateway, answer)
}

#[tokio::test]
async fn a_second_model_behind_the_first_never_reaches_the_upstream() {
    let model = |name: &str| format!("------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{name}\r\n");
    let file = "------x7Qb\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nFIRST HALF";
    let dear = model("gpt-4o-transcribe");
    // Only both pieces together tell what its part is.
    let head = dear.find("\r\n\r\n").unwrap() + 4;
    for cut in [0, 7, 20, head - 1] {
        let (early, late) = dear.split_at(cut);
        let first = format!("{}{file}\r\n{early}", model("whisper-1"));
        let (seen, mut gateway, answer) = in_two(&first, &format!("{late}------x7Qb--\r\n")).await;
        let error = openai_error(&answer, 400);
        assert_eq!(error["param"], "model", "{cut}");
        assert!(error["message"].as_str().unwrap().contains("twice"), "{error}");
        let seen = String::from_utf8_lossy(&seen);
        assert!(!seen.contains("gpt-4o-transcribe\r\n------x7Qb--"), "{cut}: {seen}");
        assert_eq!(gateway.record().await.error.map(|kind| kind.row().status), Some(400));
    }
}

#[tokio::test]
async fn a_second_model_in_what_is_here_already_costs_no_upstream_call() {
    let (upstream, gateway) = through(Script::reply(200, JOB)).await;
    let twice: &[u8] = b"------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndear\r\n------x7Qb--\r\n";
    for rest in ["audio/transcriptions", "images/edits", "files", "unheard/of"] {
        let answer = request("POST", "/v1", rest, FORM, twice).send(gateway.url()).await;
        assert_eq!(openai_error(&answer, 400)["param"], "model", "{rest}");
    }
    let answer =
        request("POST", "/v1", "files", "multipart/form-data; boundary=\"a;b\"", twice).send(gateway.url()).await;
    assert!(openai_error(&answer, 400)["message"].as_str().unwrap().contains("boundary"));
    assert_eq!(upstream.hits(), 0);
}

/// SDKs write a form in the order of the caller's fields, which may well end with the model.
#[tokio::test]
async fn the_model_of_a_recording_is_found_behind_megabytes_of_it() {
    let upstream = Upstream::always(Script::reply(200, r#"{"text":"hi"}"#)).await;
    let channels = [
        channel("main", "openai", &upstream.url(), "[gpt-4o]"),
        channel("ears", "openai", &upstream.url(), "[whisper-1]"),
    ]
    .concat();
    let gateway = Gateway::with_channels(&channels).await;
    let form = |fill: usize| {
        let file = "------x7Qb\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let model =
            "\r\n------x7Qb\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------x7Qb--\r\n";
        format!("{file}{}{model}", "\r\n--".repeat(fill / 4))
    };
    let post = async |path: &str| {
        let request = Request::new("POST", path).bearer(KEY).header("content-type", FORM);
        request.body(form(3 << 20)).send(gateway.url()).await
    };
    let (heard, other) = (post("/v1/audio/transcriptions").await, post("/v1/unheard/of").await);
    assert_eq!((heard.status, heard.header("x-waypost-deployment")), (200, Some("ears/whisper-1")));
    // Where nothing says that there is a model, it is waited for only so long; then it must not come.
    let error = openai_error(&other, 400);
    assert_eq!(error["param"], "model");
    assert!(error["message"].as_str().unwrap().contains("too late"), "{error}");
}

#[tokio::test]
async fn the_default_channel_takes_what_names_no_model() {
    let (first, second) = (Upstream::start(vec![]).await, Upstream::always(Script::reply(200, JOB)).await);
    let channels = [
        channel("first", "openai", &first.url(), "[gpt-4o]"),
        channel("second", "openai", &second.url(), "[gpt-4o]").replace("name: second,", "name: second, default: true,"),
    ]
    .concat();
    let gateway = Gateway::with_channels(&channels).await;
    assert_eq!(gateway.get("/v1/files").await.text(), JOB);

    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &first.url(), "[claude-sonnet-4-5]")).await;
    assert_eq!(openai_error(&gateway.get("/v1/files").await, 503)["type"], "server_error");
    assert_eq!((first.hits(), second.hits()), (0, 1));
}
