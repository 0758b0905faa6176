"""OpenAI's SDK, responses, through upstreams of every dialect."""

import json

from conftest import (
    City,
    IMAGE_URL,
    PARIS,
    PICTURE,
    PIXEL,
    STREAMED,
    SUM,
    TIME_SCHEMA,
    TOOL_ANSWER,
    WEATHER_SCHEMA,
    WHOLE,
    WHOLE_USAGE,
)
import pytest

QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
WEATHER = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA, "strict": True}
TIME = {"type": "function", "name": "get_time", "parameters": TIME_SCHEMA, "strict": True}


def test_a_plain_response_is_answered(oai, upstream, model):
    response = oai.responses.create(model=model, input="Hello!", instructions="You are terse.")
    assert response.status == "completed"
    assert response.output_text == WHOLE[upstream]
    assert (response.usage.input_tokens, response.usage.output_tokens) == WHOLE_USAGE[upstream]


def test_a_streamed_response_has_its_events_in_order(oai, model):
    events = list(oai.responses.create(model=model, input="Hello!", stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    for kind in ["output_item.added", "content_part.added", "output_text.done", "content_part.done", "output_item.done"]:
        assert kinds.count(f"response.{kind}") == 1, kind
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == STREAMED
    assert events[-1].response.output_text == STREAMED


def test_the_stream_helper_gives_the_final_response(oai, model):
    with oai.responses.stream(model=model, input="Hello!") as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    assert response.output_text == STREAMED
    assert response.usage.total_tokens > 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_function_is_called_answered_and_the_answer_said(oai, model, streamed):
    history = [QUESTION]
    if streamed:
        with oai.responses.stream(model=model, input=history, tools=[WEATHER]) as stream:
            for _ in stream:
                pass
            first = stream.get_final_response()
    else:
        first = oai.responses.create(model=model, input=history, tools=[WEATHER])
    [call] = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris"}

    history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "21 °C, sunny"})
    second = oai.responses.create(model=model, input=history, tools=[WEATHER])
    assert second.output_text == TOOL_ANSWER


def test_parallel_calls_keep_their_ids_names_and_arguments(oai, model):
    response = oai.responses.create(model=model, input=[QUESTION], tools=[WEATHER, TIME])
    calls = [item for item in response.output if item.type == "function_call"]
    arguments = {call.name: json.loads(call.arguments) for call in calls}
    assert arguments == {"get_weather": {"city": "Paris"}, "get_time": {"zone": "Europe/Paris"}}
    assert len({call.call_id for call in calls}) == 2


def test_images_are_seen(oai, model):
    for url in [f"data:image/png;base64,{PIXEL}", IMAGE_URL]:
        content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": url}]
        response = oai.responses.create(model=model, input=[{"role": "user", "content": content}])
        assert response.output_text == PICTURE, url


def test_a_json_schema_is_parsed_into_its_class(oai, model):
    response = oai.responses.parse(model=model, input="Paris, as JSON", text_format=City)
    assert response.output_parsed == PARIS


@pytest.mark.parametrize("model", ["via-responses-reasoning", "via-messages", "via-gemini"])
def test_thoughts_become_a_reasoning_item(oai, model):
    response = oai.responses.create(
        model=model, input="27 * 453?", reasoning={"effort": "medium", "summary": "auto"}, max_output_tokens=9000
    )
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert "27 * 450 is 12150" in response.output[0].summary[0].text
    assert response.output_text == SUM


def test_instructions_reach_the_upstream(oai, model, seen):
    oai.responses.create(model=model, input="Hello!", instructions="Only rule.")
    assert json.dumps(seen.last()["body"]).count("Only rule.") == 1
