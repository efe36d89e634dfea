"""The parts that hand out chunks as dicts, without a server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import openai
import pytest

from stream_deadline import _raw_chunks as raw_chunks
from stream_deadline._raw_chunks import Decoder
from tests.stream_deadline.tracked import TrackedCall


class Exact:
    """In place of the SDK's decoder: it makes one event of all the bytes."""

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        yield SimpleNamespace(data=b"".join(iterator))

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        yield SimpleNamespace(data=b"".join([each async for each in iterator]))


@pytest.mark.parametrize(
    ("body", "events", "left"),
    [
        (b"", [], b""),
        (b"data: a\n\n", ["a"], b""),
        (b"data: a\n\ndata: b\n\ndata: c\n\n", ["a", "b", "c"], b""),
        (b"data: \n\ndata:  b\n\n", ["", " b"], b""),
        (b"data: a\n\ndata: b", ["a"], b"data: b"),
        (b"data: a\n\ndata: b\n", ["a"], b"data: b\n"),
        (b": a comment\n\ndata: a\n\n:\n\ndata: b\n\n", ["a", "b"], b""),
        (b"data: a\n\nid: 7\ndata: b\n\ndata: c\n\n", ["a"], b"id: 7\ndata: b\n\ndata: c\n\n"),
        (b"data: a\n\ndata: b\ndata: c\n\n", ["a"], b"data: b\ndata: c\n\n"),
        (b"data: a\n\ndata:b\n\ndata: c\n\n", ["a"], b"data:b\n\ndata: c\n\n"),
        (b"data: a\n\n: x\ndata: b\n\n", ["a"], b": x\ndata: b\n\n"),
        (b"data: a\n\n: x\rdata: b\n\nx", ["a"], b": x\rdata: b\n\nx"),
        (b"data: a\n\ndata: b\rid: 7\n\nx", ["a"], b"data: b\rid: 7\n\nx"),
        (b"data: a\n\ndata: b\r\n\r\nx", ["a"], b"data: b\r\n\r\nx"),
        (b"data: a\r\rdata: b\n\n", [], b"data: a\r\rdata: b\n\n"),
        (b"\n\ndata: a\n\n", [], b"\n\ndata: a\n\n"),
        ("data: ü\n\ndata: €\n\n".encode(), ["ü", "€"], b""),
    ],
)
def test_simple_events_are_read_and_all_from_another_form_on_is_left_to_the_sdk(
    body: bytes, events: list[str], left: bytes
) -> None:
    async def asynchronously(pieces: list[bytes]) -> list[Any]:
        async def each() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return [event.data async for event in Decoder(Exact()).aiter_bytes(each())]

    for size in range(1, len(body) + 2):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        pieces.insert(1, b"")  # some libraries give empty pieces
        found = [event.data for event in Decoder(Exact()).iter_bytes(iter(pieces))]
        assert asyncio.run(asynchronously(pieces)) == found
        assert found == [*events, left]


FORMS = {
    "comments": b": x\n\n" * 100_000,
    "another form": b": x\r\n\r\n" * 100_000,
    "empty lines": b"\n\n" * 100_000,
    "events": b"data: a\n\n" * 100_000,
    "lines without an end": b"a\n" * 100_000,
    "lines that end at last": b"a\n" * 100_000 + b"\n",
    "lines of another form at last": b"a\n" * 100_000 + b"\r\n",
}
SOME = 1 << 15
"""Bytes that may be decoded at once."""


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_over_is_ended_in_the_middle_of_a_piece(form: str) -> None:
    looks: list[int] = []

    class Tracker:
        @property
        def is_ended(self) -> bool:
            looks.append(1)
            return len(looks) > 3

    read: list[int] = []

    class Counts(Exact):
        def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
            for part in iterator:
                read.append(len(part))
                yield SimpleNamespace(data=part)

    decoder = Decoder(Counts(), cast("Any", Tracker()))
    with pytest.raises(TimeoutError, match="is over"):
        list(decoder.iter_bytes(iter([FORMS[form]])))
    assert len(looks) == 4
    assert sum(read) <= 3 * SOME


