"""The HTTP clients inside other objects, found and wrapped by hand-made ones."""

from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pytest

from stream_deadline._budget import Bounds
from stream_deadline._http_clients import (
    http_clients,
    is_http_client,
    pools,
    report_to_calls,
    transports,
    wrap_transports,
)
from tests.stream_deadline.pools import a_pool


class Transport:
    """A synchronous transport; `pool`: of httpcore."""

    def __init__(self, pool: Any = None) -> None:
        self._pool = pool

    def handle_request(self, request: Any) -> Any: ...


def http(
    library: str = "httpx",
    name: str = "Client",
    *,
    mounts: dict[str, Any] | None = None,
    without: str = "",
) -> Any:
    """A client of httpx, as far as it is looked at."""
    made: Any = type(name, (), {"__module__": f"{library}._client"})()
    values = {"_transport": Transport(), "_mounts": mounts or {}}
    vars(made).update({key: value for key, value in values.items() if key != without})
    return made


def thing(**inside: Any) -> Any:
    return SimpleNamespace(**inside)


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_client_of_either_library_and_kind_is_known_and_a_subclass_too(
    library: str, name: str
) -> None:
    client = http(library, name)
    assert is_http_client(client)
    mine: Any = type("Mine", (type(client),), {"__module__": "mine"})()
    assert not is_http_client(mine), "it has no transports"
    vars(mine).update(vars(client))
    assert is_http_client(mine)


@pytest.mark.parametrize(
    "other",
    [
        object(),
        http("aiohttp"),
        http(name="Response"),
        http(without="_transport"),
        http(without="_mounts"),
        thing(_transport=1, _mounts=2),
    ],
)
def test_another_thing_is_no_client_and_is_left_alone(other: Any) -> None:
    assert not is_http_client(other)
    report_to_calls(other)


@pytest.mark.parametrize(
    "name",
    ["_client", "sdk_configuration", "_HTTP_Client", "provider", "httpx_client_wrapper"],
)
def test_a_client_is_found_by_the_names_that_sdks_have_for_it(name: str) -> None:
    client = http()
    assert http_clients(thing(**{name: client})) == [client]
    assert http_clients(thing(**{name: thing(**{name: client})})) == [client]
    assert http_clients(client) == [client]


def test_a_client_is_not_looked_for_under_other_names_or_in_texts_and_classes() -> None:
    class Holder:
        client = http()

    assert http_clients(thing(other=http())) == []
    assert http_clients(Holder) == []
    assert http_clients(thing(client=None, api_client="a text", raw_client=b"bytes")) == []


def test_all_clients_are_found_once_however_they_are_reached() -> None:
    one, other = http(), http(name="AsyncClient")
    inner = thing(http_client=other)
    whole = thing(client=one, async_client=inner, again_client=one, same_client=inner)
    inner.client = whole
    assert http_clients(whole) == [one, other]


def test_a_client_is_looked_for_up_to_four_steps_deep() -> None:
    client = http()
    for _ in range(4):
        client = thing(client=client)
    assert len(http_clients(client)) == 1
    for _ in range(5):
        client = thing(client=client)
    assert http_clients(client) == []


class Slotted:
    __slots__ = ()


def test_a_client_is_found_in_private_attributes_of_pydantics_models_and_none_in_slots() -> None:
    client = http()
    assert http_clients(thing(__pydantic_private__={"_client": client})) == [client]
    assert http_clients(thing(__pydantic_private__=None, client=client)) == [client]
    assert http_clients(Slotted()) == []


def test_a_client_that_is_made_when_it_is_first_read_is_found_unless_it_cannot_be_made() -> None:
    made: list[str] = []

    class Model:
        @cached_property
        def a_client(self) -> Any:
            raise RuntimeError("no key")

        @cached_property
        def b_client(self) -> Any:
            made.append("b_client")
            return http()

        @cached_property
        def client_count(self) -> Any:
            made.append("client_count")
            return http()

        @property
        def z_client(self) -> Any:
            made.append("z_client")
            return http()

    model = Model()
    assert http_clients(model) == [model.b_client]
    assert http_clients(model) == [model.b_client]
    assert made == ["b_client"]


def test_the_transports_and_pools_of_a_client_are_its_own_and_those_of_its_mounts() -> None:
    pool = a_pool()
    mounted = Transport(pool)
    client = http(mounts={"all://": mounted, "https://": None})
    assert transports(client) == [client._transport, mounted]
    assert pools(client) == [pool]
    assert transports(object()) == []


def test_each_transport_of_a_client_is_wrapped_and_a_mount_without_one_stays_so() -> None:
    mounted = Transport()
    client = http(mounts={"all://": mounted, "https://": None})
    own = client._transport
    wrap_transports(client, Bounds(45))
    assert client._transport.inner is own
    assert client._mounts["all://"].inner is mounted
    assert client._mounts["https://"] is None


@pytest.mark.parametrize("multiplexed", [[True, False], [False, True]])
def test_a_client_with_a_pool_that_speaks_http_2_cannot_report_to_calls(
    multiplexed: list[bool],
) -> None:
    own, mounted = (a_pool(_http2=each) for each in multiplexed)
    client = http(mounts={"all://": Transport(mounted)})
    client._transport._pool = own
    with pytest.raises(ValueError, match="This HTTP client speaks HTTP/2"):
        report_to_calls(client)


@pytest.mark.parametrize("pool", [a_pool(), a_pool(_http2=False), None])
def test_a_client_that_reports_to_calls_is_wrapped_once(pool: Any) -> None:
    client = http()
    client._transport._pool = pool
    own = client._transport
    report_to_calls(client)
    wrapped = client._transport
    assert wrapped.inner is own
    report_to_calls(client)
    assert client._transport is wrapped
