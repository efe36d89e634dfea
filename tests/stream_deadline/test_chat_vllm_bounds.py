"""Three bounds, the ambient budget, one call's own bounds, and retries of `ChatVllm`."""

import asyncio
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx2
import openai
import pytest
from langchain_core.messages import AIMessageChunk

from stream_deadline import ChatVllm, StreamDeadlineExceeded, bounded, bounded_sync, deadline
from stream_lab import Endpoint, bundled
from tests.at_once import at_once
from tests.conftest import ledger
from tests.stream_deadline.in_memory import FAMILY

LIMIT = 0.5
LATEST = 10.0  # wide: the question is whether it ends
LONG = 30.0


def chat(endpoint: Endpoint, scenario: str = "endless", **options: Any) -> ChatVllm:
    return ChatVllm(
        **{
            **endpoint.settings,
            "timeout": LONG,
            "extra_body": {"fake_scenario": scenario},
            **options,
        }
    )


async def _drain(model: ChatVllm) -> None:
    async for _ in model.astream("Why?"):
        pass


def drain(model: ChatVllm, is_async: bool) -> None:
    if is_async:
        asyncio.run(_drain(model))
    else:
        for _ in model.stream("Why?"):
            pass


both = pytest.mark.parametrize("is_async", [True, False], ids=["astream", "stream"])


@both
@pytest.mark.parametrize(
    "scenario",
    ["keep_alive:after=3,every=0.05", "empty_deltas:after=3,every=0.05", "stall:after=3"],
)
def test_chunks_without_content_do_not_reset_idle(
    scenario: str, is_async: bool, fake: Endpoint
) -> None:
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, f"endless+{scenario}", idle_timeout=LIMIT), is_async)
    assert caught.value.bound == "idle_timeout"
    assert LIMIT <= time.monotonic() - started < LONG / 2


@both
@at_once
def test_a_stream_that_keeps_talking_is_not_idle(is_async: bool, fake: Endpoint) -> None:
    """It takes longer than the bound, and a pause takes a hundredth of it."""
    drain(chat(fake, "finite:tokens=120", idle_timeout=2.0), is_async)


@both
@pytest.mark.parametrize(
    "scenario", ["no_first_token", "no_headers", "endless+empty_deltas:after=0,every=0.05"]
)
def test_the_first_chunk_with_content_has_a_bound_of_its_own(
    scenario: str, is_async: bool, fake: Endpoint
) -> None:
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, scenario, first_chunk_timeout=LIMIT), is_async)
    assert caught.value.bound == "first_chunk_timeout"
    assert LIMIT <= time.monotonic() - started < LONG / 2


@both
def test_the_error_has_the_partial_message(is_async: bool, fake: Endpoint) -> None:
    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, timeout=LIMIT), is_async)
    partial = caught.value.partial
    assert isinstance(partial, AIMessageChunk)
    assert len(str(partial.content).split()) > 3
    assert pickle.loads(pickle.dumps(caught.value)).partial.content == partial.content


def test_the_partial_message_has_the_tool_calls(fake: Endpoint) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, timeout=LIMIT).bind_tools([weather], tool_choice="weather"), False)  # type: ignore[arg-type]
    assert caught.value.partial.tool_call_chunks[0]["name"] == "weather"


@both
def test_an_ambient_budget_shortens_every_call_inside(is_async: bool, fake: Endpoint) -> None:
    started = time.monotonic()
    with deadline(LIMIT), pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake), is_async)
    assert (caught.value.bound, caught.value.limit) == ("deadline", LIMIT)
    assert time.monotonic() - started < LATEST


def test_an_ambient_budget_holds_for_several_calls_together(fake: Endpoint) -> None:
    model, started = chat(fake, "finite:tokens=5"), time.monotonic()

    def again_and_again() -> None:
        while True:
            model.invoke("Why?")

    with deadline(1.0), pytest.raises(StreamDeadlineExceeded):
        again_and_again()
    assert 1.0 <= time.monotonic() - started < 1.0 + LATEST


def test_no_request_is_sent_if_the_budget_is_used_up(fake: Endpoint, http: httpx2.Client) -> None:
    before = len(ledger(http, fake))
    with deadline(0), pytest.raises(StreamDeadlineExceeded):
        chat(fake).invoke("Why?")
    with deadline(0), pytest.raises(StreamDeadlineExceeded):
        asyncio.run(chat(fake).ainvoke("Why?"))
    assert len(ledger(http, fake)) == before


