"""Anthropic's SDK through upstreams of every dialect."""

import anthropic
import pytest
from conftest import (
    IMAGE_URL,
    KEY,
    PARIS,
    PICTURE,
    PIXEL,
    STREAMED,
    SUM,
    TIME_SCHEMA,
    TOOL_ANSWER,
    UPSTREAMS,
    URL,
    WEATHER_SCHEMA,
    WHOLE,
    City,
)

HELLO = [{"role": "user", "content": "Hello!"}]
QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
WEATHER = {"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER_SCHEMA}
TIME = {"name": "get_time", "description": "Time in a zone", "input_schema": TIME_SCHEMA}

#: Anthropic counts what the cache gave apart from the input.
USAGE = {"chat": (19, 10), "responses": (19, 9), "messages": (12, 12), "gemini": (8, 45)}


def said(message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls(message) -> list:
    return [block for block in message.content if block.type == "tool_use"]


def test_a_plain_message_is_answered(ant, upstream, model):
    message = ant.messages.create(model=model, max_tokens=500, messages=HELLO)
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert said(message) == WHOLE[upstream]
    assert (message.usage.input_tokens, message.usage.output_tokens) == USAGE[upstream]


def test_the_stream_helper_gives_the_text_and_the_final_message(ant, model):
    with ant.messages.stream(model=model, max_tokens=500, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == STREAMED
    assert said(final) == STREAMED
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


def test_streamed_blocks_open_and_close_one_at_a_time(ant, model):
    open_block = None
    kinds = []
    for event in ant.messages.create(model=model, max_tokens=500, messages=[QUESTION], tools=[WEATHER, TIME], stream=True):
        kinds.append(event.type)
        if event.type == "content_block_start":
            assert open_block is None
            open_block = event.index
        if event.type == "content_block_delta":
            assert event.index == open_block
        if event.type == "content_block_stop":
            assert event.index == open_block
            open_block = None
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_answered_and_the_answer_said(ant, model, streamed):
    messages = [QUESTION]
    if streamed:
        with ant.messages.stream(model=model, max_tokens=500, messages=messages, tools=[WEATHER]) as stream:
            first = stream.get_final_message()
    else:
        first = ant.messages.create(model=model, max_tokens=500, messages=messages, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    [call] = calls(first)
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 °C, sunny"}
    content = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in first.content]
    messages += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(model=model, max_tokens=500, messages=messages, tools=[WEATHER])
    assert said(second) == TOOL_ANSWER


def test_parallel_calls_are_answered_in_one_turn(ant, model):
    first = ant.messages.create(model=model, max_tokens=500, messages=[QUESTION], tools=[WEATHER, TIME])
    found = calls(first)
    assert {call.name: call.input for call in found} == {
        "get_weather": {"city": "Paris"},
        "get_time": {"zone": "Europe/Paris"},
    }
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "fine"} for call in found]
    content = [block.model_dump(exclude_none=True) for block in first.content]
    messages = [QUESTION, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    second = ant.messages.create(model=model, max_tokens=500, messages=messages, tools=[WEATHER, TIME])
    assert said(second) == TOOL_ANSWER


def test_one_call_at_a_time_is_kept(ant, model):
    if model == "via-gemini":
        pytest.skip("Gemini cannot be told; the loss is reported instead")
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = ant.messages.create(
        model=model, max_tokens=500, messages=[QUESTION], tools=[WEATHER, TIME], tool_choice=choice
    )
    assert [call.name for call in calls(message)] == ["get_weather"]


def test_images_are_seen(ant, model):
    inline = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    for source in [inline, {"type": "url", "url": IMAGE_URL}]:
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
        message = ant.messages.create(model=model, max_tokens=500, messages=[{"role": "user", "content": content}])
        assert said(message) == PICTURE, source["type"]


def test_a_schema_is_parsed_into_its_class(ant, model):
    message = ant.messages.parse(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "Paris, as JSON"}], output_format=City
    )
    assert message.parsed_output == PARIS


def test_system_blocks_reach_the_upstream_once(ant, model, seen):
    system = [{"type": "text", "text": "First rule."}, {"type": "text", "text": "Second rule."}]
    ant.messages.create(model=model, max_tokens=500, system=system, messages=HELLO)
    body = str(seen.last()["body"])
    assert body.count("First rule.") == body.count("Second rule.") == 1


THINKING = {"type": "enabled", "budget_tokens": 2000}


@pytest.mark.parametrize("model", ["via-messages", "via-gemini", "via-responses-reasoning"])
def test_thoughts_come_before_the_text(ant, model):
    message = ant.messages.create(
        model=model,
        max_tokens=9000,
        thinking=THINKING,
        messages=[{"role": "user", "content": "27 * 453?"}],
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert "12150" in message.content[0].thinking
    assert said(message) == SUM


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_signed_thought_returns_unchanged_in_a_tool_loop(ant, streamed, seen):
    asked = {"model": "via-messages", "max_tokens": 9000, "thinking": THINKING, "tools": [WEATHER]}
    if streamed:
        with ant.messages.stream(messages=[QUESTION], **asked) as stream:
            first = stream.get_final_message()
    else:
        first = ant.messages.create(messages=[QUESTION], **asked)
    thought, call = first.content
    assert thought.type == "thinking" and thought.signature
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 °C, sunny"}
    content = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in first.content]
    history = [QUESTION, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(messages=history, **asked)
    assert said(second) == TOOL_ANSWER
    assert seen.last()["body"]["messages"][1]["content"][0] == thought.model_dump()


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_tokens_are_counted_for_every_upstream(ant, upstream):
    counted = ant.messages.count_tokens(model=f"via-{upstream}", messages=HELLO)
    if upstream == "messages":
        assert counted.input_tokens == 14
    else:
        assert 1 <= counted.input_tokens <= 20


def test_the_key_is_taken_as_x_api_key_and_as_bearer():
    headers = {"bearer": {"Authorization": f"Bearer {KEY}"}, "x-api-key": {"x-api-key": KEY}}
    for name, header in headers.items():
        header = {"Authorization": anthropic.Omit(), **header} if name == "x-api-key" else header
        client = anthropic.Anthropic(base_url=URL, api_key="", max_retries=0, default_headers=header)
        message = client.messages.create(model="via-messages", max_tokens=500, messages=HELLO)
        assert said(message) == WHOLE["messages"], name


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_older_version_may_set_a_temperature(upstream, seen):
    client = anthropic.Anthropic(
        base_url=URL, api_key=KEY, max_retries=0, default_headers={"anthropic-version": "2023-06-01"}
    )
    client.messages.create(
        model=f"via-{upstream}", max_tokens=500, messages=HELLO, extra_body={"temperature": 0.5}
    )
    body = seen.last()["body"]
    assert body.get("temperature", body.get("generationConfig", {}).get("temperature")) == 0.5


def test_the_same_dialect_keeps_the_version_the_client_speaks(ant, seen):
    ant.messages.create(model="via-messages", max_tokens=500, messages=HELLO)
    assert seen.last()["headers"]["anthropic-version"] == "2026-10-21"
