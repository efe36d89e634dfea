"""The pytest fixture and the ledger as Python objects."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.testing import FakeVllm, FakeVllmError
from fake_vllm.testing._requests import LedgerView
from tests.fake_vllm.raw import ask, read

pytest_plugins = ["pytester"]


def test_the_fixture_gives_a_server_whose_requests_are_objects(fake_vllm: FakeVllm) -> None:
    assert fake_vllm.requests == []
    with ask(fake_vllm, "") as client:
        read(client, until=b"[DONE]")
    entry = fake_vllm.until_over()
    assert (entry.number, entry.attempt, entry.end, entry.status, entry.stream) == (
        1,
        1,
        "finished",
        200,
        True,
    )
    moments = [
        entry.arrived,
        entry.queued,
        entry.started,
        entry.first_token,
        entry.last_token,
        entry.slot_freed,
        entry.over,
    ]
    assert moments == sorted(moments)  # type: ignore[type-var]
    assert entry.bytes > 41 * 100


@pytest.mark.fake_vllm("stall:after=2")
def test_a_marker_chooses_the_scenario(fake_vllm: FakeVllm) -> None:
    with ask(fake_vllm, "") as client:
        read(client, until=b"choices")
        assert fake_vllm.until_started().slot_freed is None
    freed = fake_vllm.until_freed()
    assert freed.scenario == "stall:after=2"
    assert freed.tokens_after_left == 0


def test_a_wait_that_fails_shows_the_ledger(fake_vllm: FakeVllm) -> None:
    with ask(fake_vllm, "stall") as client:
        read(client, until=b"choices")
        with pytest.raises(
            FakeVllmError, match=r"within 0.1 s. The ledger: \[Request\(id='chatcmpl-"
        ):
            fake_vllm.until_freed(timeout=0.1)


def test_the_scenario_can_be_changed_while_it_runs(fake_vllm: FakeVllm) -> None:
    fake_vllm.play("refuse:status=429,times=0")
    with ask(fake_vllm, "") as client:
        assert read(client, until=b"}}")[0].startswith(b"HTTP/1.1 429")


def test_clearing_resets_the_counts_of_requests_and_attempts(fake_vllm: FakeVllm) -> None:
    for numbers in ([1, 2], [1, 2]):
        for _ in numbers:
            with ask(fake_vllm, "finite:tokens=1") as client:
                read(client, until=b"[DONE]")
        assert (
            [entry.number for entry in fake_vllm.requests]
            == [entry.attempt for entry in fake_vllm.requests]
            == numbers
        )
        fake_vllm.clear()


def test_a_request_that_was_cleared_never_shows_the_body_of_a_later_one(
    fake_vllm: FakeVllm,
) -> None:
    with httpx2.Client(trust_env=False) as client:
        for user in ("one", "two"):
            client.post(f"{fake_vllm.base_url}/chat/completions", json={**CHAT, "user": user})
            if user == "one":
                [held] = fake_vllm.requests
                fake_vllm.clear()
    assert fake_vllm.requests[0].json["user"] == "two"
    with pytest.raises(FakeVllmError, match="Request 1 is not kept"):
        _ = held.json


def test_a_number_of_any_length_is_a_request_that_is_not_there(fake_vllm: FakeVllm) -> None:
    with pytest.raises(FakeVllmError, match="404"):
        fake_vllm._ask(f"/ledger/{'9' * 5000}/request")


def test_a_server_that_answers_too_late_is_one_clear_error(fake_vllm: FakeVllm) -> None:
    with pytest.raises(FakeVllmError, match="does not answer: timed out"):
        fake_vllm._ask("/ledger?after=1000000&wait=1", timeout=0.05)


def test_requests_over_one_connection_have_turn_numbers(fake_vllm: FakeVllm) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    with httpx2.Client(trust_env=False) as client:
        for stream in (False, True, False):
            client.post(
                f"{fake_vllm.base_url}/chat/completions", json={**chat, "stream": stream}
            ).raise_for_status()
    with ask(fake_vllm, "finite:tokens=1") as other:
        read(other, until=b"[DONE]")
    assert [entry.turn for entry in fake_vllm.requests] == [1, 2, 3, 1]


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(FakeVllmError, match="There is no scenario 'babble'"):
        FakeVllm("babble")


def test_the_plugin_is_installed_with_the_distribution(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(fake_vllm):\n    assert fake_vllm.requests == []\n")
    done = pytester.runpytest_subprocess("-p", "no:nbval", "-p", "no:xdist")
    done.assert_outcomes(passed=1)


CHAT = {"messages": [{"role": "user", "content": "Grüße"}], "max_tokens": 2}


def test_a_test_sees_what_the_client_sent(fake_vllm: FakeVllm) -> None:
    with httpx2.Client(trust_env=False) as client:
        client.post(
            f"{fake_vllm.base_url}/chat/completions",
            json=CHAT,
            headers={"X-Tenant": "red", "x-stainless-retry-count": "2"},
        )
        client.post(f"{fake_vllm.base_url}/chat/completions", content=b"{")
    first, second = fake_vllm.requests
    assert first.json == CHAT
    assert first.request_headers["x-tenant"] == "red"
    assert (first.retry, second.retry) == (2, 0)
    assert second.body == "{"


def test_refused_requests_are_in_the_ledger_too(fake_vllm: FakeVllm) -> None:
    with httpx2.Client(trust_env=False, base_url=fake_vllm.base_url) as client:
        client.post("/chat/completions", json={"messages": "none"})
        client.post("/chat/completions", json={**CHAT, "model": "other"})
        client.get("/chat/completions")
        client.post("/embeddings", json={})
        client.post("/chat/completions", json=CHAT)
    kept = [(entry.number, entry.method, entry.status, entry.end) for entry in fake_vllm.requests]
    assert kept == [
        (1, "POST", 400, "refused"),
        (2, "POST", 404, "refused"),
        (3, "GET", 405, "refused"),
        (4, "POST", 404, "refused"),
        (5, "POST", 200, "finished"),
    ]


def test_a_request_without_its_key_is_in_the_ledger() -> None:
    with FakeVllm(api_key="secret") as fake, httpx2.Client(trust_env=False) as client:
        assert client.post(f"{fake.base_url}/chat/completions", json=CHAT).status_code == 401
        assert [entry.status for entry in fake.requests] == [401]


def test_a_fake_on_a_unix_socket_can_be_asked(tmp_path: Path) -> None:
    with FakeVllm("endless", gap=0, uds=tmp_path / "a serves 'b'.sock", model="mine") as fake:
        over = httpx2.HTTPTransport(uds=fake.uds)
        with httpx2.Client(transport=over) as client:
            fake.play("finite:tokens=1")
            assert client.post(f"{fake.base_url}/chat/completions", json=CHAT).status_code == 200
        assert fake.until_over().json == CHAT
        assert fake.model == "mine"
        with pytest.raises(FakeVllmError, match="There is no scenario 'x'"):
            fake.play("x")
    with pytest.raises(FakeVllmError, match="does not answer"):
        fake.play("endless")


def test_running_requests_are_never_hidden_and_a_reset_ends_them() -> None:
    with FakeVllm("stall", max_num_seqs=1) as fake, ask(fake, "stall") as leaked:
        read(leaked, until=b"choices")
        fake.clear()
        [entry] = fake.requests
        assert entry.slot_freed is None
        fake.play("endless")
        fake.reset()
        assert fake.requests == []
        with pytest.raises(ConnectionResetError):
            read(leaked)
        with ask(fake, "finite:tokens=1") as client:
            read(client, until=b"[DONE]")
        assert [entry.number for entry in fake.requests] == [1]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_that_reads_nothing_still_takes_commands(loop: str) -> None:
    with FakeVllm("never_read", loop=loop) as fake, httpx2.Client(trust_env=False) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{fake.base_url}/chat/completions", json=CHAT, timeout=0.3)
        assert fake.requests == []
        fake.play("finite:tokens=1")
        client.post(f"{fake.base_url}/chat/completions", json=CHAT)
        assert fake.until_over().end == "finished"
        fake.play("never_read")
        with pytest.raises(httpx2.ReadTimeout):  # over the connection that was kept
            client.post(f"{fake.base_url}/chat/completions", json=CHAT, timeout=0.3)
        assert client.get(f"{fake.root}/scenario").json() == {"scenario": "never_read"}
        assert len(fake.requests) == 1


@pytest.mark.fake_vllm("never_read")
def test_a_marker_with_never_read_leaves_the_shared_server_usable(fake_vllm: FakeVllm) -> None:
    assert fake_vllm.requests == []


async def test_waits_do_not_block_the_loop_that_closes_the_connection(fake_vllm: FakeVllm) -> None:
    fake_vllm.play("endless")
    async with httpx2.AsyncClient(trust_env=False) as client:

        async def leave() -> None:
            body = {**CHAT, "stream": True, "max_tokens": 10_000}
            async with client.stream("POST", f"{fake_vllm.base_url}/chat/completions", json=body):
                await fake_vllm.aio.until_started()

        leaving = asyncio.create_task(leave())
        entry = await fake_vllm.aio.until_freed()
        await leaving
    assert entry.end == "client left"
    assert await fake_vllm.aio.requests() == fake_vllm.requests


def test_a_wrong_scenario_is_reported_in_the_servers_words(fake_vllm: FakeVllm) -> None:
    with pytest.raises(FakeVllmError, match=r"There is no scenario 'stal'\. Did you mean stall"):
        fake_vllm.play("stal:after=1")


def test_a_wrong_marker_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.fake_vllm("stal")
        def test_typo(fake_vllm): ...

        @pytest.mark.fake_vllm
        def test_bare(fake_vllm): ...

        @pytest.mark.fake_vllm("stall", after=3)
        def test_named(fake_vllm): ...
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:nbval", "-p", "no:xdist")
    done.assert_outcomes(errors=3)
    done.stdout.fnmatch_lines_random(
        [
            "*test_typo: There is no scenario 'stal'. Did you mean stall*",
            "*test_bare has fake_vllm()*",
            "*test_named has fake_vllm('stall', after=3)*",
        ]
    )


def test_a_look_fetches_only_what_has_changed(fake_vllm: FakeVllm) -> None:
    fetched: list[int] = []
    asking = fake_vllm._ask

    def counting(path: str, **more: Any) -> Any:
        page = asking(path, **more)
        fetched.append(len(page["requests"]))
        return page

    view = LedgerView(counting)
    with httpx2.Client(trust_env=False) as client:
        for _ in range(5):
            client.post(f"{fake_vllm.base_url}/chat/completions", json=CHAT)
        assert len(view.look()) == 5
        client.post(f"{fake_vllm.base_url}/chat/completions", json=CHAT)
        assert len(view.look()) == 6
        fake_vllm.clear()
        assert view.look() == []
    assert fetched[:2] == [5, 1]


def test_a_wait_sees_that_the_ledger_was_cleared(fake_vllm: FakeVllm) -> None:
    seen = fake_vllm._ask("/ledger")["revision"]
    with ThreadPoolExecutor(1) as pool:
        asked = f"/ledger?after={seen}&wait=30"
        waiting = pool.submit(fake_vllm._ask, asked, timeout=40)
        time.sleep(0.2)
        assert not waiting.done()
        fake_vllm.clear()
        assert waiting.result(timeout=5)["requests"] == []


def test_a_wait_ends_with_the_event_and_not_with_its_time(fake_vllm: FakeVllm) -> None:
    with ThreadPoolExecutor(1) as pool, httpx2.Client(trust_env=False) as client:
        waiting = pool.submit(fake_vllm.until_over, 30.0)
        client.post(f"{fake_vllm.base_url}/chat/completions", json=CHAT)
        assert waiting.result(timeout=5).end == "finished"


class Pages:
    """A server whose pages arrive in the order that a test chooses."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.held: dict[int, threading.Event] = {}
        self.asked = 0

    def __call__(self, path: str, **more: Any) -> Any:
        query = dict(parse_qsl(urlsplit(path).query))
        page = json.loads(self.ledger.page(after=int(query["after"]) if "after" in query else None))
        self.asked += 1
        if (held := self.held.get(self.asked)) is not None:
            held.wait(5)
        return page


def asked(pages: Pages, times: int) -> None:
    """Wait until so many pages were asked for."""
    while pages.asked < times:
        time.sleep(0.001)


def opened(ledger: Ledger) -> Entry:
    return ledger.open("", "/", "finite", stream=True, prompt_tokens=1, arrived=0.0)


@pytest.mark.parametrize("cleared", [False, True])
def test_a_page_that_arrives_late_does_not_hide_later_events(cleared: bool) -> None:
    """Several threads look at once, and the oldest page comes last."""
    pages = Pages()
    view, entry = LedgerView(pages), opened(pages.ledger)
    view.look()
    pages.held = {2: threading.Event(), 4: threading.Event()}
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(view.look)
        asked(pages, 2)
        entry.over = entry.slot_freed = 1.0
        pages.ledger.tell(entry)
        if cleared:
            pages.ledger.clear()
            opened(pages.ledger)
        seen = view.look()
        after = pool.submit(view.look)
        asked(pages, 4)
        for page, look in ((2, before), (4, after)):
            pages.held[page].set()
            look.result(timeout=5)
    assert [(one.number, one.over) for one in view.look()] == [
        (one.number, one.over) for one in seen
    ]
    assert seen[0].over == (None if cleared else 1.0)
