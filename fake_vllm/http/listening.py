"""The sockets that a server listens on."""

import os
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from fake_vllm.settings import Settings

BACKLOG = 4096
WHOLE_MACHINE = ("::", "0.0.0.0")


class CannotListen(Exception):
    """Raised when address, socket or certificate cannot be used; the text says what to do."""


def listen(settings: Settings) -> list[socket.socket]:
    """Return a listening socket for each address, all with the same port.

    Raises:
        CannotListen: an address cannot be used.
    """
    if settings.uds is not None:
        return [_unix(settings)]
    # As on vLLM, which binds its port first and listens when the model is loaded.
    deaf = settings.startup > 0 and settings.startup_answer == "refuse"
    sockets: list[socket.socket] = []
    port = settings.port
    try:
        for host in settings.host:
            sockets.append(_tcp(host, port, deaf=deaf))
            port = sockets[0].getsockname()[1]
    except CannotListen:
        for one in sockets:
            one.close()
        raise
    return sockets


def is_reachable(listening: Sequence[socket.socket]) -> bool:
    """Tell whether other machines can reach one of these sockets."""
    return any(
        one.family != socket.AF_UNIX and not _is_loopback(one.getsockname()[0]) for one in listening
    )


def root(settings: Settings, listening: socket.socket) -> str:
    """Return the address of a socket as a client writes it."""
    if settings.uds is not None:
        return f"unix:{settings.uds}"
    scheme = "https" if settings.ssl_certfile or settings.tls_self_signed else "http"
    host, port = listening.getsockname()[:2]
    if host in WHOLE_MACHINE:
        host = "::1" if host == "::" else "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(address: str) -> bool:
    found = ip_address(address.partition("%")[0])  # without the scope of IPv6
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)


def _tcp(host: str, port: int, *, deaf: bool) -> socket.socket:
    try:
        family = _family(host, port)
        # `::` takes IPv4 too, as on vLLM, where the machine allows it.
        both = host == "::" and socket.has_dualstack_ipv6()
        if deaf:
            return _bound(host, port, family, both=both)
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
    except (OSError, OverflowError, UnicodeError) as error:
        reason = (
            os.strerror(error.errno)
            if isinstance(error, OSError) and error.errno and error.errno > 0
            else str(error)
        )
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {reason}. Choose another port, or --port 0 for a "
            "free one."
        ) from None


def _bound(host: str, port: int, family: int, *, both: bool) -> socket.socket:
    """Return a socket that has its port and refuses connections until it listens."""
    waiting = socket.socket(family, socket.SOCK_STREAM)
    try:
        waiting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            waiting.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        waiting.bind((host, port))
    except OSError:
        waiting.close()
        raise
    return waiting


def _family(host: str, port: int) -> int:
    return int(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0])


def _unix(settings: Settings) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(settings.uds))
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {settings.uds}: {error.strerror or error}. Choose another path, or "
            "remove the file."
        ) from None
    return listening
