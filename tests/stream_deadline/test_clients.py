"""The HTTP clients that models share."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import openai
import pytest

from stream_deadline import ChatVllm, _clients
from stream_deadline._http_clients import pools

THREADS = 4


def at_once(work: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [each.result() for each in [pool.submit(work) for _ in range(THREADS)]]


def test_threads_that_call_for_the_first_time_at_once_share_one_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connections of another one would be closed by the collector."""
    all_are_here = threading.Barrier(THREADS, timeout=30)

    class Slow(openai.DefaultHttpxClient):
        def __init__(self, **settings: Any) -> None:
            all_are_here.wait()
            super().__init__(**settings)

    client = _clients.PerProcessClient(base_url="http://server/v1")
    monkeypatch.setattr(_clients, "DefaultHttpxClient", Slow)
    assert len(set(map(id, at_once(client._mine)))) == 1
    client.close()


@pytest.mark.parametrize("name", ["PerProcessClient", "PerLoopClient"])
def test_threads_that_make_models_at_once_share_one_client(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    kind = getattr(_clients, name)
    more = threading.Event()

    def slowly(**settings: Any) -> Any:
        made.append(client := kind(**settings))
        more.wait(0.2)  # as long as another thread would need to make another
        return client

    monkeypatch.setattr(_clients, name, slowly)
    address = f"http://server/{name}"
    at_once(lambda: ChatVllm(model="m", base_url=address, api_key="none"))
    assert len(made) == 1


@pytest.mark.parametrize("family", [httpx, httpx2])
def test_the_pools_have_the_setting_that_keeps_no_idle_connection(family: Any) -> None:
    [pool] = pools(family.AsyncClient())
    assert isinstance(pool._max_keepalive_connections, int)
    assert pool.connections == []