def turns_of_the_loop(exact: Exact, piece: bytes) -> int:
    """Count how often the event loop runs while a piece is decoded."""

    async def body() -> AsyncIterator[bytes]:
        yield piece

    async def read() -> None:
        async for _ in Decoder(exact).aiter_bytes(body()):
            pass

    async def play() -> int:
        turns, reads = 0, asyncio.create_task(read())
        while not reads.done():
            await asyncio.sleep(0)
            turns += 1
        await reads
        return turns

    return asyncio.run(play())


@pytest.mark.parametrize("form", FORMS)
def test_the_event_loop_runs_in_the_middle_of_a_piece(form: str) -> None:
    class Counts(Exact):
        async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            async for part in iterator:
                assert len(part) <= SOME
                yield SimpleNamespace(data=part)

    piece = FORMS[form]
    assert turns_of_the_loop(Counts(), piece) > len(piece) // SOME


@pytest.mark.parametrize("form", ["lines without an end", "lines that end at last"])
def test_the_sdk_is_given_what_was_kept_in_parts(form: str) -> None:
    [*kept, end] = Decoder(Exact()).iter_bytes(iter([FORMS[form]]))
    assert (kept, end.data) == ([], FORMS[form])
    given: list[int] = []

    class Counts(Exact):
        def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
            given.extend(len(part) for part in iterator)
            yield from ()

    list(Decoder(Counts()).iter_bytes(iter([FORMS[form]])))
    assert sum(given) == len(FORMS[form])
    assert max(given) <= SOME


def test_a_small_piece_of_many_events_lets_the_event_loop_run() -> None:
    assert turns_of_the_loop(Exact(), b"data: a\n\n" * 1000) > 10


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_each_event_comes_with_its_last_byte(size: int) -> None:
    body = b"data: first\n\ndata: second\n\n: hm\n\ndata: third\n\n"
    decoder, read = Decoder(Exact()), 0
    for at in range(0, len(body), size):
        read += len(list(decoder._events(body[at : at + size])))
        so_far = body[: at + size]
        assert read == so_far.count(b"\n\n") - (b"hm\n\n" in so_far)


@pytest.mark.parametrize(
    ("pieces", "pulled"),
    [
        ([b"data: a\r", b"\n", b"\r\n", b"x"], 1),
        ([b"data: a", b"\r\n\r\n", b"x"], 2),
        ([b"data: a\n\ndata: b\r", b"\n\r\n", b"x"], 1),
        ([b"data: a\n\nid: 7\n\n", b"x"], 1),
        ([b"data: a\n\n", b"x"], 2),
    ],
)
def test_the_sdk_takes_over_with_the_piece_that_has_another_form(
    pieces: list[bytes], pulled: int
) -> None:
    """Events of such a form must not wait for the next ones."""
    left = iter(pieces)
    begun: list[int] = []

    class Begins(Exact):
        def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
            begun.append(len(pieces) - len(list(left)))
            yield from super().iter_bytes(iterator)

    list(Decoder(Begins()).iter_bytes(left))
    assert begun == [pulled]


def test_an_event_has_what_the_sdk_reads_of_it() -> None:
    [event, _] = Decoder(Exact()).iter_bytes(iter([b'data: {"a": 1}\n\n']))
    assert (event.event, event.data, event.json()) == (None, '{"a": 1}', {"a": 1})


