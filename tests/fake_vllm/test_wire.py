"""The fake reproduces transcripts of vLLM 0.32, as `golden_check` compares them."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.golden_check import CASES, FOLDER, problems, send

NOT_YET = frozenset((FOLDER / "not_yet.txt").read_text(encoding="utf-8").split())
"""Transcripts that the fake does not reproduce. A new feature takes its own out of the list."""
OPTIONS = {
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    "enable_prompt_tokens_details": True,
    "enable_request_id_headers": True,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    with (
        FakeVllm("finite", gap=0, model="tiny") as default,
        FakeVllm("finite", gap=0, model="tiny", api_key="sk-golden") as keyed,
        FakeVllm("finite", gap=0, model="tiny", **OPTIONS) as options,
    ):
        fakes = {"default": default, "api-key": keyed, "options": options}
        yield {name: fake.base_url.removesuffix("/v1") for name, fake in fakes.items()}


def test_every_transcript_that_is_not_reproduced_yet_exists() -> None:
    assert sorted(NOT_YET - {path.stem for path in CASES}) == []


@pytest.mark.parametrize(
    "path",
    [path for path in CASES if path.stem not in NOT_YET],
    ids=lambda path: path.stem,
)
def test_answers_as_the_real_vllm_did(path: Path, servers: dict[str, str]) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert problems(case, send(servers[case["server"]], case["request"])) == []


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
def test_headers_have_the_order_of_the_real_vllm(name: str, servers: dict[str, str]) -> None:
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
    servers: dict[str, str],
) -> None:
    """Seen on a vLLM 0.32.0 with curl."""
    got = httpx2.request(method, servers["default"] + path, headers=headers, trust_env=False)
    assert got.status_code == status
    assert list(got.headers)[2:] == names


def test_every_answer_has_a_request_id_if_the_flag_is_set(servers: dict[str, str]) -> None:
    for path in ("/health", "/v1/nope", "/v1/models"):
        got = httpx2.get(
            servers["options"] + path, headers={"x-request-id": "mine"}, trust_env=False
        )
        assert got.headers["x-request-id"] == "mine"
