"""Raw chunks and errors equal those of the SDK, for every split of the bytes."""

import functools
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions

from stream_deadline import ChatVllm
from stream_deadline import _raw_chunks as raw_chunks
from stream_deadline._ownership import sdk_client_of
from tests.stream_deadline.calls import STREAMS
from tests.stream_deadline.scripted import DONE, Answer, Scripted, chunk, delta

GOLDEN = Path(__file__).parents[1] / "fake_vllm" / "golden"
BOTH = ("stream", "astream")


def golden() -> dict[str, bytes]:
    """The chats that a real vLLM streamed."""
    found = {}
    for path in sorted(GOLDEN.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        said = case["response"].get("chunks") or []
        if (
            case["request"]["path"] == "/v1/chat/completions"
            and said
            and case["response"]["status"] == 200
        ):
            body = "".join(said)
            if body.startswith("data:"):
                found[path.stem] = body.encode()
    return found


STREAMED = golden()


def cut(body: bytes, seed: int, largest: int = 90) -> list[bytes]:
    dice, pieces = random.Random(seed), []
    while body:
        size = dice.randint(1, largest)
        pieces.append(body[:size])
        body = body[size:]
    return pieces


def outcome(call: str, model: ChatVllm) -> tuple[list[Any], Any]:
    """The chunks and the end, without the run ids, which LangChain invents per call."""
    chunks: list[Any] = []

    def keep(each: Any) -> Any:
        said = each.model_dump()
        return {**said, "id": None if str(said["id"]).startswith("lc_run") else said["id"]}

    try:
        if call == "stream":
            for each in model.stream("Why?"):
                chunks.append(keep(each))
        else:
            chunks.extend(keep(each) for each in STREAMS[call](model))
    except Exception as error:
        return chunks, (
            type(error).__name__,
            str(error).replace(f"{getattr(error, 'elapsed', 0):.2f} s", "… s"),
        )
    return chunks, None


class Player:
    """A server and its models for all tests; each test sets its own answers."""

    def __init__(self) -> None:
        self.answer = Answer([])
        self.server = Scripted(lambda request: self.answer)

    @functools.cache  # noqa: B019  # it lives as long as the module
    def model(self, raw: bool, headers: bool) -> ChatVllm:
        return ChatVllm(**self.server.settings, raw_chunks=raw, include_response_headers=headers)

    def same(
        self, answer: Answer, call: str = "stream", *, headers: bool = False
    ) -> tuple[list[Any], Any]:
        """What both ways give, which is the same."""
        self.answer = answer
        raw, other = (outcome(call, self.model(each, headers)) for each in (True, False))
        assert raw == other
        return raw


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    player = Player()
    with player.server:
        yield player


def test_there_are_transcripts_to_replay() -> None:
    assert len(STREAMED) >= 10


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("name", STREAMED)
def test_streams_of_a_real_vllm_come_out_the_same(name: str, call: str, player: Player) -> None:
    chunks, error = player.same(Answer(cut(STREAMED[name], seed=len(name))), call)
    failed = b'data: {"error"' in STREAMED[name]
    assert chunks or failed
    assert (error is not None) == failed


def with_lines(end: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(b"\n", end)


def mixed(body: bytes) -> bytes:
    events = body.split(b"\n\n")
    return (
        b"\n\n".join(events[:3])
        + b"\n\n"
        + b"\r\n\r\n".join(events[3:6])
        + b"\r\n\r\n"
        + b"\n\n".join(events[6:])
    )


def before_each(line: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(b"data: {", line + b"data: {")


def from_the_third(line: bytes) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        head, third, tail = body.partition(b"\n\n")[0], b"\n\n", body.partition(b"\n\n")[2]
        return head + third + tail.replace(b"data: {", line + b"data: {")

    return change


def over_lines(body: bytes) -> bytes:
    """JSON over several lines, as the standard allows."""
    return body.replace(b',"object"', b',\ndata: "object"')


ODD: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": with_lines(b"\r\n"),
    "CR": with_lines(b"\r"),
    "mixed ends": mixed,
    "comments": before_each(b": still here\n\n"),
    "comments beside data": before_each(b":x\n"),
    "empty comments": before_each(b":\n\n"),
    "comments with data in them": before_each(b": data: {}\n\n"),
    "a mark of the byte order": lambda body: b"\xef\xbb\xbf" + body,
    "names": before_each(b"event: message\n"),
    "names of threads": before_each(b"event: thread.created\n"),
    "ids": before_each(b"id: 7\n"),
    "ids from the second": from_the_third(b"id: 7\n"),
    "times": before_each(b"retry: 10\n"),
    "unknown fields": before_each(b"foo: bar\n"),
    "a field without a colon": before_each(b"data\n"),
    "several lines": over_lines,
    "no space": lambda body: body.replace(b"data: ", b"data:"),
    "two spaces": lambda body: body.replace(b"data: ", b"data:  "),
    "no last empty line": lambda body: body.rstrip(b"\n"),
    "one last newline": lambda body: body.rstrip(b"\n") + b"\n",
    "more empty lines": lambda body: body.replace(b"\n\n", b"\n\n\n\n"),
    "an empty line first": lambda body: b"\n" + body,
    "empty lines first": lambda body: b"\n\n\n" + body,
    "three newlines": lambda body: body.replace(b"\n\n", b"\n\n\n"),
    "no end": lambda body: body.replace(DONE, b""),
    "bytes after the end": lambda body: body + b"data: {nonsense}\n\n",
    "an end with more in it": lambda body: body.replace(DONE, b"data: [DONE] bye\n\n"),
    "no JSON": lambda body: body.replace(DONE, b"data: {nonsense}\n\n" + DONE),
    "half of it": lambda body: body[: len(body) * 2 // 3],
    "no UTF-8": lambda body: body.replace(b'"content":"', b'"content":"\xff', 2),
    "an empty event": lambda body: body.replace(DONE, b"data: \n\n" + DONE),
    "an empty field": lambda body: body.replace(DONE, b"data:\n\n" + DONE),
    "null": lambda body: body.replace(DONE, b"data: null\n\n" + DONE),
    "a word": lambda body: body.replace(DONE, b'data: "hello"\n\n' + DONE),
    "a list": lambda body: body.replace(DONE, b"data: [1]\n\n" + DONE),
    "an error": lambda body: body.replace(
        DONE, b'data: {"error": {"message": "boom", "code": 500}}\n\n' + DONE
    ),
    "an error in a word": lambda body: body.replace(DONE, b'data: {"error": "boom"}\n\n' + DONE),
    "no error": lambda body: body.replace(DONE, b'data: {"error": null, "choices": []}\n\n' + DONE),
    "an event of an error": lambda body: body.replace(
        DONE, b'event: error\ndata: {"error": {"message": "boom"}}\n\n' + DONE
    ),
    "an event of an error without one": lambda body: body.replace(
        DONE, b'event: error\ndata: {"message": "boom"}\n\n' + DONE
    ),
    "line ends of Unicode": lambda body: body.replace(
        b'"content":"', '"content":"\u2028\u0085\x0b'.encode()
    ),
    "a lone newline late": lambda body: body.replace(DONE, b"\n" + DONE),
    "NaN": lambda body: body.replace(DONE, b'data: {"choices": [], "x": NaN}\n\n' + DONE),
}
BODY = STREAMED["chat_stream"] if "chat_stream" in STREAMED else next(iter(STREAMED.values()))


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("odd", ODD)
def test_odd_servers_come_out_the_same(odd: str, call: str, player: Player) -> None:
    body = ODD[odd](BODY)
    assert body != BODY
    for seed, largest in ((1, 3), (2, 40), (3, 100_000)):
        player.same(Answer(cut(body, seed, largest)), call)


NUMBER: dict[str, Any] = {"content": 5}
LIST: dict[str, Any] = {"content": [{"type": "text", "text": "x"}]}

DELTAS: dict[str, list[bytes]] = {
    "next to nothing": [b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'],
    "no index": [b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'],
    "no delta": [b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n'],
    "a null for a delta": [
        b'data: {"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}\n\n',
        delta("x", finish="stop"),
    ],
    "no choices": [b'data: {"id":"x"}\n\n', delta("x", finish="stop")],
    "a null for choices": [b'data: {"id":"x","choices":null}\n\n', delta("x", finish="stop")],
    "no choice": [chunk(), delta("x", finish="stop")],
    "a choice that is none": [b'data: {"choices":[null]}\n\n', delta("x", finish="stop")],
    "a choice that is a word": [b'data: {"choices":["x"]}\n\n', delta("x", finish="stop")],
    "no object": [b'data: {"choices":{"0":1}}\n\n', delta("x", finish="stop")],
    "usage in each": [
        chunk(
            {"index": 0, "delta": {"content": "x"}},
            usage={"prompt_tokens": 1, "completion_tokens": 1},
        )
    ],
    "usage of no tokens": [delta("x", finish="stop"), chunk(usage={})],
    "usage with details": [
        delta("x", finish="stop"),
        chunk(
            usage={
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1},
                "completion_tokens_details": None,
            }
        ),
    ],
    "a number for a text": [delta(finish="stop", **NUMBER)],
    "a list for a text": [delta(finish="stop", **LIST)],
    "two tools, one without an index": [
        delta(
            tool_calls=[{"index": 0, "function": {"name": "f"}}, {"function": {"name": "g"}}],
            finish="tool_calls",
        )
    ],
    "tools that are no list": [delta(tool_calls={"0": 1}, finish="tool_calls")],
    "a tool that is a word": [delta(tool_calls=["x"], finish="tool_calls")],
    "a tool of another kind": [
        delta(
            tool_calls=[{"index": 0, "type": "custom", "custom": {"name": "f"}}],
            finish="tool_calls",
        )
    ],
    "a second choice that is odd": [
        chunk({"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}, {"delta": 5})
    ],
    "usage without a total": [delta("x", finish="stop"), chunk(usage={"prompt_tokens": 1})],
    "usage that is a word": [delta("x", finish="stop"), chunk(usage="none")],
    "a tool without an id": [
        delta(
            tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}],
            finish="tool_calls",
        )
    ],
    "a tool without an index": [
        delta(tool_calls=[{"id": "t", "function": {"name": "f"}}], finish="tool_calls")
    ],
    "a tool without a function": [delta(tool_calls=[{"index": 0, "id": "t"}], finish="tool_calls")],
    "a tool with a null": [
        delta(tool_calls=[{"index": 0, "id": "t", "function": None}], finish="tool_calls")
    ],
    "a tool without arguments": [
        delta(tool_calls=[{"index": 0, "id": "t", "function": {"name": "f"}}], finish="tool_calls")
    ],
    "a function call": [
        delta(function_call={"name": "f", "arguments": "{}"}, finish="function_call")
    ],
    "a function call without a name": [
        delta(function_call={"arguments": "{}"}, finish="function_call")
    ],
    "a role of its own": [delta("x", role="system", finish="stop")],
    "an unknown role": [delta("x", role="oracle", finish="stop")],
    "a tool's role": [delta("x", role="tool", finish="stop")],
    "an unknown reason": [delta("x", finish="abort")],
    "a reason that is a number": [
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":7}]}\n\n'
    ],
    "logprobs": [
        chunk(
            {
                "index": 0,
                "delta": {"content": "x"},
                "logprobs": {"content": [{"token": "x", "logprob": -1}]},
                "finish_reason": "stop",
            }
        )
    ],
    "more than it should have": [delta("x", finish="stop", foo={"bar": 1})],
    "a service tier": [
        chunk(
            {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"},
            service_tier="default",
            system_fingerprint="f",
        )
    ],
    "a null for a model": [
        chunk({"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}, model=None)
    ],
    "thoughts": [delta(reasoning="hm"), delta(reasoning_content="hm", content="x", finish="stop")],
    "a type": [b'data: {"type":"content.delta","choices":[]}\n\n', delta("x", finish="stop")],
}


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("said", DELTAS)
def test_odd_chunks_come_out_the_same(said: str, call: str, player: Player) -> None:
    player.same(Answer([*DELTAS[said], DONE]), call)


PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("packed", PACKED)
def test_a_compressed_stream_comes_out_the_same(packed: str, call: str, player: Player) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": packed}
    chunks, error = player.same(Answer(cut(PACKED[packed](BODY), 4), headers=headers), call)
    assert (len(chunks) > 3, error) == (True, None)


@pytest.mark.parametrize("call", BOTH)
def test_the_headers_of_a_response_come_out_the_same(call: str, player: Player) -> None:
    headers = {"content-type": "text/event-stream", "x-request-id": "r1"}
    chunks, error = player.same(Answer([BODY], headers=headers), call, headers=True)
    assert chunks[0]["response_metadata"]["headers"]["x-request-id"] == "r1"
    assert error is None


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_a_refusal_comes_out_the_same(status: int, call: str, player: Player) -> None:
    headers = {"content-type": "application/json"}
    chunks, error = player.same(Answer([b'{"error": {"message": "no"}}'], status, headers), call)
    assert (chunks, "no" in error[1]) == ([], True)


@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_an_answer_that_is_not_a_stream_comes_out_the_same(
    kind: str, call: str, player: Player
) -> None:
    player.same(Answer([b"<p>Please log in</p>\n\n"], headers={"content-type": kind}), call)
    player.same(Answer([b'{"choices": []}'], headers={"content-type": kind}), call)


@pytest.mark.parametrize("call", BOTH)
def test_a_server_that_hangs_up_comes_out_the_same(call: str, player: Player) -> None:
    _, error = player.same(Answer([BODY[:-40]], hangs_up=True), call)
    assert error is not None


# Where something watches the SDK's calls


def by_sdk(call: str, model: ChatVllm, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the chunks of a call are made of the SDK's objects."""
    seen: set[bool] = set()
    convert = ChatVllm._convert_chunk_to_generation_chunk

    def noted(self: Any, chunk: Any, *args: Any) -> Any:
        seen.add("service_tier" in chunk)  # the SDK's objects have every field
        return convert(self, chunk, *args)

    monkeypatch.setattr(ChatVllm, "_convert_chunk_to_generation_chunk", noted)
    STREAMS[call](model)
    assert len(seen) == 1
    return seen.pop()


PLAIN = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'


def wrap_plainly(function: Any) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrap_politely(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrap_transparently(function: Any) -> Any:
    wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
    return wrapt.FunctionWrapper(
        function, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs)
    )


WRAPPERS = {"plainly": wrap_plainly, "politely": wrap_politely, "transparently": wrap_transparently}
CLASSES: dict[tuple[str, str], type] = {
    ("stream", "create"): Completions,
    ("stream", "post"): openai.OpenAI,
    ("stream", "request"): openai.OpenAI,
    ("astream", "create"): AsyncCompletions,
    ("astream", "post"): openai.AsyncOpenAI,
    ("astream", "request"): openai.AsyncOpenAI,
}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted(Answer([PLAIN, DONE])) as server:
        yield server


@pytest.mark.parametrize("call", BOTH)
def test_chunks_are_dicts_if_nothing_wraps_the_sdk(
    call: str, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not by_sdk(call, ChatVllm(**server.settings), monkeypatch)


@pytest.mark.parametrize("where", ["class", "base", "instance", "before", "copy"])
@pytest.mark.parametrize("name", ["create", "post", "request"])
@pytest.mark.parametrize("call", BOTH)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_around_the_sdks_calls_gets_its_objects(
    wrapper: str,
    call: str,
    name: str,
    where: str,
    server: Scripted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wrapper may be older or newer than the model, on class or client."""
    kind, wrap = CLASSES[call, name], WRAPPERS[wrapper]
    model = None if where == "before" else ChatVllm(**server.settings)
    if where in ("class", "before"):
        monkeypatch.setattr(kind, name, wrap(getattr(kind, name)))
    elif where == "base":
        base = next(each for each in kind.__mro__ if name in vars(each))
        monkeypatch.setattr(base, name, wrap(getattr(base, name)))
    else:
        assert model is not None
        if where == "copy":
            model = model.model_copy()
        thing = model.client if call == "stream" else model.async_client
        target = thing if name == "create" else thing._client
        monkeypatch.setattr(target, name, wrap(getattr(target, name)))
    assert by_sdk(call, model or ChatVllm(**server.settings), monkeypatch)


def test_a_field_switches_it_off(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_sdk("stream", ChatVllm(**server.settings, raw_chunks=False), monkeypatch)


def test_calls_of_the_users_own_on_the_client_get_the_sdks_objects(server: Scripted) -> None:
    """A user of the model's own client gets what the SDK gives."""
    client = ChatVllm(**server.settings).root_client
    messages: Any = [{"role": "user", "content": "Why?"}]
    for resource in (client.chat.completions, ChatVllm(**server.settings).client):
        assert [
            type(each).__name__
            for each in resource.create(model="m", messages=messages, stream=True)
        ] == ["ChatCompletionChunk"]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n: x\n\nevent: e\ndata: 3\n\ndata: 4\n\n", ["1", "2", "3", "4"]),
        (b"data: 1\n\n: x\rdata: 2\n\ndata: 3\n\n", ["1", "2", "3"]),
        (b"data: 1\r\rdata: 2\n\n", ["1", "2"]),
        (b"data: 1\r\n\r\n: x\r\n\r\ndata: 2\r\n\r\n", ["1", "2"]),
    ],
)
def test_the_fast_decoder_hands_over_once_and_loses_nothing(body: bytes, events: list[str]) -> None:
    """Simple events, then a comment or another end of a line, split at every place."""
    client = openai.OpenAI(api_key="k")
    for at in range(len(body) + 1):
        for further in range(at, len(body) + 1):
            pieces = [body[:at], body[at:further], body[further:]]
            got = [
                each.data
                for each in raw_chunks.Decoder(client._make_sse_decoder()).iter_bytes(iter(pieces))
            ]
            assert got == events, (at, further)


def test_a_whole_tool_call_needs_no_object_of_the_sdk() -> None:
    call = {"index": 0, "function": {"name": "add"}}
    chunk = {"choices": [{"delta": {"tool_calls": [call]}}]}
    assert raw_chunks._is_complete(chunk)
    assert call == {
        "index": 0, "id": None, "type": None, "function": {"name": "add", "arguments": None},
    }  # fmt: skip
    del call["function"]
    assert not raw_chunks._is_complete(chunk)


@pytest.mark.parametrize("name", ["with_options", "copy"])
def test_a_client_that_was_changed_in_place_is_left_as_it_is(name: str) -> None:
    """Instrumentation replaces these methods, to see what the copies ask."""
    client = openai.OpenAI(api_key="k")
    assert sdk_client_of(client.chat.completions) is client
    setattr(client, name, getattr(client, name))
    assert sdk_client_of(client.chat.completions) is None


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: x\n", b"\n"],
        [b"data: x", b"\n\n"],
        [b"data: x", b"\n", b"\n"],
        [b"da", b"ta: x\n", b"\ndata: y"],
    ],
    ids=str,
)
def test_an_event_is_there_as_soon_as_its_empty_line_is(pieces: list[bytes]) -> None:
    client = openai.OpenAI(api_key="none")
    decoder = raw_chunks.Decoder(client._make_sse_decoder())
    found = [[event.data for event in decoder._events(piece)] for piece in pieces]
    assert found == [*([[]] * (len(pieces) - 1)), ["x"]]
