"""The exercises of notebook 15 name the mistake of a wrong player."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from stream_deadline import bounded_client
from stream_lab.course.exercise import Examined, examine, find
from stream_lab.frameworks.here import SLACK, TRYING, Tried, try_player
from stream_lab.frameworks.judge import judge
from stream_lab.frameworks.outcome import Outcome

T = TRYING.timeout
HELD = Outcome(ended=T, chain=("TimeoutError",), chunks=9, requests=1, freed=T)
RUNS_ON = Outcome(chunks=9, requests=1)
BUSY = Outcome(ended=T, chain=("TimeoutError",), chunks=9, requests=1)
SILENT = Outcome(ended=T, chunks=9, requests=1, freed=T)


def unplayed(why: str) -> Outcome:
    return Outcome(unplayed=why)


def examined(number: str, player: object, judge_of: Callable[..., Any]) -> Examined:
    return asyncio.run(examine(find("15", number), player, (judge_of,)))


def made_up(number: str, outcomes: Mapping[str, Outcome]) -> Examined:
    """Check a player as if the judge had seen these outcomes."""

    def judged(_: object, scenarios: list[str]) -> dict[str, Tried]:
        return {
            name: Tried(outcomes.get(name, HELD), judge(outcomes.get(name, HELD), name, T, SLACK))
            for name in scenarios
        }

    return examined(number, lambda cell: cell, judged)


@pytest.mark.parametrize(
    ("number", "outcomes", "words"),
    [
        ("1", {"stall": RUNS_ON}, "T has not reached"),
        ("1", {"stall": Outcome(ended=0.3, chain=("E",), requests=1, freed=0.3)}, "before T"),
        ("1", {"stall": Outcome(ended=2.2, chain=("E",), requests=1, freed=2.2)}, "is T its time"),
        ("1", {"stall": BUSY}, "close it"),
        ("1", {"stall": Outcome(ended=T, chunks=2, requests=3, freed=T)}, "3 generations"),
        ("1", {"endless": Outcome(requests=1)}, "stream: True"),
        ("1", {"endless": Outcome(chunks=3)}, "no request to the cell's own server"),
        ("1", {"endless": unplayed("TypeError: 'Stream' object is not callable")}, "lambda: …"),
        ("1", {"stall": unplayed("no warm-up ended within 60 s")}, "even a short answer"),
        ("1", {"stall": unplayed("URLError: <urlopen error refused>")}, "cell.base_url"),
        ("1", {"stall": unplayed("HTTPError: HTTP Error 404: Not Found")}, "ends in /v1"),
        ("1", {"stall": unplayed("KeyError: 'x'")}, "KeyError: 'x'"),
        ("2", {"endless": RUNS_ON}, "`timeout=` bounds each read"),
        ("2", {"keep-alive": RUNS_ON}, "while no chunk comes"),
        ("2", {"suspended": Outcome(ended=2.4, chain=("E",), chunks=1, requests=1, freed=2.4)},
         "does not pull"),
        ("2", {"endless": BUSY}, "connection stays open"),
        ("2", {"endless": SILENT}, "without an error"),
        ("2", {"endless": Outcome(ended=0.2, chain=("E",), requests=1, freed=0.2)}, "too early"),
        ("2", {"suspended": Outcome(requests=1)}, "no chunk came"),
        ("2", {"endless": Outcome(ended=T, chain=("E",), requests=2, freed=T)}, "max_retries=0"),
    ],
)  # fmt: skip
def test_a_result_that_is_not_right_is_named(
    number: str, outcomes: Mapping[str, Outcome], words: str
) -> None:
    found = made_up(number, outcomes)
    assert not found.right
    assert words in found.message


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_player_whose_cells_hold_is_right_and_a_skeleton_is_no_answer(number: str) -> None:
    assert made_up(number, {}) == Examined(right=True)

    def skeleton(cell: object) -> None:
        raise NotImplementedError

    async def slow_skeleton(cell: object) -> None:
        raise NotImplementedError

    assert examined(number, skeleton, try_player) == Examined(given=False)
    assert examined(number, slow_skeleton, try_player) == Examined(given=False)
    assert "a function that takes a cell" in examined(number, "prepare", try_player).message


def test_an_endless_model_that_runs_on_is_a_right_first_player() -> None:
    assert made_up("1", {"endless": RUNS_ON}) == Examined(right=True)


MESSAGES: Any = [{"role": "user", "content": "Why?"}]
BODY = {"model": "fake-model", "messages": MESSAGES, "stream": True}


def by_urllib(cell: Any) -> Callable[[], Iterator[bytes]]:
    def ask() -> Iterator[bytes]:
        request = urllib.request.Request(
            f"{cell.base_url}/chat/completions",
            json.dumps(BODY).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=cell.timeout) as answer:
            yield from answer

    return ask


async def by_httpx2(cell: Any) -> Callable[[], Any]:
    client = httpx2.AsyncClient(timeout=cell.timeout, trust_env=False)

    async def ask() -> Any:
        url = f"{cell.base_url}/chat/completions"
        async with client.stream("POST", url, json=BODY) as answer:
            async for line in answer.aiter_lines():
                yield line  # noqa: ASYNC119 - the judge's loop ends with its process

    return ask


def whole(cell: Any) -> Callable[[], Any]:
    client = OpenAI(base_url=cell.base_url, api_key="none", timeout=cell.timeout, max_retries=0)
    return lambda: client.chat.completions.create(model="fake-model", messages=MESSAGES)


def answered_at_once(cell: Any) -> Any:
    client = OpenAI(base_url=cell.base_url, api_key="none", timeout=cell.timeout)
    return client.chat.completions.create(model="fake-model", messages=MESSAGES, stream=True)


async def bounded(cell: Any) -> Callable[[], Any]:
    client = bounded_client(AsyncOpenAI(base_url=cell.base_url, api_key="none"), cell.timeout)
    return lambda: client.chat.completions.create(
        model="fake-model", messages=MESSAGES, stream=True
    )


def clock_in_the_loop(cell: Any) -> Callable[[], Iterator[Any]]:
    client = OpenAI(base_url=cell.base_url, api_key="none")

    def ask() -> Iterator[Any]:
        end = time.monotonic() + cell.timeout
        stream = client.chat.completions.create(model="fake-model", messages=MESSAGES, stream=True)
        for chunk in stream:
            yield chunk
            if time.monotonic() > end:
                stream.close()
                raise TimeoutError

    return ask


REAL: dict[tuple[str, Callable[..., Any]], str] = {
    ("1", by_urllib): "",
    ("1", by_httpx2): "",
    ("1", whole): "stream: True",
    ("1", answered_at_once): "lambda: …",
    ("2", bounded): "",
    ("2", clock_in_the_loop): "while no chunk comes",
}


@pytest.fixture(scope="module")
def judged() -> dict[tuple[str, Callable[..., Any]], Examined]:
    """Examine all players with the real judge, a few at a time."""
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda each: examined(each[0], each[1], try_player), REAL)
        return dict(zip(REAL, found, strict=True))


@pytest.mark.parametrize("which", REAL, ids=lambda each: each[1].__name__)
def test_the_real_judge_says_the_same_of_real_players(
    which: tuple[str, Callable[..., Any]],
    judged: dict[tuple[str, Callable[..., Any]], Examined],
) -> None:
    found, words = judged[which], REAL[which]
    assert found.right is not bool(words), found
    assert words in found.message