@both
def test_one_call_can_have_bounds_of_its_own(is_async: bool, fake: Endpoint) -> None:
    for own in ({"timeout": LIMIT}, {"stream_timeout": LIMIT}):
        with pytest.raises(StreamDeadlineExceeded) as caught:
            drain(chat(fake).bind(**own), is_async)  # type: ignore[arg-type]
        assert (caught.value.bound, caught.value.limit) == ("timeout", LIMIT)
    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, "stall:after=2", timeout=None).bind(idle_timeout=LIMIT), is_async)  # type: ignore[arg-type]
    assert caught.value.bound == "idle_timeout"


def test_the_bounds_of_a_call_are_checked_like_those_of_a_model(fake: Endpoint) -> None:
    for wrong in ({"timeout": 0}, {"timeout": "5"}, {"idle_timeout": -1}, {"stream_timeout": True}):
        with pytest.raises(ValueError, match="must be a"):
            chat(fake).invoke("Why?", **wrong)


def test_a_part_of_the_model_is_ignored_if_the_calls_whole_is_shorter(fake: Endpoint) -> None:
    with pytest.raises(StreamDeadlineExceeded) as caught:
        drain(chat(fake, idle_timeout=20).bind(timeout=LIMIT), False)  # type: ignore[arg-type]
    assert caught.value.bound == "timeout"


def test_a_time_out_for_each_phase_is_not_a_total(fake: Endpoint) -> None:
    for phases in (httpx2.Timeout(5), (3.0, 5.0)):
        with pytest.raises(ValueError, match="pass stream_timeout"):
            chat(fake, timeout=phases)
    with pytest.raises(StreamDeadlineExceeded):
        drain(chat(fake, timeout=(3.0, 5.0), stream_timeout=LIMIT), False)


# Retries


@both
def test_a_request_to_a_busy_server_is_retried_within_the_budget(
    is_async: bool, fake: Endpoint, http: httpx2.Client
) -> None:
    scenario = f"refuse:status=503,retry_after=0.1,times=2,key={is_async}+finite:tokens=3"
    drain(chat(fake, scenario), is_async)
    attempts = [entry for entry in ledger(http, fake) if entry["scenario"] == scenario]
    assert [entry["end"] for entry in attempts] == ["refused", "refused", "finished"]


@both
def test_a_request_is_retried_at_most_max_retries_times(
    is_async: bool, fake: Endpoint, http: httpx2.Client
) -> None:
    for retries in (0, 1):
        scenario = f"refuse:status=429,retry_after=0.05,times=0,key={is_async}{retries}"
        with pytest.raises(openai.RateLimitError):
            drain(chat(fake, scenario, max_retries=retries), is_async)
        assert (
            len([entry for entry in ledger(http, fake) if entry["scenario"] == scenario])
            == retries + 1
        )


@both
def test_a_pause_that_is_longer_than_the_budget_is_not_made(is_async: bool, fake: Endpoint) -> None:
    started = time.monotonic()
    with pytest.raises(openai.InternalServerError):
        drain(chat(fake, "refuse:status=503,retry_after=25,times=0", timeout=20), is_async)
    assert time.monotonic() - started < 10


@both
@pytest.mark.parametrize("scenario", ["endless+reset:after=3", "endless+error_event:after=3"])
def test_no_request_is_retried_after_the_answer_has_begun(
    scenario: str, is_async: bool, fake: Endpoint, http: httpx2.Client
) -> None:
    before = len(ledger(http, fake))
    # Before openai 3 what breaks in the middle of a stream came out as the transport's own error.
    with pytest.raises((openai.APIError, FAMILY.TransportError)):
        drain(chat(fake, scenario), is_async)
    assert len(ledger(http, fake)) == before + 1


@pytest.mark.parametrize("is_async", [True, False], ids=["ainvoke", "invoke"])
def test_a_request_that_may_have_started_a_generation_is_not_sent_again(
    is_async: bool, fake: Endpoint, http: httpx2.Client
) -> None:
    before, model = len(ledger(http, fake)), chat(fake, "endless+reset:after=5")
    with pytest.raises(openai.APIConnectionError):
        asyncio.run(model.ainvoke("Why?")) if is_async else model.invoke("Why?")
    assert len(ledger(http, fake)) == before + 1


@both
def test_a_refused_connection_is_retried_within_the_budget(is_async: bool, fake: Endpoint) -> None:
    started = time.monotonic()
    with pytest.raises(openai.APIConnectionError):
        drain(chat(fake, base_url="http://127.0.0.1:9/v1", timeout=0.3), is_async)
    assert time.monotonic() - started < 0.3 + LATEST


