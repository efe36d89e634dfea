"""The fake reproduces transcripts of vLLM 0.32, as `golden_check` compares them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.golden_check import CASES, FOLDER, problems, send

NOT_YET = frozenset((FOLDER / "not_yet.txt").read_text(encoding="utf-8").split())
"""Transcripts that the fake does not reproduce. A new feature takes its own out of the list."""
OTHER_TOKENS = frozenset((FOLDER / "other_tokens.txt").read_text(encoding="utf-8").split())
"""Transcripts that a limit or an interval cuts at a token, which is elsewhere in the fake's text."""
NEWER = FOLDER.with_name("golden_0_33")
NOT_YET_NEWER = frozenset((NEWER / "not_yet.txt").read_text(encoding="utf-8").split())
TOOLS: dict[str, Any] = {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}
SERVERS: dict[str, dict[str, Any]] = {
    "default": {},
    "options": {
        **TOOLS,
        "enable_prompt_tokens_details": True,
        "enable_request_id_headers": True,
    },
    "reasoning": {**TOOLS, "reasoning_parser": "qwen3"},
    "deepseek-r1": {**TOOLS, "reasoning_parser": "deepseek_r1"},
    "api-key": {"api_key": "sk-golden"},
    "keys": {"api_key": ["sk-golden", "sk-second"]},
    "env-key": {"api_key": "sk-golden"},  # test_config tries the variable
    "names": {"served_model_name": ["tiny", "second", "third"], "enable_force_include_usage": True},
    "cors": {"allowed_origins": ["http://page.example"]},
    "cors-any": {"allowed_origins": ["*"]},
    "root-path": {"root_path": "/base"},
}
OPTIONS = SERVERS["options"]


class Servers:
    """A fake for each kind of server, started when a transcript needs it."""

    def __init__(self, version: str = "0.32.0") -> None:
        self._version = version
        self._started: dict[str, FakeVllm] = {}

    def __getitem__(self, kind: str) -> str:
        return self.fake(kind).root

    def fake(self, kind: str) -> FakeVllm:
        if kind not in self._started:
            flags = {"served_model_name": "tiny", "vllm_version": self._version, **SERVERS[kind]}
            self._started[kind] = FakeVllm("finite", gap=0, **flags)
        return self._started[kind]

    def replay(self, case: dict[str, Any]) -> list[str]:
        """Where the answer is not as the transcript has it."""
        fake = self.fake(case["server"])
        if "writes" in case:
            fake._ask("/rules", "PUT", json.dumps({"writes": case["writes"]}).encode())
        try:
            return problems(case, send(fake.root, case["request"]))
        finally:
            if "writes" in case:
                fake._ask("/rules", "DELETE")

    def close(self) -> None:
        for fake in self._started.values():
            fake.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.close()


def test_every_transcript_that_is_left_out_exists() -> None:
    assert sorted((NOT_YET | OTHER_TOKENS) - {path.stem for path in CASES}) == []


@pytest.mark.parametrize(
    "path",
    [path for path in CASES if path.stem not in NOT_YET | OTHER_TOKENS],
    ids=lambda path: path.stem,
)
def test_answers_as_the_real_vllm_did(path: Path, servers: Servers) -> None:
    assert servers.replay(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "name",
    [
        *("chat", "chat_stream_later", "completions", "completions_stream"),
        *("messages", "responses", "responses_stream"),
    ],
)
def test_a_generation_that_fails_ends_as_on_the_real_vllm(name: str, servers: Servers) -> None:
    path = FOLDER / f"error_in_generation_{name}.json"
    case = json.loads(path.read_text(encoding="utf-8"))
    scenario = 'error_event:after=2,message="Internal server error"'
    case["request"]["headers"]["x-fake-scenario"] = scenario
    assert servers.replay(case) == []


@pytest.fixture(scope="module")
def newer() -> Iterator[Servers]:
    started = Servers("0.33.0")
    yield started
    started.close()


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(NEWER.glob("*.json")) if path.stem not in NOT_YET_NEWER],
    ids=lambda path: path.stem,
)
def test_answers_as_a_newer_vllm_did(path: Path, newer: Servers) -> None:
    assert newer.replay(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "name",
    [
        "chat_stream",
        "chat_basic",
        "options_request_id",
        "auth_models_missing",
        "chat_get",
        "health",
    ],
)
def test_headers_have_the_order_of_the_real_vllm(name: str, servers: Servers) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    got = send(servers[case["server"]], case["request"])
    assert list(got.headers) == [header for header, _ in case["response"]["headers"]]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "names"),
    [
        (
            "OPTIONS",
            "/v1/chat/completions",
            {},
            405,
            ["allow", "content-length", "content-type", "vary"],
        ),
        (
            *(
                "OPTIONS",
                "/v1/chat/completions",
                {"origin": "http://x", "access-control-request-method": "POST"},
                400,
            ),
            [
                "vary",
                "access-control-allow-methods",
                "access-control-max-age",
                "content-length",
                "content-type",
            ],
        ),
        ("GET", "/v1/models/", {}, 307, ["content-length", "location", "vary"]),
        ("HEAD", "/health", {}, 405, ["allow", "content-length", "content-type", "vary"]),
        ("GET", "/v1/responses/resp_1", {}, 404, ["content-length", "content-type", "vary"]),
        (
            "GET",
            "/v1/responses/resp_1/cancel",
            {},
            405,
            ["allow", "content-length", "content-type", "vary"],
        ),
    ],
)
def test_requests_outside_the_transcripts_are_answered_as_a_real_vllm_did(
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    names: list[str],
    servers: Servers,
) -> None:
    """Seen on a vLLM 0.32.0 with curl."""
    got = httpx2.request(method, servers["default"] + path, headers=headers, trust_env=False)
    assert got.status_code == status
    assert list(got.headers)[2:] == names


def test_every_answer_has_a_request_id_if_the_flag_is_set(servers: Servers) -> None:
    for path in ("/health", "/v1/nope", "/v1/models"):
        got = httpx2.get(
            servers["options"] + path, headers={"x-request-id": "mine"}, trust_env=False
        )
        assert got.headers["x-request-id"] == "mine"
