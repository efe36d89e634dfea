"""Bound every request of an HTTP client or an SDK: `bounded_client`."""

from typing import TypeVar

from stream_deadline._budget import Bounds
from stream_deadline._http_clients import http_clients, wrap_transports
from stream_deadline._transport import wrap

C = TypeVar("C")
T = TypeVar("T")


def bounded_client(
    client: C,
    timeout: float | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> C:
    """Bound every request of a client, to the last byte of its answer.

        llm = OpenAI(http_client=bounded_client(DefaultHttpxClient(), timeout=45))
        llm = bounded_client(AsyncAnthropic(), timeout=45)

    At the deadline the request ends with `StreamDeadlineExceeded` and the connection is closed,
    whether the answer is read or not. An ambient `deadline` bounds the requests too. Without either
    a request is left alone.

    The client keeps its own transports, and with them proxies, certificates, limits and mounts. Its
    retries share one budget if the SDK counts them (`x-stainless-retry-count`); others need a
    `deadline` around the call.

    Args:
        client: synchronous or asynchronous; of httpx, of httpx2, or an SDK's that has one of these
            inside. It is changed in place.
        timeout: seconds for a whole request; None: only an ambient `deadline` bounds it.
        first_chunk_timeout: seconds from the start to the first byte that says something; None: no
            bound. For streams only.
        idle_timeout: seconds from such bytes to the next, while the client waits for them; None: no
            bound. For streams only. Comments of an event stream say nothing.

    Returns:
        The same client.

    Raises:
        TypeError: no client of httpx or httpx2 is in it.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole;
            or the client is synchronous and speaks HTTP/2.
    """
    bounds = Bounds(timeout, first_chunk_timeout, idle_timeout)
    found = http_clients(client)
    if not found:
        raise TypeError(
            f"bounded_client found no client of httpx or httpx2 in this {type(client).__name__}. "
            "Make a bounded one, bounded_client(httpx.Client(), timeout=45), and pass it to the "
            "SDK when you make that; the parameter is often named http_client."
        )
    for http in found:
        wrap_transports(http, bounds)
    return client


def bounded_transport(
    transport: T,
    timeout: float | None = None,
    *,
    first_chunk_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> T:
    """Bound every request over a transport of httpx or httpx2.

        client = httpx.Client(transport=bounded_transport(httpx.HTTPTransport(), timeout=45))

    It uses public names of httpx only, but a client that is made with `transport=` takes no proxies
    from the environment, and not the SDK's limits. `bounded_client` keeps what a client has.

    Args:
        transport: synchronous or asynchronous. It is wrapped; type checkers see what it was.
        timeout: see `bounded_client`, as for the other two.
        first_chunk_timeout: likewise.
        idle_timeout: likewise.

    Raises:
        TypeError: it is no transport.
        ValueError: a bound is not a positive number of seconds, or a part is longer than the whole;
            or the transport is synchronous and speaks HTTP/2.
    """
    bounded: T = wrap(transport, Bounds(timeout, first_chunk_timeout, idle_timeout))
    return bounded
