"""`bounded_client`: a deadline for every client on httpx or httpx2."""

import asyncio
import gc
import itertools
import pickle
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import httpx
import httpx2
import openai
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_vllm.engine.ledger import Entry
from fake_vllm.testing import FakeVllm
from stream_deadline import (
    ChatVllm,
    Expiry,
    StreamDeadlineExceeded,
    bounded_client,
    bounded_transport,
    deadline,
)
from stream_deadline._body import _AsyncBody, bound_body, says_something
from stream_deadline._budget import Bounds, Budget
from stream_deadline._call_group import CallGroup
from stream_deadline._connection import ConnectionTracker
from stream_deadline._http_clients import http_clients, pools
from stream_deadline._sdk import asks_for_stream
from stream_deadline._transport import DeadlineTransport, wrap
from tests.at_once import at_once

LIMIT = 2.0  # many callers begin at once
LATEST = 6.0
MESSAGES = [{"role": "user", "content": "Why?"}]
BABBLING = [
    "endless",
    "stall:after=3",
    "endless+keep_alive",
    "no_headers",
    "trickle_headers:every=0.05",
    "no_first_token",
    "half_event",
]
FAMILIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}

Ask = Callable[[str, bool], None]
AskAsync = Callable[[str, bool], Awaitable[None]]


def headers(name: str, scenario: str) -> dict[str, str]:
    return {"x-request-id": name, "x-fake-scenario": scenario}


def body(server: FakeVllm, stream: bool) -> dict[str, Any]:
    return {"model": server.model, "messages": MESSAGES, "stream": stream}


def sync_caller(kind: str, server: FakeVllm, name: str, **bounds: float) -> Ask:
    """Return a function that sends a request by this client and reads the answer."""
    import anthropic  # three seconds in each process of the tests

    if kind in FAMILIES:
        http = bounded_client(FAMILIES[kind].Client(timeout=60, trust_env=False), **bounds)

        def ask(scenario: str, stream: bool) -> None:
            url, sent = f"{server.base_url}/chat/completions", headers(name, scenario)
            with http.stream("POST", url, json=body(server, stream), headers=sent) as answer:
                for _ in answer.iter_lines():
                    pass

    elif kind == "openai":
        llm = bounded_client(openai.OpenAI(api_key="none", base_url=server.base_url), **bounds)

        def ask(scenario: str, stream: bool) -> None:
            answer: Any = llm.chat.completions.create(
                **cast(Any, body(server, stream)), extra_headers=headers(name, scenario)
            )
            if stream:
                for _ in answer:
                    pass

    else:
        url = server.base_url.removesuffix("/v1")
        claude = bounded_client(anthropic.Anthropic(api_key="none", base_url=url), **bounds)

        def ask(scenario: str, stream: bool) -> None:
            # The fake has no messages of Anthropic's; what matters is the SDK's way with a request.
            claude.post(
                "/v1/chat/completions",
                cast_to=httpx2.Response,
                body=body(server, stream),
                options={"headers": headers(name, scenario)},
            )

    return ask


def async_caller(kind: str, server: FakeVllm, name: str, **bounds: float) -> AskAsync:
    """Do the same as `sync_caller` for an asynchronous client, in the running loop."""
    import anthropic  # three seconds in each process of the tests

    if kind in FAMILIES:
        http = bounded_client(FAMILIES[kind].AsyncClient(timeout=60, trust_env=False), **bounds)

        async def ask(scenario: str, stream: bool) -> None:
            url, sent = f"{server.base_url}/chat/completions", headers(name, scenario)
            async with http.stream("POST", url, json=body(server, stream), headers=sent) as answer:
                async for _ in answer.aiter_lines():
                    pass

    elif kind == "openai":
        llm = bounded_client(openai.AsyncOpenAI(api_key="none", base_url=server.base_url), **bounds)

        async def ask(scenario: str, stream: bool) -> None:
            answer: Any = await llm.chat.completions.create(
                **cast(Any, body(server, stream)), extra_headers=headers(name, scenario)
            )
            if stream:
                async for _ in answer:
                    pass

    else:
        url = server.base_url.removesuffix("/v1")
        claude = bounded_client(anthropic.AsyncAnthropic(api_key="none", base_url=url), **bounds)

        async def ask(scenario: str, stream: bool) -> None:
            await claude.post(
                "/v1/chat/completions",
                cast_to=httpx2.Response,
                body=body(server, stream),
                options={"headers": headers(name, scenario)},
            )

    return ask


