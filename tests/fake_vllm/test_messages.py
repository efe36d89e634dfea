"""`/v1/messages` on the wire: Anthropic's clients, rules, the ledger, and every kind of fault."""

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import arrivals, ask, chunks, events, read

if TYPE_CHECKING:
    from anthropic import Anthropic

PATH = "/v1/messages"
END = b"0\r\n\r\n"
ASKED: dict[str, Any] = {"model": "fake-model", "max_tokens": 900}
HELLO: list[Any] = [{"role": "user", "content": "How is it in Bern?"}]
TOOL: Any = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=40", gap=0.001, api_key="key") as fake:
        yield fake


@pytest.fixture
def fake(server: FakeVllm) -> FakeVllm:
    server.reset()
    return server


@pytest.fixture(scope="module")
def client(server: FakeVllm) -> Iterator["Anthropic"]:
    from anthropic import Anthropic  # it takes a second to load

    root = server.base_url.removesuffix("/v1")
    with Anthropic(base_url=root, auth_token="key", max_retries=0) as made:
        yield made


def test_a_client_reads_a_message_and_streams_it(fake: FakeVllm, client: "Anthropic") -> None:
    fake.when(path=PATH, prompt="Bern").answer("It is sunny.")
    message = client.messages.create(messages=HELLO, **ASKED)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == "It is sunny."
    assert (message.stop_reason, message.model) == ("end_turn", "fake-model")
    with client.messages.stream(messages=HELLO, system="Be brief.", **ASKED) as stream:
        assert "".join(stream.text_stream) == "It is sunny."
        final = stream.get_final_message()
    assert final.usage.output_tokens == message.usage.output_tokens
    assert [entry.path for entry in fake.requests] == [PATH, PATH]
    counted = client.messages.count_tokens(model="fake-model", messages=HELLO)
    assert counted.input_tokens == message.usage.input_tokens


@pytest.mark.parametrize("streamed", [False, True])
def test_a_loop_of_tools_ends_with_the_answer_to_their_result(
    fake: FakeVllm, client: "Anthropic", streamed: bool
) -> None:
    fake.when(prompt="Bern").answer(
        "Let me look.", tool_calls=[{"name": "weather", "arguments": {"city": "Bern"}}]
    )
    fake.when(tool_result="sun").answer("It is sunny.")

    def say(messages: list[Any]) -> Any:
        if not streamed:
            return client.messages.create(messages=messages, tools=[TOOL], **ASKED)
        with client.messages.stream(messages=messages, tools=[TOOL], **ASKED) as stream:
            return stream.get_final_message()

    first = say(HELLO)
    assert first.stop_reason == "tool_use"
    text, call = first.content
    assert (text.text.strip(), call.name, call.input) == (
        "Let me look.",
        "weather",
        {"city": "Bern"},
    )
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
    last = say(
        [
            *HELLO,
            {"role": "assistant", "content": [block.model_dump() for block in first.content]},
            {"role": "user", "content": [result]},
        ]
    )
    assert last.content[0].text == "It is sunny."


def test_a_client_that_leaves_frees_the_slot(fake: FakeVllm, client: "Anthropic") -> None:
    fake.play("endless")
    with client.messages.stream(messages=HELLO, **ASKED) as stream:
        next(iter(stream.text_stream))
    entry = fake.until_freed()
    assert (entry.end, entry.tokens_after_left) == ("client left", 0)


def test_an_asynchronous_client_that_is_cancelled_frees_the_slot(fake: FakeVllm) -> None:
    from anthropic import AsyncAnthropic

    fake.play("endless")

    async def talk() -> None:
        root = fake.base_url.removesuffix("/v1")
        async with AsyncAnthropic(base_url=root, auth_token="key", max_retries=0) as client:
            async with client.messages.stream(messages=HELLO, **ASKED) as stream:
                async for _ in stream.text_stream:
                    break
            message = client.messages.create(messages=HELLO, **{**ASKED, "max_tokens": 20_000})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(message, 0.3)

    asyncio.run(talk())
    fake.wait_for(lambda entry: entry.number == 1 and entry.slot_freed is not None)
    fake.wait_for(lambda entry: entry.number == 2 and entry.slot_freed is not None)
    ends = [(entry.end, entry.tokens_after_left) for entry in fake.requests]
    assert ends == [("client left", 0)] * 2


def test_clients_see_errors_as_their_own(fake: FakeVllm, client: "Anthropic") -> None:
    import anthropic

    with pytest.raises(anthropic.NotFoundError, match="The model `nope` does not exist"):
        client.messages.create(messages=HELLO, **{**ASKED, "model": "nope"})
    with pytest.raises(anthropic.RateLimitError) as refused:
        client.messages.create(
            messages=HELLO, extra_headers={"x-fake-scenario": "refuse:status=429"}, **ASKED
        )
    assert refused.value.body == {
        "type": "error",
        "error": {
            "type": "Too Many Requests",
            "message": "Rate limit exceeded. Please try again later.",
        },
    }
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(auth_token="other").messages.create(messages=HELLO, **ASKED)
    fake.play("error_event:after=3")
    with (
        pytest.raises(anthropic.APIStatusError, match="ChatCompletionStreamResponse"),
        client.messages.stream(messages=HELLO, **ASKED) as stream,
    ):
        stream.get_final_message()
    with pytest.raises(anthropic.InternalServerError, match="EngineCore encountered"):
        client.messages.create(messages=HELLO, **ASKED)


