"""OpenAI's SDK, chat completions, through upstreams of every dialect."""

import json

import openai
import pytest
from conftest import (
    City,
    IMAGE_URL,
    PARIS,
    PICTURE,
    PIXEL,
    STREAMED,
    STREAMED_USAGE,
    SUM,
    TIME_SCHEMA,
    TOOL_ANSWER,
    WEATHER_SCHEMA,
    WHOLE,
    WHOLE_USAGE,
)

HELLO = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Hello!"}]
QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER_SCHEMA}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": TIME_SCHEMA}}


def test_a_plain_chat_is_answered_001_12(oai, upstream, model):
    completion = oai.chat.completions.create(model=model, messages=HELLO)
    assert completion.object == "chat.completion"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == WHOLE[upstream]
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == WHOLE_USAGE[upstream]
    assert usage.total_tokens == sum(WHOLE_USAGE[upstream])


def test_a_streamed_chat_says_the_same_text_and_no_usage_nobody_asked_for(oai, model):
    chunks = list(oai.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == STREAMED
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1


def test_usage_asked_for_comes_in_a_last_chunk_without_choices(oai, upstream, model):
    options = {"include_usage": True}
    chunks = list(oai.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    assert all(chunk.usage is None for chunk in chunks[:-1])
    last = chunks[-1]
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == STREAMED_USAGE[upstream]


def test_a_tool_is_called_answered_and_the_answer_said(oai, model):
    messages = [QUESTION]
    first = oai.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}

    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "21 °C, sunny"}]
    second = oai.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == TOOL_ANSWER
    assert second.choices[0].finish_reason == "stop"


def test_parallel_calls_keep_their_ids_names_and_arguments(oai, model):
    messages = [QUESTION]
    tools = [WEATHER, TIME]
    message = oai.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
    calls = {call.function.name: json.loads(call.function.arguments) for call in message.tool_calls}
    assert calls == {"get_weather": {"city": "Paris"}, "get_time": {"zone": "Europe/Paris"}}
    assert len({call.id for call in message.tool_calls}) == 2

    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
    answer = oai.chat.completions.create(model=model, messages=[*messages, message, *results], tools=tools)
    assert answer.choices[0].message.content == TOOL_ANSWER


def test_streamed_parallel_calls_add_up_by_index(oai, model):
    with oai.chat.completions.stream(model=model, messages=[QUESTION], tools=[WEATHER, TIME]) as stream:
        completion = stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}, {"zone": "Europe/Paris"}]
    assert completion.choices[0].finish_reason == "tool_calls"


def test_a_named_tool_choice_reaches_the_upstream(oai, model):
    choice = {"type": "function", "function": {"name": "get_weather"}}
    completion = oai.chat.completions.create(
        model=model, messages=[QUESTION], tools=[WEATHER, TIME], tool_choice=choice
    )
    assert [call.function.name for call in completion.choices[0].message.tool_calls] == ["get_weather"]


def test_an_inline_image_is_seen(oai, model):
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    completion = oai.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    assert completion.choices[0].message.content == PICTURE


@pytest.mark.parametrize("model", ["via-chat", "via-responses", "via-messages"])
def test_an_image_by_address_is_seen(oai, model):
    image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
    content = [{"type": "text", "text": "What is this?"}, image]
    completion = oai.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    assert completion.choices[0].message.content == PICTURE


def test_an_image_by_address_is_refused_where_the_upstream_could_not_fetch_it(oai, seen):
    content = [{"type": "image_url", "image_url": {"url": IMAGE_URL}}]
    with pytest.raises(openai.BadRequestError) as refused:
        oai.chat.completions.create(model="via-gemini", messages=[{"role": "user", "content": content}])
    assert "image_url" in refused.value.param
    assert seen.requests() == []


def test_a_json_schema_is_parsed_into_its_class(oai, model):
    messages = [{"role": "user", "content": "Paris, as JSON"}]
    completion = oai.chat.completions.parse(model=model, messages=messages, response_format=City)
    assert completion.choices[0].message.parsed == PARIS


@pytest.mark.parametrize("upstream", ["responses", "messages", "gemini"])
def test_reasoning_effort_makes_the_upstream_think_and_thoughts_are_counted(oai, upstream, seen):
    model = "via-responses-reasoning" if upstream == "responses" else f"via-{upstream}"
    messages = [{"role": "user", "content": "27 * 453?"}]
    completion = oai.chat.completions.create(
        model=model, messages=messages, reasoning_effort="medium", max_completion_tokens=9000
    )
    assert completion.choices[0].message.content == SUM
    body = seen.last()["body"]
    asked = {"responses": "reasoning", "messages": "thinking", "gemini": "generationConfig"}[upstream]
    assert asked in body
    if upstream == "gemini":
        assert completion.usage.completion_tokens_details.reasoning_tokens == 87
    if upstream == "responses":
        assert completion.usage.completion_tokens_details.reasoning_tokens == 128


@pytest.mark.parametrize("model", ["via-messages", "via-gemini-3"])
def test_signed_reasoning_returns_to_the_upstream_in_a_tool_loop_of_a_plain_client(oai, model, seen):
    messages = [QUESTION]
    limit = {"reasoning_effort": "medium", "max_completion_tokens": 9000, "tools": [WEATHER]}
    message = oai.chat.completions.create(model=model, messages=messages, **limit).choices[0].message
    [call] = message.tool_calls
    # A plain client keeps what it knows, and signatures are not among it.
    kept = {
        "role": "assistant",
        "content": message.content,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
        ],
    }
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 °C, sunny"}
    answer = oai.chat.completions.create(model=model, messages=[*messages, kept, result], **limit)
    assert answer.choices[0].message.content == TOOL_ANSWER
    body = json.dumps(seen.last()["body"])
    assert '"signature"' in body or '"thoughtSignature"' in body
    assert "skip_thought_signature_validator" not in body


def test_every_instruction_reaches_the_upstream_once(oai, model, seen):
    messages = [
        {"role": "system", "content": "First rule."},
        {"role": "developer", "content": "Second rule."},
        {"role": "user", "content": "Hello!"},
    ]
    oai.chat.completions.create(model=model, messages=messages)
    body = json.dumps(seen.last()["body"])
    assert body.count("First rule.") == body.count("Second rule.") == 1


def test_answers_say_where_they_came_from(oai, upstream, model):
    answer = oai.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    assert answer.headers["x-request-id"]
    assert upstream in answer.headers["x-waypost-deployment"]
