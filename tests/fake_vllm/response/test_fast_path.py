"""The fast path sends the same as the steps, at the same times."""

import json
import math
import time
from collections.abc import Iterator
from itertools import count, repeat
from typing import Any

import httpx2
import pytest

from fake_vllm.engine.ledger import Entry
from fake_vllm.model import Piece
from fake_vllm.response.fast_path import BATCH, FastPath
from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import ask, chunks, take

SLOW = "burst:tokens=1"  # changes nothing, but has to see every packet
THEN = 99.0


class Exchange:
    """An exchange for a fast path; the client stops reading after `full_after` writes."""

    def __init__(self, full_after: float = math.inf) -> None:
        self.writes: list[bytes] = []
        self._full_after = full_after

    @property
    def blocked(self) -> bool:
        return len(self.writes) >= self._full_after

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    @property
    def said(self) -> list[str]:
        return [chunk.decode() for chunk in chunks(b"".join(self.writes))]


class Engine:
    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, entry: Entry, tokens: int) -> None:
        self.made.append(tokens)


def pieces(last: int) -> Iterator[Piece]:
    for number in count(101):
        if number == last:
            yield Piece("", (2,), "stop")
            return
        yield Piece(chr(number), (number,))


class Play:
    """A fast path of one-letter tokens, one a second from 10 s on."""

    def __init__(
        self,
        exchange: Exchange,
        source: Iterator[Piece],
        *,
        gap: float = 1.0,
        ahead: list[Piece] | None = None,
    ) -> None:
        self.ahead = [] if ahead is None else ahead
        self.engine = Engine()
        self.entry = Entry(
            "x", "/", "endless", stream=True, number=1, attempt=1, prompt_tokens=1, arrived=0.0
        )
        self.path = FastPath((b"<", b">"), source, self.ahead, repeat(gap), 10.0)
        self.run = self.path.turns(exchange, self.entry, self.engine, lambda now: THEN)  # type: ignore[arg-type]
        next(self.run)
        self.turn = self.run.send


def test_each_token_comes_at_its_time_and_is_counted() -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(200))
    assert [play.turn(10.0), play.turn(11.0), play.turn(12.0)] == [11.0, 12.0, 13.0]
    assert [write.partition(b"\r\n")[2] for write in exchange.writes] == [
        b'<"e">\r\n',
        b'<"f">\r\n',
        b'<"g">\r\n',
    ]
    assert play.engine.made == [1, 1, 1]
    assert play.entry.bytes == sum(map(len, exchange.writes))


def test_a_stream_that_is_woken_early_sends_nothing() -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(200))
    assert play.turn(9.5) == 10.0
    play.turn(10.0)
    assert play.turn(10.5) == 11.0
    assert len(exchange.writes) == 1


def test_a_late_stream_sends_all_due_tokens_in_one_packet_and_keeps_the_schedule() -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(200))
    assert play.turn(13.5) == 14.0
    assert exchange.said == ['<"e">', '<"f">', '<"g">', '<"h">']
    assert len(exchange.writes) == 1
    assert play.engine.made == [4]


def test_an_unpaced_stream_gives_the_others_a_turn_soon_at_first() -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(5000), gap=0.0)
    for _ in range(7):
        assert play.turn(10.0) == 10.0
    assert play.engine.made == [4, 8, 16, 32, BATCH, BATCH, BATCH]


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_a_step_that_differs_is_not_sent_but_handed_back(gap: float) -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(104), gap=gap)
    now = 10.0
    while (now := play.turn(now)) != THEN:
        pass
    assert exchange.said == ['<"e">', '<"f">', '<"g">']
    assert [piece.finish for piece in play.ahead] == ["stop"]
    assert play.path.due == 10.0 + 3 * gap
    assert sum(play.engine.made) == 3


