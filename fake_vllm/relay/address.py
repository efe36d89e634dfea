"""The address of another server."""

from typing import NamedTuple
from urllib.parse import urlsplit

from fake_vllm.redaction import place_of


class Address(NamedTuple):
    """Where a server is.

    Attributes:
        url: the address as the user wrote it, without a trailing slash.
        host: the host name.
        port: the port.
        tls: whether it speaks TLS.
        prefix: the path before `/v1`.
    """

    url: str
    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read an address with or without the `/v1` of clients.

        Raises:
            ValueError: it is not an address; the text says how to write one.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"'{place_of(url)}' is not the address of a server; write it as http://host:8000"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(
                f"the address of {parts.hostname} may have a path, but no user, query or fragment; "
                "clients send their own key"
            )
        tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(url.rstrip("/"), parts.hostname, port or (443 if tls else 80), tls, prefix)

    @property
    def authority(self) -> str:
        """Return the value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