def entries(server: FakeVllm, name: str) -> list[Entry]:
    """Return the requests of one caller."""
    return [each for each in server.requests if name in each.id]


def freed(server: FakeVllm, name: str) -> Entry:
    """Return the caller's last request, once the server has nothing to do for it."""
    return server.wait_for(
        lambda entry: name in entry.id and (entry.slot_freed or entry.over) is not None, LATEST
    )


def judge(server: FakeVllm, name: str, started: float, warm: bool) -> None:
    """Check when the caller and the server were free, and that there was one generation."""
    assert LIMIT - 0.05 <= time.monotonic() - started < LIMIT + LATEST
    entry = freed(server, name)
    assert (entry.slot_freed or entry.over or 0) - started < LIMIT + LATEST
    assert len(entries(server, name)) == (2 if warm else 1)


@pytest.mark.parametrize("warm", [False, True], ids=["new", "pooled"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("scenario", BABBLING)
@pytest.mark.parametrize("kind", ["openai", "anthropic", "httpx", "httpx2"])
@at_once
def test_a_synchronous_request_ends_at_its_deadline_and_frees_the_server(
    kind: str, scenario: str, stream: bool, warm: bool, server: FakeVllm
) -> None:
    name = uuid.uuid4().hex
    ask = sync_caller(kind, server, name, timeout=LIMIT)
    if warm:
        ask("finite:tokens=2", stream)
    started = time.monotonic()
    with pytest.raises(StreamDeadlineExceeded) as caught:
        ask(scenario, stream)
    assert (caught.value.bound, caught.value.limit) == ("timeout", LIMIT)
    judge(server, name, started, warm)


@pytest.mark.parametrize("warm", [False, True], ids=["new", "pooled"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("scenario", BABBLING)
@pytest.mark.parametrize("kind", ["openai", "anthropic", "httpx", "httpx2"])
@at_once
def test_an_asynchronous_request_ends_at_its_deadline_and_frees_the_server(
    kind: str, scenario: str, stream: bool, warm: bool, server: FakeVllm
) -> None:
    name = uuid.uuid4().hex

    async def play() -> None:
        ask = async_caller(kind, server, name, timeout=LIMIT)
        if warm:
            await ask("finite:tokens=2", stream)
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            await ask(scenario, stream)
        assert (caught.value.bound, caught.value.limit) == ("timeout", LIMIT)
        judge(server, name, started, warm)

    asyncio.run(play())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_that_is_not_read_frees_the_server_too(family: str, server: FakeVllm) -> None:
    name = uuid.uuid4().hex
    http = bounded_client(FAMILIES[family].Client(trust_env=False), timeout=0.5)
    url, sent = f"{server.base_url}/chat/completions", headers(name, "endless")
    with http.stream("POST", url, json=body(server, True), headers=sent) as answer:
        entry = freed(server, name)
        assert entry.slot_freed is not None
        with pytest.raises(StreamDeadlineExceeded):
            for _ in answer.iter_bytes():
                pass


@pytest.mark.parametrize("family", FAMILIES)
def test_a_suspended_task_frees_the_server_too(family: str, server: FakeVllm) -> None:
    name = uuid.uuid4().hex

    async def play() -> None:
        http = bounded_client(FAMILIES[family].AsyncClient(trust_env=False), timeout=0.5)
        url, sent = f"{server.base_url}/chat/completions", headers(name, "endless")
        async with http.stream("POST", url, json=body(server, True), headers=sent) as answer:
            parts = answer.aiter_bytes()
            await anext(parts)
            await asyncio.to_thread(freed, server, name)
            with pytest.raises(StreamDeadlineExceeded):
                async for _ in parts:
                    pass

    asyncio.run(play())


def test_a_whole_answer_in_time_is_the_same_as_from_the_plain_client(server: FakeVllm) -> None:
    url = f"{server.base_url}/chat/completions"
    for family in FAMILIES.values():
        asked = {"json": body(server, True), "headers": headers("same", "finite:tokens=20")}
        plain = family.Client(trust_env=False).post(url, **asked).text
        bounded = bounded_client(family.Client(trust_env=False), timeout=30).post(url, **asked).text
        assert _texts(plain) == _texts(bounded)
        assert len(_texts(plain)) > 20


def _texts(events: str) -> list[str]:
    return [line.partition('"choices"')[2] for line in events.splitlines() if line]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "httpx", "httpx2"])
def test_an_ambient_deadline_bounds_a_client_that_has_no_bound(kind: str, server: FakeVllm) -> None:
    ask = sync_caller(kind, server, uuid.uuid4().hex)
    with deadline(0.3), pytest.raises(StreamDeadlineExceeded) as caught:
        ask("endless", True)
    assert (caught.value.bound, caught.value.limit) == ("deadline", 0.3)


def test_the_shorter_of_a_clients_bound_and_an_ambient_deadline_holds(server: FakeVllm) -> None:
    ask = sync_caller("openai", server, uuid.uuid4().hex, timeout=0.3)
    with deadline(60), pytest.raises(StreamDeadlineExceeded) as caught:
        ask("endless", True)
    assert caught.value.bound == "timeout"


def test_without_any_bound_a_request_keeps_its_own_body() -> None:
    answer = httpx2.Response(200, stream=httpx2.ByteStream(b"whole"))
    stream = answer.stream
    http = bounded_client(httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)))
    with http.stream("GET", "http://x/") as same:
        assert getattr(same.stream, "_stream", same.stream) is stream
    assert same.status_code == 200


