//! What models are called at one account: the channel's own rules and rules with a `*`, seen in what is sent.

use serde_json::Value;
use waypost_testkit::{Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

async fn sent_model(upstream: &Upstream, gateway: &Gateway, model: &str) -> Value {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
    let answer = gateway.post("/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    if sent["model"] != model {
        assert_eq!(answer.json()["model"], model, "what was renamed is renamed back");
    }
    sent["model"].clone()
}

#[tokio::test]
async fn a_channels_rules_come_before_its_providers_and_the_global_ones() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = Gateway::start(&format!(
        "keys: [{{name: test, key: {KEY}}}]\n\
         model_mappings: {{global: {{gpt-4: global, o3: global, 'gpt-*': 'vendor/gpt-*'}}, providers: {{openai: {{gpt-4: provider, o3: provider}}}}}}\n\
         channels: [{{name: a, provider: openai, base_url: '{}', api_key: k, models: [gpt-4, o3, gpt-4.1, {{name: own, upstream: theirs}}, plain], model_mapping: {{gpt-4: channel, own: never}}}}]\n",
        upstream.url()
    ))
    .await;
    for (model, upstream_name) in
        [("gpt-4", "channel"), ("o3", "provider"), ("gpt-4.1", "vendor/gpt-4.1"), ("own", "theirs"), ("plain", "plain")]
    {
        assert_eq!(sent_model(&upstream, &gateway, model).await, upstream_name, "{model}");
    }
}
