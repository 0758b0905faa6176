"""OpenAI's SDK: embeddings, legacy completions and the list of models."""

import openai
import pytest


def test_embeddings_arrive_as_floats_by_the_sdk_s_own_choice_of_base64(oai, seen):
    answer = oai.embeddings.create(model="text-embedding-3-small", input="hello")
    assert answer.data[0].embedding == [1.0, -0.5, 0.25, 0.0]
    assert answer.usage.prompt_tokens == 5
    assert seen.last()["body"]["encoding_format"] == "base64"


def test_embeddings_of_a_list_keep_their_order_and_digits(oai):
    answer = oai.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.data[0].embedding[0] == -0.006929283495992422


def test_a_legacy_completion_is_answered(oai):
    answer = oai.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say this is a test", max_tokens=7)
    assert answer.choices[0].text == "\n\nThis is indeed a test"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.total_tokens == 12


def test_a_legacy_completion_is_streamed_without_usage_nobody_asked_for(oai):
    chunks = list(oai.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say", stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "\n\nThis is indeed a test"


def test_models_are_listed_and_retrieved_by_the_names_callers_use(oai):
    names = {model.id for model in oai.models.list()}
    assert {"via-chat", "via-responses", "via-messages", "via-gemini", "text-embedding-3-small"} <= names
    model = oai.models.retrieve("via-messages")
    assert (model.id, model.object) == ("via-messages", "model")
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("no-such-model")


def test_models_are_listed_for_anthropic_s_sdk_as_well(ant):
    names = {model.id for model in ant.models.list()}
    assert {"via-chat", "via-messages"} <= names
