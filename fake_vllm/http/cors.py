"""What browsers may read: the headers of Starlette's CORSMiddleware, as vLLM sets it up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fake_vllm.http.exchange import Exchange, Headers

METHODS: Final = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
ANY: Final = "*"


@dataclass(frozen=True)
class Cors:
    """The origins whose pages may use the server (vLLM's --allowed-origins); "*" is all."""

    origins: Sequence[str] = ()

    def allowed(self, exchange: Exchange) -> bytes | None:
        """Return the value of Access-Control-Allow-Origin. None: the header is not sent."""
        origin = exchange.headers.get("origin")
        if origin is None:
            return None
        if ANY in self.origins:
            return b"*"
        return origin.encode("latin-1") if origin in self.origins else None

    def preflight(self, exchange: Exchange) -> tuple[int, bytes, Headers] | None:
        """Return the answer to a browser's first question. None: it is another request."""
        asked = exchange.headers
        if exchange.method != "OPTIONS" or not (
            {"origin", "access-control-request-method"} <= asked.keys()
        ):
            return None
        headers: list[tuple[bytes, bytes]] = [
            (
                b"vary",
                b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
                b"Access-Control-Request-Private-Network",
            )
        ]
        everyone, origin = ANY in self.origins, self.allowed(exchange)
        if everyone:
            headers.append((b"access-control-allow-origin", b"*"))
        headers += [
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-max-age", b"600"),
        ]
        if origin is not None and not everyone:
            headers.append((b"access-control-allow-origin", origin))
        if wanted := asked.get("access-control-request-headers"):
            headers.append((b"access-control-allow-headers", wanted.encode("latin-1")))
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        failures = [
            what
            for what, wrong in (
                ("origin", origin is None),
                ("method", asked["access-control-request-method"] not in METHODS.split(", ")),
                ("private-network", "access-control-request-private-network" in asked),
            )
            if wrong
        ]
        if failures:
            return 400, f"Disallowed CORS {', '.join(failures)}".encode(), headers
        return 200, b"OK", headers