class TestErrors:
    """What an SDK does with the error, and what its user gets."""

    def caught(self, kind: str, server: FakeVllm) -> StreamDeadlineExceeded:
        with pytest.raises(StreamDeadlineExceeded) as caught:
            sync_caller(kind, server, uuid.uuid4().hex, timeout=0.2)("no_headers", True)
        return caught.value

    @pytest.mark.parametrize("kind", ["openai", "anthropic"])
    def test_it_is_one_of_the_sdks_errors_and_a_timeout(self, kind: str, server: FakeVllm) -> None:
        import anthropic  # three seconds in each process of the tests

        error = self.caught(kind, server)
        assert isinstance(error, TimeoutError)
        assert isinstance(error, openai.OpenAIError)
        assert isinstance(error, anthropic.AnthropicError)

    def test_it_can_be_pickled(self, server: FakeVllm) -> None:
        error = self.caught("openai", server)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is StreamDeadlineExceeded
        assert (str(copy), copy.bound) == (str(error), error.bound)


class TestRetries:
    """An SDK's attempts share one budget."""

    @pytest.mark.parametrize("kind", ["openai", "anthropic"])
    def test_they_cannot_outlive_it(self, kind: str, server: FakeVllm) -> None:
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded) as caught:
            sync_caller(kind, server, uuid.uuid4().hex, timeout=2.0)(
                "refuse:status=503,times=1", True
            )
        assert caught.value.elapsed < time.monotonic() - started + 0.1
        assert 2.0 <= caught.value.elapsed < 2.0 + LATEST

    @pytest.mark.parametrize("kind", ["openai", "anthropic"])
    def test_a_retry_that_would_come_too_late_is_not_awaited(
        self, kind: str, server: FakeVllm
    ) -> None:
        import anthropic  # three seconds in each process of the tests

        name = uuid.uuid4().hex
        ask = sync_caller(kind, server, name, timeout=3.0)
        started = time.monotonic()
        kinds = (openai.InternalServerError, anthropic.InternalServerError)
        with pytest.raises((*kinds, openai.APIStatusError, anthropic.APIStatusError)):
            ask("refuse:status=503,times=9,retry_after=30", True)
        assert time.monotonic() - started < 3.0


