"""What every suite shares: clients of the live Waypost, its upstreams by dialect, and what reached them.

`cargo xtask sdk python` starts everything and sets the variables. Answers are recorded bytes of the mock provider
(`crates/testkit/src/provider.rs`), which refuses whatever the real provider would refuse.
"""

import json
import os
import pathlib

import anthropic
import openai
import pydantic
import pytest

URL = os.environ["WAYPOST_URL"]
KEY = os.environ["WAYPOST_KEY"]
SIMULATOR_URL = os.environ["WAYPOST_SIMULATOR_URL"]
RECORD = pathlib.Path(os.environ["WAYPOST_RECORD"])

#: The dialects an upstream can speak; `via-<name>` is a model on a channel that speaks only this one.
UPSTREAMS = ["chat", "responses", "messages", "gemini"]

STREAMED = "Hello! The café opens at 9 ☕."
WHOLE = {
    "chat": "Hello! How can I assist you today?",
    "responses": STREAMED,
    "messages": "Hello! How can I help you today?",
    "gemini": "Hello! How can I help you today?",
}
TOOL_ANSWER = "It is 21 °C and sunny in Paris."
PICTURE = "The picture shows a lighthouse at night."
SUM = "27 * 453 = 12231"

#: Input and output tokens as OpenAI counts them: input with what the cache gave, output with what was thought.
WHOLE_USAGE = {"chat": (19, 10), "responses": (19, 9), "messages": (1036, 12), "gemini": (8, 45)}
STREAMED_USAGE = {"chat": (19, 9), "responses": (19, 9), "messages": (1036, 15), "gemini": (8, 45)}

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IMAGE_URL = "https://example.com/lighthouse.png"

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TIME_SCHEMA = {
    "type": "object",
    "properties": {"zone": {"type": "string"}},
    "required": ["zone"],
    "additionalProperties": False,
}


class City(pydantic.BaseModel):
    city: str
    population: int


PARIS = City(city="Paris", population=2102650)


class Upstream:
    """The requests that have reached the mock provider since this was made."""

    def __init__(self) -> None:
        self._start = RECORD.stat().st_size

    def requests(self) -> list[dict]:
        with RECORD.open(encoding="utf-8") as lines:
            lines.seek(self._start)
            return [json.loads(line) for line in lines]

    def last(self) -> dict:
        return self.requests()[-1]


@pytest.fixture
def seen() -> Upstream:
    return Upstream()


@pytest.fixture(params=UPSTREAMS)
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(upstream: str) -> str:
    return f"via-{upstream}"


@pytest.fixture(scope="session")
def oai() -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=20)


@pytest.fixture(scope="session")
def ant() -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
