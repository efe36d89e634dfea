"""The clients of a round, which its calls share and which end with it."""

import asyncio
import ssl
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import httpx2
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from stream_deadline import ChatVllm, bounded_client, bounded_model, deadline
from stream_lab.soak.plan import FAR, Plan

QUESTION = "Why is the sky blue?"
KEY = "none"
NOT_POOLED = 8
"""Clients for the calls that use a new connection."""
MOST = httpx2.Limits(max_connections=1000, max_keepalive_connections=50)
NONE_KEPT = httpx2.Limits(max_connections=1000, max_keepalive_connections=0)
NEVER = httpx2.Timeout(FAR)
"""The time-out of a client that the library has to bound."""


class Clients:
    """The addresses, models and clients of a round.

    Args:
        roomy: the address of the server with slots for all.
        crowded: the address of the server with few slots.
        served: the address of the application behind the middleware.
        model: the servers' model.
    """

    def __init__(self, roomy: str, crowded: str, served: str, model: str) -> None:
        self._roomy, self._crowded, self.served, self._model = roomy, crowded, served, model
        self._trusting = ssl.create_default_context()  # every server here speaks plain HTTP
        self._made: dict[tuple[str, bool], Any] = {}
        self._making = threading.Lock()

    def address(self, plan: Plan) -> str:
        """Return the address of the server that a call asks."""
        return self._crowded if plan.crowded else self._roomy

    def chat_vllm(self, plan: Plan) -> Any:
        """Make the `ChatVllm` of a call, or what `bind` gives of it."""
        settings: dict[str, Any] = {}
        if plan.way == "constructor":
            settings["timeout"] = plan.limit
        elif plan.way == "first chunk":
            settings |= {"first_chunk_timeout": plan.limit, "timeout": plan.limit + 3}
        elif plan.way == "both":
            settings["timeout"] = 2 * FAR
        # A fragment makes another address, and so another client: none of its connections is kept.
        # The library keeps 64 clients, and leaves the connections of others to the collector.
        url = self.address(plan) + ("" if plan.pooled else f"#{plan.number % NOT_POOLED}")
        made = ChatVllm(model=self._model, base_url=url, **self._asks(plan), **settings)
        return made.bind(timeout=plan.limit) if plan.way == "call" else made

    def bounded_model(self, plan: Plan) -> Any:
        """Make the bounded `ChatOpenAI` of a call, on the clients of this round."""
        plain = ChatOpenAI(
            model=self._model,
            base_url=self.address(plan),
            http_client=self.sync_http(plan.pooled),
            http_async_client=self.http(plan.pooled),
            max_retries=0,
            stream_chunk_timeout=None,
            timeout=NEVER,
            **self._asks(plan),
        )
        return bounded_model(plain, plan.limit if plan.way == "constructor" else None)

    def _asks(self, plan: Plan) -> dict[str, Any]:
        return {
            "api_key": KEY,
            "default_headers": dict(headers(plan)),
            "extra_body": {"fake_scenario": plan.scenario},
        }

    def asks(self, plan: Plan) -> dict[str, Any]:
        """Return the arguments of the SDK's `create` for a call."""
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": QUESTION}],
            "extra_headers": headers(plan),
            "extra_body": {"fake_scenario": plan.scenario},
            "stream": True,
        }

    def body(self, plan: Plan) -> dict[str, Any]:
        """Return the body of the same request for a bare HTTP client."""
        asks = self.asks(plan)
        body = {name: asks[name] for name in ("model", "messages", "stream")}
        return {**body, **asks["extra_body"]}

    def http(self, pooled: bool) -> Any:
        """Return the asynchronous HTTP client of the loop that all share."""
        return self._one("async", pooled, lambda: DefaultAsyncHttpxClient(**self.settings(pooled)))

    def sync_http(self, pooled: bool) -> Any:
        """Return the synchronous HTTP client."""
        return self._one("sync", pooled, lambda: DefaultHttpxClient(**self.settings(pooled)))

    def settings(self, pooled: bool) -> dict[str, Any]:
        """Return the settings of an HTTP client."""
        limits = MOST if pooled else NONE_KEPT
        return {"verify": self._trusting, "limits": limits, "timeout": NEVER, "trust_env": False}

    def bounded_http(self, plan: Plan, *, blocking: bool) -> Any:
        """Make an HTTP client that is bounded by the call's deadline, or by the scope's."""
        kind = DefaultHttpxClient if blocking else DefaultAsyncHttpxClient
        timeout = plan.limit if plan.way == "argument" else None
        return bounded_client(kind(**self.settings(plan.pooled)), timeout)

    def sdk(self, plan: Plan, http: Any = None) -> AsyncOpenAI:
        """Return the SDK's asynchronous client.

        Args:
            plan: the call.
            http: the HTTP client. None: that of the loop that all share.
        """
        return AsyncOpenAI(
            base_url=self.address(plan), api_key=KEY, max_retries=0,
            http_client=http or self.http(plan.pooled),
        )  # fmt: skip

    def sync_sdk(self, plan: Plan, http: Any = None) -> OpenAI:
        """Return the SDK's synchronous client; see `sdk`."""
        return OpenAI(
            base_url=self.address(plan), api_key=KEY, max_retries=0,
            http_client=http or self.sync_http(plan.pooled),
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close every connection, also those that the library keeps for later models."""
        for (kind, _), client in self._made.items():
            if kind == "async":
                await client.aclose()
            else:
                await asyncio.to_thread(client.close)
        self._made.clear()
        for url in (self._roomy, self._crowded):
            # The library has one client for all models of an address.
            model = ChatVllm(model=self._model, base_url=url, api_key=KEY)
            await model.root_async_client.close()
            model.root_client.close()

    def _one(self, kind: str, pooled: bool, make: Any) -> Any:
        with self._making:
            if (kind, pooled) not in self._made:
                self._made[kind, pooled] = make()
            return self._made[kind, pooled]


def headers(plan: Plan) -> Mapping[str, str]:
    """Return the headers: the name for the ledger, and whether to keep the connection."""
    named = {"x-request-id": f"soak-{plan.number}"}
    return named if plan.pooled else {**named, "connection": "close"}


def scope(plan: Plan) -> AbstractContextManager[Any]:
    """Return the `deadline` around a call; where it is set in another way, nothing."""
    return deadline(plan.limit) if plan.way in ("scope", "both") else nullcontext()


def timeout(plan: Plan) -> float | None:
    """Return the argument of `bounded`; None: the scope bounds it."""
    return plan.limit if plan.way == "argument" else None
