"""Which requests a server answers: vLLM's check of keys, and the fake's own checks.

The fake's own routes show what other clients sent, and change what the server does. So they check
the host name, the page that a browser shows, and the key.
"""

from collections.abc import Collection
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from fake_vllm.api import Refused
from fake_vllm.files import ANY_FILE, Files, FilesIn
from fake_vllm.http.exchange import Exchange
from fake_vllm.settings import Settings
from fake_vllm.starter import starter_key

GUARDED: Final = ("/v1", "/v2", "/inference", "/cohere")
"""The beginnings of the paths that demand a key, as on vLLM."""
NEEDS_KEY: Final = (
    "This route of the fake needs a key in the header `Authorization: Bearer KEY`: that of "
    "--admin-key, else one of --api-key, else the one that the server printed when it started."
)
WRONG_HOST: Final = (
    "The fake's own routes do not answer to the host name '{name}'; start the server with "
    "--allowed-host {name}, or use its IP address."
)
WRONG_ORIGIN: Final = (
    "A page of {origin} may not use the fake's own routes; start the server with "
    "--allowed-origins {origin} to allow it."
)
SHOWN: Final = 100  # characters of a name that an error repeats


class Guard:
    """The checks of one server.

    Attributes:
        files: the files that a request may name.
    """

    def __init__(self, settings: Settings) -> None:
        self.files: Files = FilesIn(settings.files)
        self._starter = starter_key()
        self._api_keys = settings.api_key
        self._admin_keys = (settings.admin_key,) if settings.admin_key else settings.api_key
        names = {name.lower().rstrip(".") for name in (*settings.host, *settings.allowed_host)}
        # A browser cannot reach a Unix socket, whose clients name any host.
        self._hosts = None if settings.uds else names
        self._origins = set(settings.allowed_origins)  # "*" allows /v1 and no more

    # vLLM's own check.

    def lets_in(self, exchange: Exchange) -> bool:
        """Tell whether a request has the key that vLLM demands for its path."""
        return (
            not self._api_keys
            or not exchange.path.startswith(GUARDED)
            or exchange.method == "OPTIONS"
            or _knows(self._api_keys, exchange)
        )

    def check_choice(self, exchange: Exchange) -> None:
        """Check a request that chooses its scenario, on a path where vLLM demands no key.

        Raises:
            Refused: the server has keys, and the request has none of them.
        """
        if self._api_keys and not _knows(self._api_keys, exchange):
            raise Refused(401, "Unauthorized", NEEDS_KEY)

    # The fake's own routes.

    def check(self, exchange: Exchange) -> None:
        """Check a request for one of the fake's own routes.

        Raises:
            Refused: its host name, its page or its key do not fit.
        """
        self.check_host(exchange)
        origin = exchange.headers.get("origin")
        if origin is not None and origin not in self._origins and not _is_own(origin, exchange):
            raise Refused(403, "Forbidden", WRONG_ORIGIN.format(origin=origin[:SHOWN]))
        if not self.knows_key(exchange):
            raise Refused(
                401, "Unauthorized", NEEDS_KEY, headers=[(b"www-authenticate", b"Bearer")]
            )

    def check_host(self, exchange: Exchange) -> None:
        """Check that no web page has bound its own name to this server (DNS rebinding).

        Raises:
            Refused: the host name is neither an IP address nor one of this server.
        """
        name = _host_name(exchange.headers.get("host", ""))
        if self._hosts is None or not name or name in self._hosts or _is_local(name):
            return
        raise Refused(421, "Misdirected Request", WRONG_HOST.format(name=name[:SHOWN]))

    def knows_key(self, exchange: Exchange) -> bool:
        """Tell whether a request may see and change what the server does."""
        return (
            not self._admin_keys or _knows(self._admin_keys, exchange) or self._is_starter(exchange)
        )

    def files_for(self, exchange: Exchange) -> Files:
        """Return the files that a request for the own routes may name."""
        return ANY_FILE if self._is_starter(exchange) else self.files

    def _is_starter(self, exchange: Exchange) -> bool:
        return self._starter is not None and _knows((self._starter,), exchange)


def _knows(keys: Collection[str], exchange: Exchange) -> bool:
    scheme, _, given = exchange.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    sent = given.encode()
    return any(compare_digest(sent, key.encode(errors="replace")) for key in keys)


def _host_name(header: str) -> str:
    """Return the name in a header Host, without its port."""
    text = header.strip().lower()
    if not text.startswith("["):
        return text.partition(":")[0].rstrip(".")
    address, _, rest = text[1:].partition("]")
    return address if rest[:1] in ("", ":") else text


def _is_local(name: str) -> bool:
    """Tell whether no other host can have this name: it is `localhost`, or an address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(origin: str, exchange: Exchange) -> bool:
    """Tell whether a page is the server's own."""
    try:
        name = urlsplit(origin).netloc.lower()
    except ValueError:  # as for `http://[`
        return False
    return name == exchange.headers.get("host", "").lower() != ""
