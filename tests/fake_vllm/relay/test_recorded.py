"""Exchanges with a real server are written into files, which answer in its place."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import NotFoundError, OpenAI

from fake_vllm.redaction import is_secret
from fake_vllm.relay.recorded import (
    AnswerPart,
    AskedPart,
    Body,
    RecordedExchange,
    RecordingFileError,
    Recordings,
    load,
)
from fake_vllm.relay.request import RelayedRequest
from fake_vllm.testing import FakeVllm, FakeVllmError
from tests.fake_vllm.raw import arrivals, ask

KEY = "sk-a-key-that-must-not-be-kept"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def chat(scenario: str = "", **more: Any) -> dict[str, Any]:
    named = {"fake_scenario": scenario} if scenario else {}
    return {"model": "mine", "messages": [{"role": "user", "content": "Hi é"}], **named, **more}


REQUESTS: dict[str, dict[str, Any]] = {
    "stream": chat(stream=True),
    "whole": chat(),
    "tools": chat(stream=True, tools=TOOLS, user="tools"),
    "error": chat(model="nope"),
    "broken": chat(stream=True, user="broken"),
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    headers = {
        "authorization": f"Bearer {KEY}",
        "cookie": "session=very-secret-cookie",
        "x-api-key": "tiny",  # too short to be looked for elsewhere
    }
    with httpx2.Client(trust_env=False, headers=headers) as client:
        yield client


def outcome(http: httpx2.Client, fake: FakeVllm, body: dict[str, Any]) -> tuple[Any, ...]:
    """Everything that a client gets: status, headers, body, and whether it broke off."""
    data, status, headers = b"", 0, {}
    try:
        with http.stream("POST", f"{fake.base_url}/chat/completions", json=body) as answer:
            status, headers = answer.status_code, dict(answer.headers)
            for part in answer.iter_raw():
                data += part
    except httpx2.TransportError:
        return status, headers, data, "broke off"
    return status, headers, data, "whole"


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client
) -> tuple[Path, dict[str, tuple[Any, ...]]]:
    """A folder with recordings, and what the client got when they were made."""
    folder = tmp_path_factory.mktemp("recorded") / "new"
    rules: list[dict[str, Any]] = [
        {"headers": {"x-case": "tools"}, "tool_calls": [{"name": "weather"}]},
        {"headers": {"x-case": "broken"}, "scenario": "reset:after=3"},
    ]
    got = {}
    with (
        FakeVllm(
            "finite:tokens=6",
            gap=0.03,
            model="mine",
            api_key=KEY,
            rules=rules,
            enable_auto_tool_choice=True,
            tool_call_parser="hermes",
        ) as real,
        FakeVllm("crlf", upstream=real.root, record=folder) as front,
    ):
        for case, body in REQUESTS.items():
            http.headers["x-case"] = case
            got[case] = outcome(http, front, {**body, "fake_scenario": "finite"})
        http.get(f"{front.base_url}/models")
    return folder, got


def files(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.iterdir())]


def test_each_exchange_is_one_file_with_request_answer_and_times(
    recorded: tuple[Path, dict[str, Any]],
) -> None:
    stream, whole, tools, error, broken, models = files(recorded[0])
    assert stream["request"]["method"] == "POST"
    assert stream["request"]["path"] == "/v1/chat/completions"
    assert json.loads(stream["request"]["body"]["text"]) == REQUESTS["stream"]
    times = [chunk["at_ms"] for chunk in stream["response"]["chunks"]]
    assert times == sorted(times)
    assert 100 < times[-1] - times[0] < 2000
    assert whole["response"]["status"] == 200
    assert "weather" in json.dumps(tools["response"]["chunks"])
    assert error["response"]["status"] == 404
    assert broken["response"]["end"] == "reset"
    assert models["request"]["method"] == "GET"


def test_no_file_has_a_key_or_a_cookie(recorded: tuple[Path, dict[str, Any]]) -> None:
    text = "".join(file.read_text() for file in recorded[0].iterdir())
    assert KEY not in text
    assert "very-secret-cookie" not in text
    assert '"authorization": "removed"' in text
    assert '"tiny"' not in text
    for name in ("Api-Key", "x-api-key", "Set-Cookie", "X-Amz-Security-Token", "openai-project"):
        assert is_secret(name)
    for name in ("content-type", "x-ratelimit-limit-tokens", "x-request-id"):
        assert not is_secret(name)


def test_a_folder_answers_the_same_requests_byte_for_byte(
    recorded: tuple[Path, dict[str, Any]], http: httpx2.Client
) -> None:
    folder, got = recorded
    with FakeVllm(replay=folder) as fake:
        for case, body in REQUESTS.items():
            again = outcome(http, fake, body)
            assert again[0] == got[case][0], case
            assert again[2:] == got[case][2:], case
            assert again[1] == got[case][1], case
        started = time.monotonic()
        outcome(http, fake, dict(reversed(REQUESTS["stream"].items())))  # JSON is compared as JSON
        assert time.monotonic() - started > 0.15
        assert http.get(f"{fake.base_url}/models").json()["data"][0]["id"] == "mine"
        with (
            OpenAI(base_url=fake.base_url, api_key="-", max_retries=0) as client,
            pytest.raises(NotFoundError, match="No recording in new answers POST"),
        ):
            client.chat.completions.create(
                model="other", messages=[{"role": "user", "content": "Hi"}]
            )
        assert (
            outcome(http, fake, chat("stall:after=1+time_limit:seconds=0.1", stream=True))[3]
            == "broke off"
        )
        with pytest.raises(FakeVllmError, match="needs the fake's own model"):
            fake.play("endless")


def test_a_file_answers_any_request_through_a_scenario(
    recorded: tuple[Path, dict[str, Any]], http: httpx2.Client
) -> None:
    file = sorted(recorded[0].iterdir())[0]
    with FakeVllm(model="mine", files=recorded[0]) as fake:
        played = outcome(http, fake, chat(f"replay:file={file},speed=10", stream=True))
        assert played[2] == recorded[1]["stream"][2]
        entry = fake.until_freed()
        assert (entry.end, entry.tokens) == ("finished", 6 + 2)
        cut = outcome(http, fake, chat(f"replay:file={file},speed=10+close:after=3", stream=True))
        assert played[2].startswith(cut[2])
        assert (cut[2].count(b"data: "), cut[3]) == (3, "broke off")
        with ask(fake, f"replay:file={file}") as connection:
            came = [at for at, data in arrivals(connection, until=b"[DONE]") if b"data" in data]
        assert came[-1] - came[0] > 0.1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "format: Field required"),
        ('{"format": "fake-vllm exchange 9"}', "format: Input should be"),
        ("no", "Invalid JSON"),
        (
            '{"format": "fake-vllm exchange 1", "request": {"method": "GET", "path": "/"}, '
            '"response": {"status": 99}}',
            "response.status",
        ),
    ],
)
def test_a_file_that_is_broken_is_named_in_a_sentence(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text(text)
    with pytest.raises(RecordingFileError, match=says):
        load(file)
    with pytest.raises(RecordingFileError, match=r"odd\.json"):
        Recordings(tmp_path)


def test_a_folder_without_recordings_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordingFileError, match="--upstream URL --record"):
        Recordings(tmp_path)
    with pytest.raises(FakeVllmError, match="Cannot read"):
        FakeVllm(replay=tmp_path / "none")


@pytest.mark.parametrize(
    ("recorded", "matches"),
    [("null", False), ('{"seed":removed}', True), ('{"seed": 12345678}', True)],
)
def test_a_body_that_is_no_json_without_its_key_is_not_null(recorded: str, matches: bool) -> None:
    """The key is a number there, and stands in the body as one."""
    sent = b'{"seed":12345678}'
    request = RelayedRequest(
        "POST", "/v1/x", {}, sent, {"seed": 12345678}, None, secrets=["12345678"]
    )
    asked = AskedPart(method="POST", path="/v1/x", body=Body(text=recorded))
    exchange = RecordedExchange(
        format="fake-vllm exchange 1", request=asked, response=AnswerPart(status=200)
    )
    assert exchange.matches(request) is matches
