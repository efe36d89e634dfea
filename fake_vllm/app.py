"""The HTTP face: vLLM's routes, and `/ledger`, which only the fake has."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fake_vllm import request as requests
from fake_vllm import tool_calls, wire, words
from fake_vllm.connection import Send
from fake_vllm.engine import Engine, Piece
from fake_vllm.exchange import TYPE_JSON, Exchange, Receive, reply, reply_json
from fake_vllm.ledger import Entry, Ledger
from fake_vllm.metrics import CONTENT_TYPE, Metrics
from fake_vllm.refused import Refused
from fake_vllm.request import Request
from fake_vllm.scenarios import Scenario, ScenarioError, parse
from fake_vllm.scenarios.base import Cut, Failure
from fake_vllm.script import CALL, Script

Handler = Callable[[Exchange], Awaitable[None]]


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
            await reply(exchange, 401, wire.dumps({"error": "Unauthorized"}), [TYPE_JSON])
        elif (route := self._routes.get(exchange.path)) is None:
            await reply_json(exchange, {"detail": "Not Found"}, 404)
        elif (handler := route.get(exchange.method)) is None:
            allow = (b"allow", ", ".join(route).encode())
            await reply(exchange, 405, wire.dumps({"detail": "Method Not Allowed"}), [allow, TYPE_JSON, (b"vary", b"Origin")])
        else:
            try:
                await handler(exchange)
            except Refused as refused:
                await reply_json(exchange, refused.body, refused.status)

    async def _empty(self, exchange: Exchange) -> None:
        await reply(exchange, 200, b"", [(b"vary", b"Origin")])

    async def _version(self, exchange: Exchange) -> None:
        await reply_json(exchange, {"version": wire.VERSION})

    async def _models(self, exchange: Exchange) -> None:
        name, length = self.settings.served_model_name, self.settings.max_model_len
        await reply_json(exchange, wire.models(name, self._started, length, f"modelperm-{_hex()}"))

    async def _metrics_page(self, exchange: Exchange) -> None:
        await reply(exchange, 200, self._metrics.page(), [(b"content-type", CONTENT_TYPE), (b"vary", b"Origin")])

    async def _show_ledger(self, exchange: Exchange) -> None:
        await reply_json(exchange, self.ledger.as_json(exchange.query.get("id", "")))

    async def _clear_ledger(self, exchange: Exchange) -> None:
        self.ledger.clear()
        await reply_json(exchange, {"requests": []})

    async def _chat(self, exchange: Exchange) -> None:
        await self._complete(exchange, "chat", requests.ChatRequest)

    async def _completion(self, exchange: Exchange) -> None:
        await self._complete(exchange, "completion", requests.CompletionRequest)

    async def _complete(self, exchange: Exchange, kind: wire.Kind, schema: type[Request]) -> None:
        body = await exchange.body()
        request = requests.read(schema, exchange.headers.get("content-type", ""), body, self.settings.served_model_name)
        request.check(self.settings.max_model_len)
        script = request.script()
        named = request.fake_scenario or exchange.headers.get(requests.SCENARIO_HEADER)
        try:
            scenario = parse(named) if named else self._scenario
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), requests.SCENARIO_FIELD) from None

        id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{exchange.headers.get('x-request-id') or _hex()}"
        entry = self.ledger.open(id, exchange.path, named or self.settings.scenario, bool(request.stream))
        answer = Answer(kind, id, request, script, scenario, entry, exchange, self._engine, self.settings)
        work = asyncio.create_task(answer.play())
        left = asyncio.create_task(exchange.left())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                entry.client_left = time.monotonic()
        finally:
            left.cancel()
            work.cancel()
            await asyncio.gather(work, left, return_exceptions=True)
            if entry.client_left is not None:
                entry.end = "client left"
        if not work.cancelled():
            work.result()  # raises what went wrong inside


@dataclass
class Answer:
    """One answer on its way: the engine makes it, the scenario spoils it, the exchange carries it. The scenario's `Call`."""

    kind: wire.Kind
    id: str
    request: Request
    script: Script
    scenario: Scenario
    entry: Entry
    exchange: Exchange
    engine: Engine
    settings: Settings

    def __post_init__(self) -> None:
        self.created = int(time.time())
        self.plan = self.scenario.shape(self.request.plan(self.settings.max_model_len))
        self.prompt_tokens = words.count(self.request.prompt_text)
        self.tokens = self.script.tokens(self.plan)
        self.carrier = self.scenario.carry(self.exchange)
        name, usage = self.settings.served_model_name, self.request.include_usage
        self.wires = wire.Stream(self.kind, self.id, self.created, name, usage=usage)
        if (calling := self.script.calling) is not None:
            named = calling.choice == "named"
            self.wires = wire.ToolStream(self.id, self.created, name, calling.names, CALL, named=named, usage=usage)
        self.streams = False

    @property
    def attempt(self) -> int:
        return self.entry.attempt

    def token(self, text: str) -> bytes:
        return self.wires.token(text)

    async def send(self, data: bytes) -> None:
        if self.streams:
            await self.carrier.send(data)

    async def play(self) -> None:
        """Send the answer, or what the scenario puts in its place, and write down how it ended."""
        try:
            await self.scenario.before_answer(self)
            await (self.stream() if self.request.stream else self.whole())
            self.entry.end = "finished"
        except Failure as failure:
            await self.fail(failure)
            self.entry.end = failure.end
        except Cut:
            self.exchange.reset()
            self.entry.end = "reset"

    async def fail(self, failure: Failure) -> None:
        if not self.streams:
            await reply_json(self.carrier, failure.body, failure.status, failure.headers)
            return
        await self.carrier.send(b"data: " + json.dumps(failure.body).encode() + b"\n\n")  # vLLM: here with spaces, and escaped
        await self.carrier.send(wire.DONE)
        await self.carrier.end()

    async def stream(self) -> None:
        usage, wires, carrier = self.request.include_usage, self.wires, self.carrier
        # As on a real vLLM the headers go out before the request has a slot; the role event comes with the first token.
        await carrier.start(200, wire.STREAM_HEADERS)
        self.streams = True
        async with self.engine.slot(self.entry, self.prompt_tokens):
            index = 0
            async for piece in self.engine.generate(self.plan, self.request.stops, self.tokens, self.entry):
                await self.scenario.before_token(self, index)
                if index == 0 and self.kind == "chat":
                    await carrier.send(wires.role())
                await carrier.send(
                    wires.finish(piece.text, piece.finish, piece.stop) if piece.finish else wires.token(piece.text)
                )
                index += 1
        if usage:
            await carrier.send(wires.total(wire.Usage(self.prompt_tokens, self.entry.tokens)))
        await carrier.send(wire.DONE)
        await carrier.end()

    async def whole(self) -> None:
        text: list[str] = []
        last = Piece("", "length")
        keep = bool(self.request.stops) or not self.plan.endless  # an answer that cannot end is never sent: do not collect it
        async with self.engine.slot(self.entry, self.prompt_tokens):
            index = 0
            async for last in self.engine.generate(self.plan, self.request.stops, self.tokens, self.entry):
                await self.scenario.before_token(self, index)
                index += 1
                if keep:
                    text.append(last.text)
        usage = wire.Usage(self.prompt_tokens, self.entry.tokens)
        name = self.settings.served_model_name
        said = tool_calls.read(self.script.calling, "".join(text), last.finish or "length")
        answer = wire.answer(self.kind, self.id, self.created, name, said.content, said.reason, last.stop, usage, said.calls)
        await reply_json(self.carrier, answer)


def _has_key(headers: dict[str, str], key: str) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token == key


def _hex() -> str:
    return uuid.uuid4().hex[:16]