# Clients


def test_a_model_serves_several_event_loops_without_an_extra_request(
    fake: Endpoint, http: httpx2.Client
) -> None:
    model, before = chat(fake, "finite:tokens=3"), len(ledger(http, fake))
    for _ in range(4):
        asyncio.run(model.ainvoke("Why?"))
    assert [entry["end"] for entry in ledger(http, fake)[before:]] == ["finished"] * 4


def test_the_certificates_are_loaded_once_for_all_event_loops(
    fake: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = chat(fake, "finite:tokens=3")
    asyncio.run(model.ainvoke("Why?"))
    monkeypatch.setattr(
        "ssl.SSLContext.load_verify_locations", lambda *_, **__: pytest.fail("loaded once more")
    )
    asyncio.run(model.ainvoke("Why?"))


def test_a_connection_is_used_again_within_one_event_loop(fake: Endpoint) -> None:
    async def two() -> None:
        model = chat(fake, "finite:tokens=3")
        await model.ainvoke("Why?")
        await model.ainvoke("Why?")
        client = model.root_async_client._client._mine()
        assert len(client._transport._pool.connections) == 1

    asyncio.run(two())


def test_the_users_own_clients_are_used_and_keep_their_hooks_and_other_calls(
    fake: Endpoint,
) -> None:
    seen: list[str] = []

    async def anoted(request: Any) -> None:
        seen.append("async")

    own = openai.DefaultHttpxClient(
        event_hooks={"request": [lambda request: seen.append("sync")]}, headers={"x-team": "a"}
    )
    own_async = openai.DefaultAsyncHttpxClient(event_hooks={"request": [anoted]})
    for _ in range(3):  # however many models share it, its transport is wrapped once
        model = chat(fake, "finite:tokens=3", http_client=own, http_async_client=own_async)
    for client in (own, own_async):
        assert not hasattr(cast(Any, client)._transport.inner, "inner")
    model.invoke("Why?")
    assert own.get(fake.root + "/health").status_code == 200

    async def ask() -> None:
        await model.ainvoke("Why?")
        assert (await own_async.get(fake.root + "/health")).status_code == 200

    asyncio.run(ask())
    assert seen == ["sync", "sync", "async", "async"]


def test_a_pooled_connection_that_serves_another_call_is_not_ended(fake: Endpoint) -> None:
    """The deadline of a finished call must not reach the next user of its connection."""
    model = chat(fake, "finite:tokens=3", timeout=LIMIT)
    other = chat(fake, "finite:tokens=60", timeout=LONG, http_client=model.root_client._client)
    started = time.monotonic()
    stream = model.stream("Why?")
    for _ in stream:
        pass
    assert sum(len(str(chunk.content)) > 0 for chunk in other.stream("Why?")) >= 60
    assert time.monotonic() - started > LIMIT


def test_the_sdks_own_streams_can_be_bounded_as_well(fake: Endpoint, http: httpx2.Client) -> None:
    body: dict[str, Any] = {
        "model": fake.model,
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
    }
    extra = {"fake_scenario": "endless+stall:after=3"}
    with (
        openai.OpenAI(base_url=fake.base_url, api_key="none", timeout=LONG) as client,
        pytest.raises(StreamDeadlineExceeded),
    ):
        list(bounded_sync(client.chat.completions.create(**body, extra_body=extra), LIMIT))
    assert over(http, fake)

    async def main() -> None:
        async with openai.AsyncOpenAI(
            base_url=fake.base_url, api_key="none", timeout=LONG
        ) as client:
            stream = bounded(await client.chat.completions.create(**body, extra_body=extra), LIMIT)
            with pytest.raises(StreamDeadlineExceeded):
                async for _ in stream:
                    pass

    asyncio.run(main())
    assert over(http, fake)


def over(client: httpx2.Client, endpoint: Endpoint) -> bool:
    until = time.monotonic() + LATEST
    while time.monotonic() < until:
        if ledger(client, endpoint)[-1]["end"] == "client left":
            return True
        time.sleep(0.02)
    return False


# A drop-in


def test_it_can_be_pickled_copied_and_retried(fake: Endpoint) -> None:
    model = chat(fake, "finite:tokens=3", timeout=20, idle_timeout=5)
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.stream_timeout, copy.idle_timeout, copy.request_timeout) == ("timeout", 5, 20)
    assert copy.invoke("Why?").content == model.invoke("Why?").content
    assert model.model_copy().invoke("Why?").content
    assert model.with_retry(stop_after_attempt=2).invoke("Why?").content