def choice(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("chunk", "is_complete"),
    [
        (choice(content="x"), True),
        (choice(), True),
        ({**choice(content="x"), "usage": None}, True),
        ({**choice(content="x"), "usage": {"prompt_tokens": 1}}, True),
        ({**choice(content="x"), "usage": {}}, False),
        ({"choices": []}, True),
        ({"choices": [], "usage": {}}, False),
        ({}, False),
        ({"choices": None}, False),
        ({"choices": {"0": 1}}, False),
        ({"choices": [None]}, False),
        ({"choices": ["x"]}, False),
        ({"choices": [{"index": 0}]}, False),
        ({"choices": [{"index": 0, "delta": None}]}, False),
        ({"choices": [{"index": 0, "delta": {}, "logprobs": None}]}, True),
        ({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": []}}]}, False),
        (choice(function_call=None), True),
        (choice(function_call={"name": "f"}), False),
        (choice(tool_calls=None), True),
        (choice(tool_calls=[]), True),
        (choice(tool_calls=[CALL]), True),
        (choice(tool_calls=[CALL, "x"]), False),
        (choice(tool_calls=[CALL, {"id": "c", "function": {}}]), False),
        (choice(tool_calls=[CALL, {"index": 1, "function": None}]), False),
        (choice(tool_calls=[CALL, {"index": 1}]), False),
        ("x", False),
        (None, False),
        ([1], False),
    ],
)
def test_a_chunk_without_what_langchain_needs_becomes_an_object_of_the_sdk(
    chunk: Any, is_complete: bool
) -> None:
    assert raw_chunks._is_complete(chunk) is is_complete


def test_the_fields_of_a_tool_call_that_are_there_are_kept() -> None:
    call = {"index": 0, "type": "function", "function": {"arguments": "{}"}}
    assert raw_chunks._is_complete(choice(tool_calls=[call]))
    assert call == {
        "index": 0,
        "id": None,
        "type": "function",
        "function": {"name": None, "arguments": "{}"},
    }


# What a stream tells its call


class Client:
    """In place of the SDK's client: it notes what it is given."""

    api_key = "k"

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def _process_response_data(self, **given: Any) -> str:
        self.given.append(given)
        return "made"

    def _make_sse_decoder(self) -> Exact:
        return Exact()


class Call(TrackedCall):
    """A call under way, which the SDK processes an event for."""

    def process(self, kind: Any, data: Any) -> dict[str, Any]:
        """Return what the SDK is given of an event."""
        client = Client()
        instead = self.tracker.context().run(kind, client)
        more = {"cast_to": "type", "response": "response"}
        assert instead._process_response_data(data=data, **more) == "made"
        assert instead.api_key == "k"
        [given] = client.given
        assert {name: given.pop(name) for name in more} == more
        [name] = given
        assert name == "data"
        return given


REASONS = "response.reasoning_text.delta"
SUMMARY = "response.reasoning_summary_text.delta"


@pytest.mark.parametrize(
    ("data", "given", "heard"),
    [
        ({"type": "response.output_text.delta", "delta": "x"}, {}, ["progress"]),
        ({"type": "response.refusal.delta", "delta": "x"}, {}, ["progress"]),
        ({"type": "response.output_text.delta", "delta": ""}, {}, []),
        ({"type": "response.output_text.delta"}, {}, []),
        ({"type": "response.output_text.done", "delta": "x"}, {}, []),
        ({"type": 5, "delta": "x"}, {}, []),
        ({"delta": "x"}, {}, []),
        ({"type": SUMMARY, "delta": "x", "summary_index": 3}, {}, ["progress"]),
        (
            {"type": REASONS, "delta": "x", "content_index": 2, "item_id": "i"},
            {"type": SUMMARY, "summary_index": 2},
            ["progress"],
        ),
        ({"type": REASONS, "delta": "x"}, {"type": SUMMARY, "summary_index": 0}, ["progress"]),
        ({"type": REASONS, "delta": ""}, {}, []),
        ({"type": "response.incomplete", "n": 1}, {"type": "response.completed"}, []),
        ({"type": "response.completed"}, {}, []),
    ],
)
def test_a_response_reports_progress_and_its_reasoning_is_a_summary_for_langchain(
    data: dict[str, Any], given: dict[str, Any], heard: list[str]
) -> None:
    before = dict(data)
    call = Call()
    assert call.process(raw_chunks._AsEvents, data) == {"data": {**data, **given}}
    assert (call.heard, data) == (heard, before)


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, ["finish"]),
        ({"choices": [{"finish_reason": None}, {"finish_reason": "stop"}]}, ["finish"]),
        ({"choices": [{"finish_reason": None}]}, []),
        ({"choices": [{}]}, []),
        ({"choices": ["x", None]}, []),
        ({"choices": []}, []),
        ({"choices": None}, []),
        ({"choices": {"finish_reason": "stop"}}, []),
        ({}, []),
        ("x", []),
        (["choices"], []),
    ],
)
def test_a_stream_with_a_schema_reports_its_finish_reason(data: Any, heard: list[str]) -> None:
    call = Call()
    assert call.process(raw_chunks._AsChats, data) == {"data": data}
    assert call.heard == heard