class TestParts:
    """`first_chunk_timeout` and `idle_timeout`."""

    @pytest.mark.parametrize(
        ("scenario", "bound"),
        [
            ("stall:after=3", "idle_timeout"),
            ("stall:after=3+keep_alive", "idle_timeout"),
            ("no_first_token", "idle_timeout"),  # the role comes first, and is bytes
            ("no_headers", "first_chunk_timeout"),
        ],
    )
    @pytest.mark.parametrize("kind", ["openai", "httpx"])
    def test_a_stream_ends_at_the_bound_of_a_part(
        self, kind: str, scenario: str, bound: str, server: FakeVllm
    ) -> None:
        bounds = {"timeout": 30.0, "first_chunk_timeout": 1.5, "idle_timeout": 1.0}
        name = uuid.uuid4().hex
        with pytest.raises(StreamDeadlineExceeded) as caught:
            sync_caller(kind, server, name, **bounds)(scenario, True)
        assert caught.value.bound == bound

        async def play() -> None:
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await async_caller(kind, server, name, **bounds)(scenario, True)
            assert caught.value.bound == bound

        asyncio.run(play())

    def test_they_do_not_act_on_a_whole_answer(self, server: FakeVllm) -> None:
        bounds = {"timeout": 30.0, "first_chunk_timeout": 0.1, "idle_timeout": 0.1}
        sync_caller("openai", server, uuid.uuid4().hex, **bounds)("finite:tokens=20", False)

    @given(
        st.lists(st.sampled_from([b": x", b"", b":", b"data: 1"])),
        st.sampled_from([b"\n", b"\r\n"]),
    )
    def test_bytes_count_as_progress_unless_each_line_is_a_comment(
        self, lines: list[bytes], end: bytes
    ) -> None:
        data = end.join([b": first", *lines])
        assert says_something(data) == (b"data: 1" in lines)

    @pytest.mark.parametrize(
        ("content", "accept", "url", "streams"),
        [
            (b'{"stream": true}', "*/*", "http://x/", True),
            (b'{"stream": false}', "*/*", "http://x/", False),
            (b'{"messages": ["\\"stream\\": true"]}', "*/*", "http://x/", False),
            (b'{"tool": {"stream": true}}', "*/*", "http://x/", False),
            (b"", "text/event-stream", "http://x/", True),
            (b"{}", "*/*", "http://x/v1:streamGenerateContent?alt=sse", True),
            (b'["stream": true', "*/*", "http://x/", False),
        ],
    )
    def test_the_request_shows_whether_it_is_for_a_stream(
        self, content: bytes, accept: str, url: str, streams: bool
    ) -> None:
        request = httpx2.Request("POST", url, content=content, headers={"accept": accept})
        assert asks_for_stream(request) is streams


