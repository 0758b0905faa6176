"""Set-up mode: no config, no provider key. What the README shows is run as it stands."""

import pathlib
import re
import subprocess
import sys

import openai
import pytest
from conftest import SIMULATOR_URL

README = pathlib.Path(__file__).parents[2] / "README.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_has_a_snippet_for_each_sdk():
    text = "\n".join(snippets())
    assert "from openai import" in text
    assert "from anthropic import" in text


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: snippet.split()[1])
def test_a_snippet_of_the_readme_prints_an_answer(snippet):
    code = snippet.replace("http://localhost:3000", SIMULATOR_URL)
    assert code != snippet
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.fixture(scope="module")
def simulator() -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{SIMULATOR_URL}/v1", api_key="wp-simulator", max_retries=0)


def test_simulated_models_are_listed(simulator):
    names = {model.id for model in simulator.models.list()}
    assert {"sim/chat", "sim/fail-503", "sim/slow", "sim/cut"} <= names


def test_a_simulated_chat_counts_its_tokens(simulator):
    completion = simulator.chat.completions.create(model="sim/chat", messages=[{"role": "user", "content": "Hello!"}])
    assert completion.choices[0].message.content
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.completion_tokens > 0


def test_a_simulated_outage_is_an_internal_server_error(simulator):
    with pytest.raises(openai.InternalServerError):
        simulator.chat.completions.create(model="sim/fail-503", messages=[{"role": "user", "content": "Hello!"}])


def test_a_simulated_cut_is_an_error_in_the_stream(simulator):
    with pytest.raises(openai.APIError):
        for _ in simulator.chat.completions.create(
            model="sim/cut", messages=[{"role": "user", "content": "Hello!"}], stream=True
        ):
            pass