@pytest.mark.parametrize("kind", [raw_chunks._AsEvents, raw_chunks._AsChats])
@pytest.mark.parametrize(
    "data",
    [
        {"type": REASONS, "delta": "x", "choices": [{"finish_reason": "stop"}]},
        "x",
        None,
        ["type"],
    ],
)
def test_a_stream_of_no_call_is_passed_on_all_the_same(kind: Any, data: Any) -> None:
    client = Client()
    assert kind(client)._process_response_data(data=data, cast_to=1) == "made"
    assert client.given[0]["cast_to"] == 1


def test_a_chunk_that_is_no_complete_dict_is_an_object_of_a_chat() -> None:
    client = Client()
    instead = raw_chunks._AsDicts(client)
    whole = choice(content="x")
    assert instead._process_response_data(data=whole, response="r", cast_to=dict) is whole
    assert client.given == []
    assert instead._process_response_data(data={}, response="r", cast_to=dict) == "made"
    assert client.given == [
        {"data": {}, "cast_to": openai.types.chat.ChatCompletionChunk, "response": "r"}
    ]
    assert isinstance(instead._make_sse_decoder(), Decoder)


# Which class of streams a call gets

SYNC, ASYNC = openai.OpenAI(api_key="k"), openai.AsyncOpenAI(api_key="k")
MISSING: Any = object()


def asked(resource: Any, call: Call | None, **how: Any) -> Any:
    """Return the class of streams that the SDK is asked for."""

    def post() -> Any:
        return resource._post("/path", **how)

    return post() if call is None else call.tracker.context().run(post)


def recorded(resource: Any) -> Any:
    resource._post = lambda *args, **how: how.get("stream_cls", MISSING)
    return resource


