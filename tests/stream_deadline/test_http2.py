"""`bounded_client` over HTTP/2, where requests share a connection."""

import asyncio
import time
from typing import Any

import httpx
import httpx2
import pytest

from stream_deadline import StreamDeadlineExceeded, bounded_client, deadline
from stream_deadline._http2 import reset_frame
from tests.stream_deadline.http2_server import http2_server

FAMILIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
BABBLING = ["/endless", "/stall", "/no_headers"]


def client(family: str) -> Any:
    return bounded_client(FAMILIES[family].AsyncClient(http1=False, http2=True, timeout=60))


async def read(http: Any, url: str) -> int:
    async with http.stream("GET", url) as answer:
        return len([part async for part in answer.aiter_bytes()])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", BABBLING)
async def test_at_the_deadline_a_stream_is_reset_and_its_neighbour_goes_on(
    path: str, family: str
) -> None:
    async with http2_server() as server, client(family) as http:
        await http.get(f"{server.url}/warm")

        async def neighbour() -> int:
            await asyncio.sleep(0.4)  # so that it is under way at the deadline of the other
            return await read(http, f"{server.url}/neighbour")

        beside = asyncio.create_task(neighbour())
        started = time.monotonic()
        with deadline(0.5), pytest.raises(StreamDeadlineExceeded):
            await read(http, f"{server.url}{path}")
        assert time.monotonic() - started < 5
        assert await server.ended(path) == "reset"
        assert await beside == 10
        assert server.ends["/neighbour"] == "whole"
        assert len(server.resets) == 1
        assert server.connections == 1


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_stream_that_is_alone_on_its_connection_is_reset_too(family: str) -> None:
    """The last request that was written is not taken for the owner of the connection."""
    async with http2_server() as server, client(family) as http:
        for path in BABBLING:
            with deadline(0.3), pytest.raises(StreamDeadlineExceeded):
                await read(http, f"{server.url}{path}")
            assert await server.ended(path) == "reset"
        assert await read(http, f"{server.url}/after") == 10
        assert server.connections == 1


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_consumer_that_does_not_pull_frees_the_server(family: str) -> None:
    async with http2_server() as server, client(family) as http:
        with deadline(0.3):
            async with http.stream("GET", f"{server.url}/endless") as answer:
                assert await server.ended("/endless") == "reset"
                with pytest.raises(StreamDeadlineExceeded):
                    async for _ in answer.aiter_bytes():
                        pass


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_whole_answer_is_not_reset(family: str) -> None:
    async with http2_server() as server, client(family) as http:
        with deadline(60):
            for _ in range(2):
                assert await read(http, f"{server.url}/whole") == 10
        assert server.resets == []


@pytest.mark.parametrize("family", FAMILIES)
async def test_leaving_early_resets_the_stream(family: str) -> None:
    async with http2_server() as server, client(family) as http:
        with deadline(60):
            async with http.stream("GET", f"{server.url}/endless") as answer:
                await anext(answer.aiter_bytes())
        assert await server.ended("/endless") == "reset"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_synchronous_client_is_refused_in_one_sentence(family: str) -> None:
    with pytest.raises(ValueError, match="speaks HTTP/2") as caught:
        bounded_client(FAMILIES[family].Client(http2=True), timeout=1)
    assert "http2=False" in str(caught.value)


def test_the_frame_that_cancels_a_stream_is_that_of_the_standard() -> None:
    """Its length, RST_STREAM, no flags, the stream, and CANCEL (RFC 9113, 4.1, 6.4 and 7)."""
    assert reset_frame(5) == bytes.fromhex("000004 03 00 00000005 00000008")
