"""An HTTP client for models that serve several event loops in turn.

A pooled connection belongs to the event loop it was opened in. A client that outlives its loop, as a model's does between two
`asyncio.run`, offers the next loop a connection that nobody reads any more: the request goes out, generation starts, and the call
fails with "Event loop is closed".
"""

import asyncio
import importlib
import os
import ssl
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from openai import DefaultAsyncHttpxClient

from stream_deadline.connection import listen


class PerLoopClient(DefaultAsyncHttpxClient):
    """An asynchronous HTTP client with connections of its own for each event loop. Made of the OpenAI SDK's client and defaults."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._settings = settings
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, DefaultAsyncHttpxClient] = WeakKeyDictionary()

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        return await self._mine().send(*args, **kwargs)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _mine(self) -> DefaultAsyncHttpxClient:
        loop = asyncio.get_running_loop()
        if (client := self._clients.get(loop)) is None:
            for other in [each for each in list(self._clients) if each.is_closed()]:
                # A client refers to its loop, so that the dictionary alone would keep both for ever.
                self._clients.pop(other, None)
            client = self._clients[loop] = DefaultAsyncHttpxClient(**self._settings)
            listen(client)
        return client


@lru_cache(maxsize=64)
def per_loop_client(base_url: str) -> PerLoopClient:
    """One client for all models with the same address."""
    return PerLoopClient(base_url=base_url, verify=_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")))


@lru_cache(maxsize=4)
def _certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    """What every client of httpx trusts unless told otherwise; loading it takes tens of milliseconds, so it is shared.

    `file`, `folder`: where the environment says that it is found, so that a change of mind is noticed.
    """
    family = next(each.__module__ for each in DefaultAsyncHttpxClient.__mro__ if each.__name__ == "AsyncClient")
    context: ssl.SSLContext = importlib.import_module(family.partition(".")[0]).create_ssl_context()
    return context