def test_a_piece_without_text_is_handed_back_and_the_order_is_kept() -> None:
    exchange = Exchange()
    play = Play(
        exchange, pieces(108), gap=0.0, ahead=[Piece("b", (2,)), Piece("", (0,)), Piece("a", (1,))]
    )
    assert play.turn(10.0) == THEN
    assert exchange.said == ['<"a">']
    assert [piece.text for piece in play.ahead] == ["b", ""]


def test_it_ends_when_the_client_does_not_read_and_nothing_is_lost() -> None:
    exchange = Exchange(full_after=2)
    source = pieces(200)
    play = Play(exchange, source)
    assert [play.turn(10.0), play.turn(11.0), play.turn(12.0)] == [11.0, 12.0, THEN]
    assert play.ahead.pop().text == "g"
    assert play.path.due == 12.0


def test_a_stream_that_is_closed_between_two_turns_keeps_its_state() -> None:
    exchange = Exchange()
    play = Play(exchange, pieces(200))
    play.turn(10.0)
    play.run.close()
    assert play.path.due == 11.0
    assert play.ahead.pop().text == "f"


def says(http: httpx2.Client, fake: FakeVllm, path: str, body: dict[str, Any]) -> list[Any]:
    """What each event says, without ids and times."""
    text = http.post(f"{fake.base_url}{path}", json={"stream": True, **body}).text
    found = [event.removeprefix("data: ") for event in text.split("\n\n")[:-1]]
    return [{**json.loads(event), "id": 0, "created": 0} for event in found[:-1]] + found[-1:]


@pytest.mark.parametrize("gap", [0.0, 0.0005])
@pytest.mark.parametrize(
    "fields", [{}, {"n": 2}, {"stop": ["going"]}, {"stream_interval": 3}, {"logprobs": 1}]
)
@pytest.mark.parametrize("continuous", [None, False, True])
@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
def test_a_stream_is_the_same_with_and_without_the_fast_path(
    path: str,
    continuous: bool | None,
    fields: dict[str, Any],
    gap: float,
    http: httpx2.Client,
    servers: dict[float, FakeVllm],
) -> None:
    prompt = (
        {"messages": [{"role": "user", "content": "Hi"}]} if "chat" in path else {"prompt": "Hi"}
    )
    options = (
        None
        if continuous is None
        else {"include_usage": True, "continuous_usage_stats": continuous}
    )
    body = {**prompt, **fields, "stream_options": options, "max_tokens": 250}
    if fields == {"logprobs": 1} and "chat" in path:
        body |= {"logprobs": True, "top_logprobs": 1}
    quick, slow = (
        says(http, servers[gap], path, {**body, "fake_scenario": f"endless{more}"})
        for more in ("", f"+{SLOW}")
    )
    assert quick == slow
    assert len(quick) > 80


def test_a_text_with_empty_tokens_is_the_same_with_and_without_the_fast_path(
    http: httpx2.Client, tmp_path: Any
) -> None:
    file = tmp_path / "text.txt"
    file.write_text(
        "Grüße, 世界! " * 40, encoding="utf-8"
    )  # some characters take several tokens, of which the first ones show nothing
    with FakeVllm("finite", text=file, gap=0) as fake:
        body = {
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 900,
            "stream_options": {"include_usage": True},
        }
        quick, slow = (
            says(http, fake, "/chat/completions", {**body, "fake_scenario": f"finite{more}"})
            for more in ("", f"+{SLOW}")
        )
    assert quick == slow
    assert len(quick) > 80


def test_an_engine_that_goes_on_without_its_client_goes_on_at_its_pace() -> None:
    gap = 0.01
    with FakeVllm("endless", gap=gap, on_disconnect="keep") as fake:
        with ask(fake, "endless") as client:
            take(client, 30)
        entry = fake.wait_for(lambda entry: entry.tokens_after_left > 10)
        assert entry.first_token is not None
        assert entry.tokens <= (time.monotonic() - entry.first_token) / gap + 2


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[float, FakeVllm]]:
    with FakeVllm("finite", gap=0) as fast, FakeVllm("finite", gap=0.0005) as paced:
        yield {0.0: fast, 0.0005: paced}
