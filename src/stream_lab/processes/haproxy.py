"""A real HAProxy in front of a server."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from stream_lab.processes.ports import free_port
from stream_lab.processes.proxy import Proxy

CONFIGURATION = """\
defaults
    mode http
    timeout connect 5s
    timeout client {client}
    timeout server {server}
    {defaults}
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    {backend}
"""


class Haproxy(Proxy):
    """HAProxy 2.6 or newer, from Debian's `haproxy`, with its address in `url`."""

    def __init__(
        self,
        upstream: str | Sequence[str],
        *defaults: str,
        client: str = "60s",
        server: str = "60s",
        backend: Sequence[str] = (),
    ) -> None:
        """Start HAProxy.

        Args:
            upstream: the address of the server behind it, or of several.
            defaults: further lines of the section `defaults`, like "option http-no-delay".
            client: its `timeout client`, like "60s".
            server: its `timeout server`, like "60s".
            backend: further lines of the section `backend`, like "balance roundrobin".

        Raises:
            MissingPart: HAProxy is not installed.
            ProcessError: HAProxy does not start.
        """
        port = free_port()
        upstreams = [upstream] if isinstance(upstream, str) else upstream
        servers = [
            f"server behind{number} {urlsplit(each).netloc}"
            for number, each in enumerate(upstreams, 1)
        ]
        lines = CONFIGURATION.format(
            client=client,
            server=server,
            port=port,
            backend="\n    ".join([*backend, *servers]),
            defaults="\n    ".join(defaults),
        )
        super().__init__("haproxy", port, lines, ["-db", "-f", "{file}"])
