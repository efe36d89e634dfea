"""A real HAProxy in front of a server."""

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
    server behind {upstream}
"""


class Haproxy(Proxy):
    """HAProxy 2.6 or newer, from Debian's `haproxy`, with its address in `url`."""

    def __init__(
        self, upstream: str, *defaults: str, client: str = "60s", server: str = "60s"
    ) -> None:
        """Start HAProxy.

        Args:
            upstream: the address of the server behind it.
            defaults: further lines of the section `defaults`, like "option http-no-delay".
            client: its `timeout client`, like "60s".
            server: its `timeout server`, like "60s".

        Raises:
            MissingPart: HAProxy is not installed.
            ProcessError: HAProxy does not start.
        """
        port, behind = free_port(), urlsplit(upstream).netloc
        lines = CONFIGURATION.format(
            client=client,
            server=server,
            port=port,
            upstream=behind,
            defaults="\n    ".join(defaults),
        )
        super().__init__("haproxy", port, lines, ["-db", "-f", "{file}"])