@pytest.mark.parametrize(("client", "sync"), [(SYNC, True), (ASYNC, False)], ids=["sync", "async"])
@pytest.mark.parametrize("raw", [True, False])
def test_a_call_gets_dicts_if_it_wants_them_and_nothing_else_does(
    raw: bool, client: Any, sync: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = openai.resources.chat.completions
    kind = kinds.Completions if sync else kinds.AsyncCompletions
    base: Any = next(each for each in kind.__mro__ if "__init__" in vars(each))
    made = base.__init__

    def init(self: Any, client: Any) -> None:
        made(self, client)
        recorded(self)

    monkeypatch.setattr(base, "__init__", init)
    resource = raw_chunks.completions(client)
    assert type(resource) is kind
    call = Call()
    call.tracker.raw = raw
    dicts, objects = (
        (raw_chunks._Dicts, raw_chunks._Objects)
        if sync
        else (raw_chunks._AsyncDicts, raw_chunks._AsyncObjects)
    )
    how = {"stream": True, "stream_cls": "the SDK's"}
    assert asked(resource, call, **how) is (dicts if raw else objects)
    assert asked(resource, call, stream_cls="the SDK's") == "the SDK's"
    assert asked(resource, call, stream=False) is MISSING
    assert asked(resource, None, **how) == "the SDK's"
    monkeypatch.setattr(client, "post", client.post)
    assert asked(resource, call, **how) == "the SDK's"


@pytest.mark.parametrize("client", [SYNC, ASYNC], ids=["sync", "async"])
def test_streams_that_report_are_put_in_once_and_only_for_calls(client: Any) -> None:
    sync = client is SYNC
    stand_in = type(client)(api_key="k")
    recorded(stand_in.responses)
    resources = {
        id(each): recorded(each)
        for each in (stand_in.chat.completions, stand_in.beta.chat.completions)
        if hasattr(each, "_post")
    }
    for _ in range(2):
        raw_chunks.hear_responses(stand_in)
        raw_chunks.hear_structured(stand_in)
    call = Call()
    how = {"stream": True, "stream_cls": "the SDK's"}
    for resource, kind in [
        (stand_in.responses, raw_chunks._Events if sync else raw_chunks._AsyncEvents),
        *[
            (each, raw_chunks._Chats if sync else raw_chunks._AsyncChats)
            for each in resources.values()
        ],
    ]:
        assert asked(resource, call, **how) is kind
        assert asked(resource, call, stream=False, stream_cls="x") == "x"
        assert asked(resource, None, **how) == "the SDK's"
        once = resource._post
        raw_chunks._replace_stream(resource, lambda tracker: "another")
        assert resource._post is once


@pytest.mark.parametrize("client", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize("name", ["post", "request"])
def test_a_client_is_plain_until_one_of_its_calls_is_wrapped(
    name: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    completions = client.chat.completions
    assert raw_chunks.is_plain(completions)
    monkeypatch.setattr(client, name, getattr(client, name))
    assert not raw_chunks.is_plain(completions)
    monkeypatch.undo()
    assert raw_chunks.is_plain(completions)
    monkeypatch.setattr(type(client), name, lambda *_: None)
    assert not raw_chunks.is_plain(completions)
    monkeypatch.undo()
    monkeypatch.setattr(completions, "create", completions.create)
    assert not raw_chunks.is_plain(completions)


# Whole streams


def sent(*events: dict[str, Any]) -> Any:
    """Return a response with these events."""
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    request = httpx2.Request("POST", "http://gpu/")
    return httpx2.Response(200, content=body + b"data: [DONE]\n\n", request=request)


class Decoding(Client):
    """Likewise, with the SDK's decoder."""

    def _make_sse_decoder(self) -> Any:
        return SYNC._make_sse_decoder()


def streamed(kind: Any, call: Call | None, events: list[dict[str, Any]]) -> list[Any]:
    """Return what a class of streams makes of events, in a call or not."""
    more: Any = {"cast_to": "type", "client": Decoding(), "response": sent(*events)}

    async def asynchronously() -> list[Any]:
        return [item async for item in kind(**more)]

    def read() -> list[Any]:
        if issubclass(kind, openai.AsyncStream):
            return asyncio.run(asynchronously())
        return list(kind(**more))

    return read() if call is None else call.tracker.context().run(read)


CHATS = [
    {"id": "c", **choice(content="a")},
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]},
]
RESPONSES = [
    {"type": "response.output_text.delta", "delta": "a", "sequence_number": 1},
    {"type": REASONS, "delta": "b", "sequence_number": 2},
]


@pytest.mark.parametrize("kind", [raw_chunks._Dicts, raw_chunks._AsyncDicts])
@pytest.mark.parametrize("in_call", [True, False])
def test_a_stream_of_dicts_has_the_chunks_as_the_server_sent_them(
    in_call: bool, kind: type
) -> None:
    assert streamed(kind, Call() if in_call else None, CHATS) == CHATS


@pytest.mark.parametrize(
    ("kind", "events", "heard"),
    [
        (raw_chunks._Events, RESPONSES, ["progress"] * 2),
        (raw_chunks._AsyncEvents, RESPONSES, ["progress"] * 2),
        (raw_chunks._Chats, CHATS, ["finish"]),
        (raw_chunks._AsyncChats, CHATS, ["finish"]),
        (raw_chunks._AsyncObjects, CHATS, []),
    ],
)
def test_a_stream_of_objects_reports_to_its_call(
    kind: Any, events: list[dict[str, Any]], heard: list[str]
) -> None:
    call = Call()
    assert streamed(kind, call, events) == ["made", "made"]
    assert call.heard == heard
    assert streamed(kind, None, events) == ["made", "made"]


@pytest.mark.parametrize(
    "kind",
    [
        raw_chunks._AsyncDicts,
        raw_chunks._AsyncObjects,
        raw_chunks._AsyncEvents,
        raw_chunks._AsyncChats,
    ],
)
def test_a_call_knows_the_generators_of_an_asynchronous_stream_the_outer_one_first(
    kind: Any,
) -> None:
    call = Call()
    streamed(kind, call, CHATS if kind is not raw_chunks._AsyncEvents else RESPONSES)
    assert [each.__name__ for each in call.tracker.generators] == ["__stream__", "_iter_events"]
