"""What `bounded_client` and `bounded_transport` return, without a server."""

import pytest

from stream_deadline import bounded_client, bounded_transport
from stream_deadline._budget import Bounds
from stream_deadline._transport import DeadlineTransport
from tests.stream_deadline.in_memory import InMemory


def test_a_bounded_client_is_the_same_one_with_bounded_transports() -> None:
    client = InMemory().client()
    own = client._transport
    assert bounded_client(client, 45, first_chunk_timeout=5, idle_timeout=7) is client
    assert client._transport.inner is own
    assert client._transport._bounds == Bounds(45, 5, 7)


def test_a_thing_without_a_client_is_refused() -> None:
    with pytest.raises(TypeError, match="found no client of httpx or httpx2 in this object"):
        bounded_client(object(), 45)


def test_a_bounded_transport_stands_around_the_one_that_was_given() -> None:
    transport = InMemory().client()._transport
    bounded = bounded_transport(transport, 45, first_chunk_timeout=5, idle_timeout=7)
    assert isinstance(bounded, DeadlineTransport)
    assert bounded.inner is transport
    assert bounded._bounds == Bounds(45, 5, 7)
