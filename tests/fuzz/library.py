"""Event streams into ChatVllm, from a server in this process that sends any bytes."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import openai
import pytest
from hypothesis import target

from stream_deadline import AnswerCutShort, ChatVllm, StreamDeadlineExceeded
from stream_deadline import _raw_chunks as raw_chunks
from tests.fuzz.mutations import cut
from tests.fuzz.sse import Stream, sent_texts, streams
from tests.fuzz.target import Target
from tests.plain_sleep import STOOD_STILL, PlainSleep
from tests.stream_deadline.scripted import Answer, Scripted

T = 0.25
"""The deadline of a stream that stops, in seconds."""
GIVEN = T
"""What the model of such a stream is given; a defect gives it more."""
LATE = 1.5
"""Seconds after the deadline, beside what a plain sleep is late."""
ALLOWED = (
    StreamDeadlineExceeded,
    AnswerCutShort,
    openai.APIError,
    httpx.TransportError,
    httpx2.TransportError,
    ValueError,  # an event that is not JSON or not UTF-8, and a chunk that LangChain cannot read
    TypeError,
    AttributeError,
    KeyError,
)
"""What a chunk of another form makes the SDK and LangChain raise is passed on (docs/fuzz.md)."""
ODD_NAME = b'data: {"choices": [{"index": 0, "delta": {"content": "so"}}], "\\ud800": 1}\n\n'


class Player:
    """A server, and models that ask it; each example sets its answer."""

    def __init__(self, server: Scripted, current: list[Answer]) -> None:
        self.current = current
        self.raw = ChatVllm(**server.settings, max_retries=0)
        self.plain = ChatVllm(**server.settings, max_retries=0, raw_chunks=False)
        self.short = ChatVllm(**{**server.settings, "timeout": GIVEN}, max_retries=0)
        self.loop = asyncio.Runner()


@contextmanager
def player() -> Iterator[Player]:
    current: list[Answer] = [Answer([])]
    with Scripted(lambda request: current[0]) as server:
        made = Player(server, current)
        with made.loop:
            yield made


def _play(player: Player, model: ChatVllm, answer: Answer, *, asynchronous: bool) -> Any:
    """The chunks and the error; both without what differs from call to call."""
    player.current[0] = answer
    chunks: list[Any] = []

    async def read() -> None:
        async for each in model.astream("Why?"):
            chunks.append(each)

    try:
        if asynchronous:
            player.loop.run(read())
        else:
            chunks.extend(model.stream("Why?"))
    except ALLOWED as error:
        return chunks, error
    return chunks, None


def _comparable(outcome: Any) -> Any:
    chunks, error = outcome
    said = []
    for each in chunks:
        body = each.model_dump()
        named = str(body["id"]).startswith("lc_run")
        said.append({**body, "id": None if named else body["id"]})
    words = re.sub(r"[0-9.]+ s\b|0x[0-9a-f]+|lc_run-[-0-9a-f]+", "…", str(error))
    return repr(said), type(error).__name__, words


def _is_told(player: Player, value: Stream) -> None:
    one = Answer(cut(value.body, list(value.one)))
    other = Answer(cut(value.body, list(value.other)))
    first = _play(player, player.raw, one, asynchronous=False)
    target(float(len(first[0])), label="chunks")
    _assert_sent(first[0], value.body)
    expected = _comparable(first)
    for model, answer, asynchronous in (
        (player.raw, other, False),
        (player.raw, other, True),
        (player.plain, one, False),
    ):
        found = _comparable(_play(player, model, answer, asynchronous=asynchronous))
        if model is player.plain and found[1] == "UnicodeEncodeError":
            continue  # the SDK's objects take no field whose name is half of a surrogate pair
        assert found == expected, (asynchronous, model is player.plain)


def _assert_sent(chunks: list[Any], body: bytes) -> None:
    """Assert that the server sent each text, and in this order."""
    sent = iter(sent_texts(body))
    for chunk in chunks:
        if isinstance(chunk.content, str) and chunk.content:
            assert chunk.content in sent, f"{chunk.content!r} was not sent, or not then"


def _ends(player: Player, value: Stream) -> None:
    answer = Answer(cut(value.body, list(value.one)), stalls=True)
    for asynchronous in (False, True):
        began = time.monotonic()
        with PlainSleep() as sleep:
            chunks, error = _play(player, player.short, answer, asynchronous=asynchronous)
            took = time.monotonic() - began
        _assert_sent(chunks, value.body)
        if sleep.late < STOOD_STILL:
            assert took < T + LATE + sleep.late, f"it ended after {took:.2f} s: {error!r}"


def _forget_the_rest_of_a_piece(patch: pytest.MonkeyPatch) -> None:
    exact = raw_chunks.Decoder._events

    def events(self: Any, piece: bytes) -> Iterator[Any]:
        yield from exact(self, piece)
        self._pieces[:] = [each for each in self._pieces if len(each) > 20]

    patch.setattr(raw_chunks.Decoder, "_events", events)


def _end_too_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tests.fuzz.library.GIVEN", T + LATE + 0.7)


TARGETS: list[Target[Any]] = [
    Target(
        "a stream into ChatVllm comes out as it was sent, however it is cut and called",
        streams(),
        _is_told,
        _forget_the_rest_of_a_piece,
        player,
        {"half of a surrogate pair as a field's name": Stream(ODD_NAME, (), ())},
        examples=60,
        guided=("stream_deadline",),
    ),
    Target(
        "a stream that stops ends at the deadline",
        streams(),
        _ends,
        _end_too_late,
        player,
        examples=3,
        to_plant=3,
    ),
]
