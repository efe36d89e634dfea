"""The HTTP face: vLLM's routes, and `/ledger`, which only the fake has."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fake_vllm import request as requests
from fake_vllm import wire, words
from fake_vllm.engine import Engine, Piece
from fake_vllm.ledger import Entry, Ledger
from fake_vllm.metrics import CONTENT_TYPE, Metrics
from fake_vllm.request import Refused, Request
from fake_vllm.scenarios import Scenario, ScenarioError, parse
from fake_vllm.scenarios.base import forever

TYPE_JSON = (b"content-type", b"application/json")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[["Exchange"], Awaitable[None]]


@dataclass(frozen=True)
class Settings:
    """How the server behaves when a request does not say otherwise. Times in seconds.

    `gap` lies between two tokens, `first_token` before the first. `api_key`: None lets everybody in.
    """

    served_model_name: str = "fake-model"
    scenario: str = "finite"
    gap: float = 0.01
    first_token: float = 0.0
    max_num_seqs: int = 256
    max_model_len: int = 32_768
    api_key: str | None = None


class Exchange:
    """One HTTP request and what is sent back."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        parts = []
        while (message := await self._receive())["type"] == "http.request":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        return b"".join(parts)

    async def left(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def reply(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
        await self._send({"type": "http.response.body", "body": body})

    async def reply_json(self, value: Any, status: int = 200) -> None:
        await self.reply(status, wire.dumps(value), [TYPE_JSON, (b"vary", b"Origin")])

    async def start_stream(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": wire.STREAM_HEADERS})

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})


class App:
    """The ASGI application of one server: its engine, its metrics, its ledger."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self._scenario = parse(settings.scenario)
        self._metrics = Metrics(settings.served_model_name)
        self._engine = Engine(self._metrics, slots=settings.max_num_seqs, gap=settings.gap, first_token=settings.first_token)
        self._started = int(time.time())
        self._routes: dict[str, dict[str, Handler]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
            "/v1/models": {"GET": self._models},
            "/health": {"GET": self._empty},
            "/ping": {"GET": self._empty, "POST": self._empty},
            "/version": {"GET": self._version},
            "/metrics": {"GET": self._metrics_page},
            "/ledger": {"GET": self._show_ledger, "DELETE": self._clear_ledger},
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        key = self.settings.api_key
        if key is not None and exchange.path.startswith("/v1") and not _has_key(exchange.headers, key):
            await exchange.reply(401, wire.dumps({"error": "Unauthorized"}), [TYPE_JSON])
        elif (route := self._routes.get(exchange.path)) is None:
            await exchange.reply_json({"detail": "Not Found"}, 404)
        elif (handler := route.get(exchange.method)) is None:
            allow = (b"allow", ", ".join(route).encode())
            await exchange.reply(405, wire.dumps({"detail": "Method Not Allowed"}), [allow, TYPE_JSON, (b"vary", b"Origin")])
        else:
            try:
                await handler(exchange)
            except Refused as refused:
                await exchange.reply_json(refused.body, refused.status)

    async def _empty(self, exchange: Exchange) -> None:
        await exchange.reply(200, b"", [(b"vary", b"Origin")])

    async def _version(self, exchange: Exchange) -> None:
        await exchange.reply_json({"version": wire.VERSION})

    async def _models(self, exchange: Exchange) -> None:
        name, length = self.settings.served_model_name, self.settings.max_model_len
        await exchange.reply_json(wire.models(name, self._started, length, f"modelperm-{_hex()}"))

    async def _metrics_page(self, exchange: Exchange) -> None:
        await exchange.reply(200, self._metrics.page(), [(b"content-type", CONTENT_TYPE), (b"vary", b"Origin")])

    async def _show_ledger(self, exchange: Exchange) -> None:
        await exchange.reply_json(self.ledger.as_json())

    async def _clear_ledger(self, exchange: Exchange) -> None:
        self.ledger.clear()
        await exchange.reply_json({"requests": []})

    async def _chat(self, exchange: Exchange) -> None:
        await self._complete(exchange, "chat", requests.ChatRequest)

    async def _completion(self, exchange: Exchange) -> None:
        await self._complete(exchange, "completion", requests.CompletionRequest)

    async def _complete(self, exchange: Exchange, kind: wire.Kind, schema: type[Request]) -> None:
        body = await exchange.body()
        request = requests.read(schema, exchange.headers.get("content-type", ""), body, self.settings.served_model_name)
        request.check(self.settings.max_model_len)
        named = request.fake_scenario or exchange.headers.get(requests.SCENARIO_HEADER)
        try:
            scenario = parse(named) if named else self._scenario
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), requests.SCENARIO_FIELD) from None

        id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{exchange.headers.get('x-request-id') or _hex()}"
        entry = self.ledger.open(id, exchange.path, named or self.settings.scenario, bool(request.stream))
        answer = Answer(kind, id, request, scenario, entry, exchange, self._engine, self.settings)
        work = asyncio.create_task(answer.stream() if request.stream else answer.whole())
        left = asyncio.create_task(exchange.left())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                entry.client_left = time.monotonic()
        finally:
            left.cancel()
            work.cancel()
            await asyncio.gather(work, left, return_exceptions=True)
            entry.end = "client left" if entry.client_left is not None else "finished"
        if not work.cancelled():
            work.result()  # raises what went wrong inside


@dataclass
class Answer:
    """One answer on its way: the engine makes it, the scenario spoils it, the exchange carries it."""

    kind: wire.Kind
    id: str
    request: Request
    scenario: Scenario
    entry: Entry
    exchange: Exchange
    engine: Engine
    settings: Settings

    def __post_init__(self) -> None:
        self.created = int(time.time())
        self.plan = self.scenario.shape(self.request.plan(self.settings.max_model_len))
        self.prompt_tokens = words.count(self.request.prompt_text)
        self.seed = f"{self.request.seed or 0} {self.request.prompt_text}"

    async def stream(self) -> None:
        usage = self.request.include_usage
        wires = wire.Stream(self.kind, self.id, self.created, self.settings.served_model_name, usage=usage)
        # As on a real vLLM the headers go out before the request has a slot; the role event comes with the first token.
        if not self.scenario.withholds_headers:
            await self.exchange.start_stream()
        async with self.engine.slot(self.entry, self.prompt_tokens):
            index = 0
            async for piece in self.engine.generate(self.plan, self.request.stops, self.seed, self.entry):
                await self.scenario.before_token(self.exchange, index)
                if not self.scenario.withholds_headers:
                    if index == 0 and self.kind == "chat":
                        await self.exchange.send(wires.role())
                    await self.exchange.send(
                        wires.finish(piece.text, piece.finish, piece.stop) if piece.finish else wires.token(piece.text)
                    )
                index += 1
            if self.scenario.withholds_headers:
                await forever()
        if usage:
            await self.exchange.send(wires.total(wire.Usage(self.prompt_tokens, self.entry.tokens)))
        await self.exchange.send(wire.DONE)
        await self.exchange.end_stream()

    async def whole(self) -> None:
        text: list[str] = []
        last = Piece("", "length")
        keep = bool(self.request.stops) or not self.plan.endless  # an answer that cannot end is never sent: do not collect it
        async with self.engine.slot(self.entry, self.prompt_tokens):
            index = 0
            async for last in self.engine.generate(self.plan, self.request.stops, self.seed, self.entry):
                await self.scenario.before_token(_Nowhere(), index)
                index += 1
                if keep:
                    text.append(last.text)
            if self.scenario.withholds_headers:
                await forever()
        usage = wire.Usage(self.prompt_tokens, self.entry.tokens)
        name = self.settings.served_model_name
        reason = last.finish or "length"
        await self.exchange.reply_json(
            wire.answer(self.kind, self.id, self.created, name, "".join(text), reason, last.stop, usage)
        )


class _Nowhere:
    """Where a scenario's extra bytes go when the answer is one body."""

    async def send(self, data: bytes) -> None:
        pass


def _has_key(headers: dict[str, str], key: str) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token == key


def _hex() -> str:
    return uuid.uuid4().hex[:16]