class TestEnds:
    """A request that ends in another way."""

    def test_cancelling_the_task_stays_a_cancellation_and_frees_the_server(
        self, server: FakeVllm
    ) -> None:
        name = uuid.uuid4().hex

        async def play() -> None:
            task = asyncio.create_task(
                cast(Any, async_caller("openai", server, name, timeout=60))("endless", True)
            )
            await asyncio.to_thread(
                server.wait_for, lambda entry: name in entry.id and entry.tokens
            )
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(play())
        assert freed(server, name).end == "client left"

    @pytest.mark.parametrize("scenario", ["endless", "no_headers", "stall:after=2"])
    def test_a_request_ends_with_its_call_group(self, scenario: str, server: FakeVllm) -> None:
        name = uuid.uuid4().hex

        async def play() -> None:
            group = CallGroup()
            with group:
                task = asyncio.create_task(
                    cast(Any, async_caller("openai", server, name, timeout=60))(scenario, True)
                )
            await asyncio.to_thread(
                server.wait_for, lambda entry: name in entry.id and entry.started
            )
            group.end()
            with pytest.raises(StreamDeadlineExceeded) as caught:
                await task
            assert caught.value.bound == "caller"

        asyncio.run(play())
        assert freed(server, name).end == "client left"

    def test_connections_come_back_to_the_pool(self, server: FakeVllm) -> None:
        kinds = itertools.cycle(["finite:tokens=3", "stall:after=1", "no_headers", "half_event"])

        async def play() -> None:
            http = bounded_client(httpx2.AsyncClient(trust_env=False), timeout=0.6)
            url = f"{server.base_url}/chat/completions"

            async def one(scenario: str) -> None:
                sent = headers("pool", scenario)
                try:
                    async with http.stream(
                        "POST", url, json=body(server, True), headers=sent
                    ) as answer:
                        async for _ in answer.aiter_bytes():
                            pass
                except StreamDeadlineExceeded:
                    pass

            await asyncio.gather(*(one(next(kinds)) for _ in range(80)))
            [pool] = pools(http)
            assert all(connection.is_idle() for connection in pool.connections)
            assert not pool._requests
            await one("finite:tokens=1")
            await http.aclose()

        asyncio.run(play())


class TestTheBody:
    """What comes after the deadline is not handed over, even if the watchdog is late."""

    @staticmethod
    def budget(now: list[float]) -> Budget:
        return Budget(Bounds(5), lambda: now[0])

    def test_a_late_packet_of_a_synchronous_body(self) -> None:
        now = [0.0]

        def packets() -> Iterator[bytes]:
            yield b"in time"
            now[0] = 6.0
            yield b"too late"

        budget = self.budget(now)
        answer = httpx2.Response(200, content=packets())
        bound_body(answer, budget, ConnectionTracker(budget, blocking=True))
        seen: list[bytes] = []
        with pytest.raises(StreamDeadlineExceeded):
            seen.extend(cast(Any, answer.stream))
        assert seen == [b"in time"]

    def test_a_late_packet_of_an_asynchronous_body(self) -> None:
        now, seen = [0.0], []

        async def packets() -> AsyncIterator[bytes]:
            yield b"in time"
            now[0] = 6.0
            yield b"too late"

        async def play() -> None:
            budget = self.budget(now)
            answer = httpx2.Response(200, content=packets())
            body = _AsyncBody(answer, budget, ConnectionTracker(budget, blocking=False))
            async for packet in body:
                seen.append(packet)

        with pytest.raises(StreamDeadlineExceeded):
            asyncio.run(play())
        assert seen == [b"in time"]


