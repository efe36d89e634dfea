"""The names that this server answers to.

A page of evil.example is of another origin, so browsers keep it from this server. But the owner of
that name can point it at this server's address, and then the page is of the same origin (DNS
rebinding). Its requests have `Host: evil.example`. An address in place of a name cannot be pointed
anywhere, so every address is accepted: health probes use it.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

ANY: Final = "*"
POLICY_VIOLATION: Final = 1008
SHOWN: Final = 100
"""Characters of a wrong host that the answer repeats."""
_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]@/]+?)\.?)(?::\d*)?")


class HostCheck:
    """Middleware that refuses requests for other hosts with status 421."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        """Wrap an application.

        Args:
            app: the application.
            names: the names that it answers to, besides `localhost` and addresses. `*`: any.
        """
        self._app = app
        self._names = {name.lower().rstrip(".") for name in names} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is for this server."""
        wrong = self._wrong_host(scope) if scope["type"] in ("http", "websocket") else None
        if wrong is None:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket" and "websocket.http.response" not in (
            scope.get("extensions") or {}
        ):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        text = f"This server is not {wrong[:SHOWN]}; add the name to ALLOWED_HOSTS if it is."
        refusal = JSONResponse({"error": {"type": "wrong_host", "message": text}}, 421)
        await refusal(scope, receive, send)

    def _wrong_host(self, scope: Scope) -> str | None:
        """Return a host that is not this server's. None: all is well.

        Without the header, it is no browser that asks.
        """
        hosts = Headers(scope=scope).getlist("host")
        return next((host for host in hosts if not self._is_ours(host)), None)

    def _is_ours(self, host: str) -> bool:
        if ANY in self._names:
            return True
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found["v6"] or found["name"] or "").lower()
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
