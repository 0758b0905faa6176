"""Errors as the SDKs type them: whose fault it was decides the class, whatever dialect the upstream speaks."""

import anthropic
import openai
import pytest
from conftest import UPSTREAMS, URL


def hello(text: str = "Hello!") -> list[dict]:
    return [{"role": "user", "content": text}]


def fails(upstream: str, fault: str) -> dict:
    """A request that makes this upstream fail in this way, on a channel of its own."""
    marker = f"[fail {fault}]" if fault.isdigit() else f"[{fault}]"
    return {"model": f"via-{upstream}-fails-{fault}", "messages": hello(f"please {marker}")}


def test_a_wrong_key_is_an_authentication_error_for_both_sdks_000_16(seen):
    with pytest.raises(openai.AuthenticationError) as oai:
        client = openai.OpenAI(base_url=f"{URL}/v1", api_key="wp-wrong", max_retries=0)
        client.chat.completions.create(model="via-chat", messages=hello())
    assert oai.value.status_code == 401
    assert oai.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError):
        client = anthropic.Anthropic(base_url=URL, api_key="wp-wrong", max_retries=0)
        client.messages.create(model="via-messages", max_tokens=5, messages=hello())
    assert seen.requests() == []


def test_an_unknown_model_is_a_not_found_error_for_both_sdks(oai, ant, seen):
    with pytest.raises(openai.NotFoundError) as found:
        oai.chat.completions.create(model="no-such-model", messages=hello())
    assert found.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        oai.responses.create(model="no-such-model", input="Hello!")
    with pytest.raises(anthropic.NotFoundError) as found:
        ant.messages.create(model="no-such-model", max_tokens=5, messages=hello())
    assert found.value.body["error"]["type"] == "not_found_error"
    assert seen.requests() == []


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"messages": [{"role": "robot", "content": "Hello!"}]}, "messages[0].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_bad_field_is_named_and_nothing_reaches_the_upstream(oai, upstream, model, wrong, param, seen):
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(**{"model": model, "messages": hello(), "extra_body": wrong})
    assert refused.value.type == "invalid_request_error"
    assert refused.value.param == param
    assert seen.requests() == []


def test_a_bad_field_of_responses_is_named(oai, model, seen):
    with pytest.raises(openai.BadRequestError) as refused:
        oai.responses.create(model=model, input="Hello!", extra_body={"max_output_tokens": "many"})
    assert refused.value.param == "max_output_tokens"
    assert seen.requests() == []


def test_a_message_without_max_tokens_is_refused_in_anthropic_s_words(ant, model, seen):
    with pytest.raises(anthropic.BadRequestError) as refused:
        ant.post("/v1/messages", body={"model": model, "messages": hello()}, cast_to=object)
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert "max_tokens" in refused.value.body["error"]["message"]
    assert seen.requests() == []


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_upstream_s_refusal_is_the_caller_s_bad_request(oai, ant, upstream):
    asked = fails(upstream, "400")
    with pytest.raises(openai.BadRequestError):
        oai.chat.completions.create(**asked)
    with pytest.raises(anthropic.BadRequestError):
        ant.messages.create(max_tokens=500, **asked)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_upstream_s_rate_limit_is_a_rate_limit_with_a_time_to_wait(oai, upstream):
    with pytest.raises(openai.RateLimitError) as limited:
        oai.chat.completions.create(**fails(upstream, "429"))
    assert int(limited.value.response.headers["retry-after"]) > 0


@pytest.mark.parametrize("fault", ["500", "503"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_upstream_s_trouble_is_an_internal_server_error(oai, ant, upstream, fault):
    asked = fails(upstream, fault)
    with pytest.raises(openai.InternalServerError):
        oai.chat.completions.create(**asked)
    with pytest.raises(anthropic.InternalServerError):
        ant.messages.create(max_tokens=500, **asked)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_our_bad_key_at_the_upstream_is_never_shown_as_the_caller_s(oai, upstream):
    with pytest.raises(openai.InternalServerError) as trouble:
        oai.chat.completions.create(model=f"via-{upstream}-bad-key", messages=hello())
    assert "key-nope" not in str(trouble.value)


@pytest.mark.parametrize("fault", ["break", "cut"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_broken_stream_raises_in_the_middle_of_a_chat(oai, upstream, fault):
    heard = ""
    with pytest.raises(openai.APIError):
        for chunk in oai.chat.completions.create(stream=True, **fails(upstream, fault)):
            assert chunk.choices[0].finish_reason is None
            heard += chunk.choices[0].delta.content or ""
    assert heard.startswith("Hello")


@pytest.mark.parametrize("fault", ["break", "cut"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_broken_stream_raises_in_the_middle_of_a_message(ant, upstream, fault):
    kinds = []
    with pytest.raises(anthropic.APIError):
        for event in ant.messages.create(max_tokens=500, stream=True, **fails(upstream, fault)):
            kinds.append(event.type)
    assert "content_block_delta" in kinds
    assert "message_stop" not in kinds


@pytest.mark.parametrize("fault", ["break", "cut"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_broken_stream_of_responses_ends_failed(oai, upstream, fault):
    asked = fails(upstream, fault)
    kinds = []
    try:
        stream = oai.responses.create(model=asked["model"], input=asked["messages"], stream=True)
        kinds.extend(event.type for event in stream)
    except openai.APIError:
        kinds.append("error")
    assert kinds[-1] in ("response.failed", "error")
    assert "response.completed" not in kinds