class TestMoreThanOneRequest:
    """Redirects, retries and requests that are sent again."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("family", FAMILIES)
    def test_the_hops_of_a_redirect_share_one_budget(self, family: str, status: int) -> None:
        library, hops = FAMILIES[family], []

        def answer(request: Any) -> Any:
            hops.append(request.url.path)
            time.sleep(0.1)
            return library.Response(status, headers={"location": f"/{len(hops)}"})

        http = bounded_client(
            library.Client(transport=library.MockTransport(answer), follow_redirects=True), 0.25
        )
        with pytest.raises(StreamDeadlineExceeded):
            http.get("http://x/")
        assert len(hops) <= 3

    @pytest.mark.parametrize("status", [401, 407])
    @pytest.mark.parametrize("family", FAMILIES)
    def test_the_steps_of_an_authentication_share_one_budget(
        self, family: str, status: int
    ) -> None:
        library, steps = FAMILIES[family], [0]

        class Insists(library.Auth):  # type: ignore[misc,name-defined]
            def auth_flow(self, request: Any) -> Iterator[Any]:
                while True:
                    yield request

        def answer(request: Any) -> Any:
            steps[0] += 1
            time.sleep(0.1)
            return library.Response(status if steps[0] < 9 else 200)

        http = bounded_client(library.Client(transport=library.MockTransport(answer)), 0.25)
        with pytest.raises(StreamDeadlineExceeded):
            http.get("http://x/", auth=Insists())
        assert steps[0] <= 3

    def test_a_request_that_is_sent_again_has_a_whole_budget(self, server: FakeVllm) -> None:
        http = bounded_client(httpx2.Client(trust_env=False), timeout=0.4)
        request = http.build_request(
            "POST", f"{server.base_url}/chat/completions", json=body(server, True)
        )
        given = dict(request.extensions)
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(StreamDeadlineExceeded):
                http.send(request)
            assert time.monotonic() - started >= 0.35
            assert request.extensions == given

    @pytest.mark.parametrize("limit", [0.4, 1.5])
    @pytest.mark.parametrize("kind", ["openai", "anthropic"])
    def test_after_a_refused_connection_no_pause_outlives_the_budget(
        self, kind: str, limit: float
    ) -> None:
        import anthropic  # three seconds in each process of the tests

        url = "http://127.0.0.1:9"  # where nothing listens
        make: Any = openai.OpenAI if kind == "openai" else anthropic.Anthropic
        client = bounded_client(make(api_key="none", base_url=url, max_retries=9), limit)
        started = time.monotonic()
        with pytest.raises((openai.APIConnectionError, anthropic.AnthropicError)):
            client.get("/models", cast_to=httpx2.Response)
        assert time.monotonic() - started < limit + 0.3


class TestWhatIsThereAlready:
    """Answers that need no connection any more, and those that are dropped."""

    def test_an_answer_of_a_mock_is_not_reported_later(self, reported: list[Expiry]) -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, text="whole"))
        http = bounded_client(httpx2.Client(transport=transport), timeout=0.2)
        assert http.get("http://x/").text == "whole"
        time.sleep(0.5)
        assert reported == []

    def test_a_suspended_task_frees_a_server_that_is_fast(self) -> None:
        """Its data fills every buffer, so that only a closed connection stops it."""

        async def play(server: FakeVllm) -> None:
            http = bounded_client(httpx2.AsyncClient(trust_env=False), timeout=0.5)
            url, name = f"{server.base_url}/chat/completions", uuid.uuid4().hex
            async with http.stream(
                "POST", url, json=body(server, True), headers=headers(name, "endless")
            ) as answer:
                await anext(answer.aiter_bytes())
                await asyncio.to_thread(freed, server, name)

        with FakeVllm("endless", gap=0) as server:
            asyncio.run(play(server))

    def test_an_answer_that_is_dropped_frees_the_server_before_the_deadline(
        self, server: FakeVllm
    ) -> None:
        name = uuid.uuid4().hex
        http = bounded_client(httpx2.Client(trust_env=False), timeout=60)
        request = http.build_request(
            "POST",
            f"{server.base_url}/chat/completions",
            json=body(server, True),
            headers=headers(name, "endless"),
        )
        answer = http.send(request, stream=True)
        next(answer.iter_bytes())
        del answer
        gc.collect()
        assert freed(server, name).slot_freed is not None


class TestCallsWithBoundsOfTheirOwn:
    """A transport without bounds serves the call of a model, which has them."""

    @staticmethod
    def over() -> ConnectionTracker:
        tracker = ConnectionTracker(Budget(Bounds(5), time.monotonic), blocking=True)
        tracker.cut()
        return tracker

    def test_no_request_of_a_call_that_is_over_leaves(self) -> None:
        left: list[Any] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            left.append(request)
            return httpx2.Response(200)

        http = httpx2.Client(transport=wrap(httpx2.MockTransport(answer), None))
        with pytest.raises(StreamDeadlineExceeded):
            self.over().context().run(http.get, "http://x/")
        assert left == []
        assert http.get("http://x/").status_code == 200

    def test_no_asynchronous_one_either(self) -> None:
        left: list[Any] = []

        async def answer(request: httpx2.Request) -> httpx2.Response:
            left.append(request)
            return httpx2.Response(200)

        async def play() -> None:
            http = httpx2.AsyncClient(transport=wrap(httpx2.MockTransport(answer), None))
            with pytest.raises(StreamDeadlineExceeded):
                await asyncio.create_task(http.get("http://x/"), context=self.over().context())
            assert (await http.get("http://x/")).status_code == 200

        asyncio.run(play())
        assert len(left) == 1


class TestClients:
    """Other kinds of clients, and invalid bounds."""

    @pytest.mark.parametrize("thing", [object(), "http://x", httpx.URL("http://x")])
    def test_an_object_without_a_client_is_refused_in_one_sentence(self, thing: Any) -> None:
        with pytest.raises(TypeError, match="found no client of httpx or httpx2 in this"):
            bounded_client(thing, timeout=1)

    @pytest.mark.parametrize("bound", [0, -1, float("nan"), "5", True])
    def test_an_invalid_bound_is_refused(self, bound: Any) -> None:
        with pytest.raises(ValueError, match="timeout must be a"):
            bounded_client(httpx2.Client(), timeout=bound)

    def test_the_latest_bounds_of_a_client_hold(self, server: FakeVllm) -> None:
        http = bounded_client(bounded_client(httpx2.Client(trust_env=False), timeout=60), 0.3)
        assert not isinstance(cast(Any, http._transport).inner, DeadlineTransport)
        with pytest.raises(StreamDeadlineExceeded, match=r"timeout=0\.3"):
            http.post(f"{server.base_url}/chat/completions", json=body(server, True))

    def test_the_proxies_of_the_environment_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        http = bounded_client(httpx2.Client(), timeout=1)
        transport = http._transport_for_url(httpx2.URL("https://x/"))
        assert isinstance(transport, DeadlineTransport)
        assert transport is not http._transport

    def test_a_transport_of_the_users_own_is_bounded(self) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            await asyncio.sleep(60)

        async def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=slow())

        async def play() -> None:
            http = bounded_client(
                httpx2.AsyncClient(transport=httpx2.MockTransport(answer)), timeout=0.3
            )
            with pytest.raises(StreamDeadlineExceeded):
                await http.get("http://x/")

        asyncio.run(play())

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_mock_transport_serves_both_kinds_of_client_in_time(self, family: str) -> None:
        def endless() -> Iterator[bytes]:
            while True:
                time.sleep(0.01)
                yield b"data: 1\n\n"

        mock = FAMILIES[family].MockTransport(
            lambda _: FAMILIES[family].Response(200, content=endless())
        )
        http = bounded_client(FAMILIES[family].Client(transport=mock), timeout=0.2)
        with pytest.raises(StreamDeadlineExceeded):
            http.get("http://x/")

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_transport_around_a_pool_can_be_cut_before_the_headers(
        self, family: str, server: FakeVllm
    ) -> None:
        """A user's own transport, such as one that signs requests, keeps the pool's connections."""
        library = FAMILIES[family]

        class Signed(library.BaseTransport):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                self.under = library.HTTPTransport()

            def handle_request(self, request: Any) -> Any:
                request.headers["x-signature"] = "1"
                return self.under.handle_request(request)

        name = uuid.uuid4().hex
        http = bounded_client(library.Client(transport=Signed(), timeout=60), timeout=0.5)
        url = f"{server.base_url}/chat/completions"
        http.get(f"{server.base_url}/models")
        started = time.monotonic()
        with pytest.raises(StreamDeadlineExceeded):
            http.post(
                url,
                json=body(server, True),
                headers=headers(name, "trickle_headers:every=0.05"),
            )
        assert time.monotonic() - started < 0.5 + LATEST
        assert freed(server, name).end == "client left"

    def test_an_object_that_is_not_a_transport_is_refused_in_one_sentence(self) -> None:
        with pytest.raises(TypeError, match="A Client is no transport"):
            bounded_transport(cast(Any, httpx2.Client()), timeout=1)

    def test_a_bounded_transport_needs_no_private_name(self, server: FakeVllm) -> None:
        transport = bounded_transport(httpx.HTTPTransport(), timeout=0.3)
        with httpx.Client(transport=transport) as http, pytest.raises(StreamDeadlineExceeded):
            http.post(f"{server.base_url}/chat/completions", json=body(server, True))

        async def play() -> None:
            transport = bounded_transport(httpx.AsyncHTTPTransport(), timeout=0.3)
            async with httpx.AsyncClient(transport=transport) as http:
                with pytest.raises(StreamDeadlineExceeded):
                    await http.post(f"{server.base_url}/chat/completions", json=body(server, True))

        asyncio.run(play())

    def test_a_bounded_client_inside_a_model_keeps_its_bound(self, server: FakeVllm) -> None:
        http = bounded_client(openai.DefaultHttpxClient(trust_env=False), timeout=0.3)
        model = ChatVllm(model=server.model, base_url=server.base_url, timeout=60, http_client=http)
        with pytest.raises(StreamDeadlineExceeded) as caught:
            for _ in model.stream("Why?"):
                pass
        assert caught.value.limit == 0.3

    def test_a_client_that_has_been_used_is_bounded_on_its_old_connection(
        self, server: FakeVllm
    ) -> None:
        http = httpx2.Client(trust_env=False, timeout=60)
        http.get(f"{server.base_url}/models")
        bounded_client(http, timeout=0.3)
        with pytest.raises(StreamDeadlineExceeded):
            http.post(
                f"{server.base_url}/chat/completions",
                json=body(server, True),
                headers={"x-fake-scenario": "no_headers"},
            )

    def test_a_body_that_is_dropped_leaves_no_connection_behind(self, server: FakeVllm) -> None:
        http = bounded_client(httpx2.Client(trust_env=False), timeout=0.4)
        name = uuid.uuid4().hex
        request = http.build_request(
            "POST",
            f"{server.base_url}/chat/completions",
            json=body(server, True),
            headers=headers(name, "endless"),
        )
        answer = http.send(request, stream=True)
        del answer
        gc.collect()
        assert freed(server, name).slot_freed is not None


class TestFindingHttpClients:
    """The names by which SDKs keep their HTTP client."""

    def test_every_client_of_an_sdk_is_found(self) -> None:
        class Sdk:  # as Mistral's and Cohere's are made
            def __init__(self) -> None:
                self.sdk_configuration = SimpleNamespace(
                    client=httpx.Client(), async_client=httpx.AsyncClient()
                )
                self._client_wrapper = SimpleNamespace(
                    httpx_client=SimpleNamespace(httpx_client=httpx.Client())
                )

        assert len(http_clients(Sdk())) == 3

    def test_one_that_is_made_when_it_is_first_used_is_found(self) -> None:
        class Sdk:  # as LangChain's model of Anthropic is made
            @cached_property
            def _client(self) -> Any:
                return SimpleNamespace(_client=httpx.Client())

            @cached_property
            def _async_client(self) -> Any:
                raise LookupError("no key")

        assert len(http_clients(Sdk())) == 1

    def test_one_in_a_private_attribute_of_pydantic_is_found(self) -> None:
        class Model(pydantic.BaseModel):
            _client: Any = pydantic.PrivateAttr(default_factory=httpx.Client)

        assert len(http_clients(Model())) == 1

    def test_one_under_another_name_is_left_alone(self) -> None:
        assert http_clients(SimpleNamespace(tracer=httpx.Client())) == []

    def test_a_mock_is_no_client(self) -> None:
        assert http_clients(SimpleNamespace(client=MagicMock())) == []

    def test_things_that_refer_to_each_other_come_to_an_end(self) -> None:
        one = SimpleNamespace(client=SimpleNamespace())
        one.client.client = one
        assert http_clients(one) == []