def test_with_a_client_of_the_users_own_it_cannot_be_pickled(fake: Endpoint) -> None:
    with pytest.raises(TypeError, match="http_client of your own"):
        pickle.dumps(chat(fake, http_client=openai.DefaultHttpxClient()))


def test_langchains_bound_between_chunks_is_off_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "stream_chunk_timeout" not in ChatVllm.model_fields:
        pytest.skip("langchain-openai before 1.2 has no stream_chunk_timeout")
    assert ChatVllm(model="m", timeout=45).stream_chunk_timeout is None
    assert ChatVllm(model="m", timeout=45, stream_chunk_timeout=9).stream_chunk_timeout == 9
    assert ChatVllm(model="m").stream_chunk_timeout is not None, (
        "without a deadline of ours it is all there is"
    )
    monkeypatch.setenv("LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S", "7")
    assert ChatVllm(model="m", timeout=45).stream_chunk_timeout == 7


def test_a_subclass_can_extend_the_model(fake: Endpoint) -> None:
    class Shouting(ChatVllm):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            for chunk in super()._stream(*args, **kwargs):
                chunk.message.content = str(chunk.message.content).upper()
                yield chunk

    model = Shouting(
        **{**fake.settings, "timeout": LONG, "extra_body": {"fake_scenario": "finite:tokens=3"}}
    )
    text = "".join(str(chunk.content) for chunk in model.stream("Why?"))
    assert text
    assert text == text.upper()


@pytest.fixture
def flood() -> Iterator[Endpoint]:
    """A server without any pace, which fills every buffer on the way."""
    with bundled("endless", gap=0) as endpoint:
        yield endpoint


@both
def test_a_server_that_is_faster_than_its_consumer_ends_at_the_deadline(
    is_async: bool, flood: Endpoint, http: httpx2.Client
) -> None:
    started = time.monotonic()
    model = ChatVllm(**{**flood.settings, "timeout": LIMIT})

    async def slowly() -> None:
        async for _ in model.astream("Why?"):
            await asyncio.sleep(0.02)

    def slowly_sync() -> None:
        for _ in model.stream("Why?"):
            time.sleep(0.02)

    with pytest.raises(StreamDeadlineExceeded):
        asyncio.run(slowly()) if is_async else slowly_sync()
    assert LIMIT <= time.monotonic() - started < LATEST
    assert over(http, flood)


@both
def test_a_server_that_floods_an_idle_consumer_is_free_at_the_deadline(
    is_async: bool, flood: Endpoint, http: httpx2.Client
) -> None:
    """It has much left to send, so only a reset of the connection stops it."""
    model = ChatVllm(**{**flood.settings, "timeout": LIMIT})

    async def hold() -> None:
        stream = model.astream("Why?")
        await anext(stream)
        await asyncio.sleep(LIMIT + 0.5)
        assert await asyncio.to_thread(over, http, flood)
        with pytest.raises(StreamDeadlineExceeded):
            await anext(stream)

    def hold_sync() -> None:
        stream = model.stream("Why?")
        next(stream)
        time.sleep(LIMIT + 0.5)
        assert over(http, flood)
        with pytest.raises(StreamDeadlineExceeded):
            next(stream)

    asyncio.run(hold()) if is_async else hold_sync()


@pytest.mark.parametrize(
    ("style", "longest"), [("ainvoke", 5.0), ("astream", 5.0), ("invoke", 3.0), ("stream", 3.0)]
)
def test_only_a_thread_needs_a_socket_that_ends_with_the_call(style: str, longest: float) -> None:
    """An event loop ends the call itself, so its sockets keep the SDK's time-outs."""
    given: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        given.extend(request.extensions["timeout"].values())
        return httpx2.Response(500)

    transport = httpx2.MockTransport(answer)
    model = ChatVllm(
        model="m", base_url="http://server/v1", api_key="k", timeout=5, stream_timeout=3,
        max_retries=0, http_client=openai.DefaultHttpxClient(transport=transport),
        http_async_client=openai.DefaultAsyncHttpxClient(transport=transport),
    )  # fmt: skip

    calls: dict[str, Callable[[], object]] = {
        "ainvoke": lambda: asyncio.run(model.ainvoke("Why?")),
        "astream": lambda: asyncio.run(_drain(model)),
        "invoke": lambda: model.invoke("Why?"),
        "stream": lambda: list(model.stream("Why?")),
    }
    with pytest.raises(openai.InternalServerError):
        calls[style]()
    assert len(given) == 4
    assert all(longest - 0.5 < each < longest + 0.5 for each in given)