def post(fake: FakeVllm, scenario: str, **more: Any) -> httpx2.Response:
    headers = {"x-fake-scenario": scenario, "authorization": "Bearer key"}
    body = {"messages": HELLO, **ASKED, "stream": True, **more}
    return httpx2.post(f"{fake.base_url}/messages", json=body, headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def open_server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=8", gap=0.001, sse_keep_alive_interval=0.1) as fake:
        yield fake


def streamed(fake: FakeVllm, scenario: str, *, until: bytes = END) -> bytes:
    with ask(fake, scenario, path=PATH) as connection:
        return read(connection, until=until)[1]


def kinds(body: bytes) -> list[str]:
    return [event.partition(b"\n")[0].decode().removeprefix("event: ") for event in events(body)]


TOKEN = "content_block_delta"
OPENED = ["message_start", "content_block_start"]
CLOSED = ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize(
    ("scenario", "seen"),
    [
        ("burst:tokens=1", [*OPENED, *[TOKEN] * 8, *CLOSED]),
        ("ends_early:after=3", [*OPENED, *[TOKEN] * 3]),
        ("abort:after=3", [*OPENED, *[TOKEN] * 3, *CLOSED]),
        ("error_event:after=3", [*OPENED, *[TOKEN] * 3, "error"]),
        ("no_done", [*OPENED, *[TOKEN] * 8, *CLOSED[:-1]]),
        ("duplicate:after=1", [*OPENED, *[TOKEN] * 9, *CLOSED]),
        ("out_of_order:after=2", [*OPENED, *[TOKEN] * 8, *CLOSED]),
        ("malformed:after=2", [*OPENED, *[TOKEN] * 8, *CLOSED]),
    ],
)
def test_a_fault_changes_the_events_of_a_message(
    open_server: FakeVllm, scenario: str, seen: list[str]
) -> None:
    body = streamed(open_server, scenario)
    assert kinds(body) == seen
    assert chunks(body)[-1] == b""
    if scenario != "out_of_order:after=2":  # which sends two events together
        assert all(chunk.count(b"\n\n") == 1 for chunk in chunks(body)[:-1])


def test_an_aborted_message_has_no_reason(open_server: FakeVllm) -> None:
    ended = [event for event in events(streamed(open_server, "abort")) if b"message_delta" in event]
    assert b'"stop_reason":null,"stop_sequence":null' in ended[0]


def test_one_event_of_a_malformed_message_is_not_json(open_server: FakeVllm) -> None:
    broken = []
    for event in events(streamed(open_server, "malformed:after=2")):
        try:
            json.loads(event.partition(b"data: ")[2])
        except ValueError:
            broken.append(event)
    assert len(broken) == 1


@pytest.mark.parametrize(
    ("scenario", "end"),
    [("reset:after=3", "reset"), ("close:after=3", "closed"), ("time_limit:seconds=0.3", "closed")],
)
def test_a_cut_message_has_no_end(open_server: FakeVllm, scenario: str, end: str) -> None:
    fault = scenario if "time" not in scenario else f"endless+stall:after=3+{scenario}"
    with ask(open_server, fault, path=PATH) as connection:
        came = b""
        try:
            for _, data in arrivals(connection):
                came += data
        except ConnectionResetError:
            assert end == "reset"
    assert kinds(came.partition(b"\r\n\r\n")[2])[:3] == [*OPENED, TOKEN]
    assert not came.endswith(END)
    assert open_server.until_over().end == end


@pytest.mark.parametrize("scenario", ["stall:after=3", "keep_alive:after=3,every=0.01"])
def test_a_silent_message_stays_open(open_server: FakeVllm, scenario: str) -> None:
    with ask(open_server, scenario, path=PATH) as connection:
        _, body = read(connection, until=b": keep-alive", seconds=0.5)
        assert open_server.until_started().over is None
    assert kinds(body)[:5] == [*OPENED, *[TOKEN] * 3]
    assert open_server.until_freed().tokens_after_left == 0


def test_vllms_own_comments_are_in_chats_only(open_server: FakeVllm) -> None:
    for path, has in ((PATH, False), ("/v1/responses", False), ("/v1/chat/completions", True)):
        with ask(open_server, "ends_early:after=2+pace:gap=250", path=path) as connection:
            assert (b": keep-alive" in read(connection, until=END)[1]) is has


def test_a_response_whose_generation_fails_is_cut(open_server: FakeVllm) -> None:
    with ask(open_server, "error_event:after=3", path="/v1/responses") as connection:
        _, body = read(connection)
    assert kinds(body)[-1] == "response.output_text.delta"
    assert b"EngineCore" not in body
    assert not body.endswith(END)
    assert open_server.until_over().end == "failed"


@pytest.mark.parametrize("more", [{}, {"stop_sequences": ["going"]}, {"system": "Be"}])
def test_a_message_is_the_same_with_and_without_the_fast_path(
    server: FakeVllm, more: dict[str, Any]
) -> None:
    def said(scenario: str) -> list[str]:
        text = post(server, scenario, max_tokens=250, **more).text
        return [event for event in text.split("\n\n") if '"message_start"' not in event]

    quick, slow = said("endless"), said("endless+burst:tokens=1")
    assert quick == slow
    assert len(quick) > 80
