"""A real HAProxy in front of a server."""

from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from stream_lab.parts.ports import free_port, listens
from stream_lab.parts.process import Process
from stream_lab.programs import find

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


class Haproxy(Process):
    """HAProxy 2.6 or newer. `url`: where it is. It needs the program, Debian's `haproxy`."""

    def __init__(self, upstream: str, *defaults: str, client: str = "60s", server: str = "60s") -> None:
        """Start it.

        `upstream`: the server behind it. `defaults`: further lines of that section, as "option http-no-delay". `client`, `server`: its `timeout client` and `timeout server`, in its own words, as "60s".

        Raises:
            MissingPart: HAProxy is not installed.
            EndpointError: it does not start.
        """
        program, port = find("haproxy"), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = TemporaryDirectory(prefix="haproxy-")
        path = Path(self._folder.name) / "haproxy.cfg"
        lines = "\n    ".join(defaults)
        path.write_text(
            CONFIGURATION.format(client=client, server=server, port=port, upstream=urlsplit(upstream).netloc, defaults=lines),
            encoding="utf-8",
        )
        try:
            super().__init__("haproxy", [program, "-db", "-f", str(path)], lambda: listens(port))
        except BaseException:
            self._folder.cleanup()
            raise

    def close(self) -> None:
        super().close()
        self._folder.cleanup()
