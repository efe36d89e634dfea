"""The routes of vLLM, and the way of a request to its answer."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

from fake_vllm import api
from fake_vllm.api import AcceptedRequest, Refused, Rules, dumps
from fake_vllm.asked import AskedRequests
from fake_vllm.assembly import behaviour, server_context, server_rules
from fake_vllm.behaviour import SCENARIO_FIELD, SCENARIO_HEADER
from fake_vllm.control import ROUTES, Control
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.engine.slots import EngineDead, Overloaded
from fake_vllm.http.cors import Cors
from fake_vllm.http.exchange import Exchange, Headers
from fake_vllm.http.gateway_pages import no_healthy_upstream
from fake_vllm.http.headers import TYPE_JSON, VARY
from fake_vllm.response.context import (
    PlayerFactory,
    ResponseContext,
    ResponsePlayer,
)
from fake_vllm.response.player import Player
from fake_vllm.rules import ScriptedAnswer, retry_of
from fake_vllm.scenarios import Scenario, ScenarioError
from fake_vllm.settings import Settings
from fake_vllm.uploads import Uploads

if TYPE_CHECKING:
    from fake_vllm.relay.routes import RelayRoutes

NOT_RECORDED = ("/", "/favicon.ico")
RESPONSE_BY_ID = re.compile(r"/v1/responses/(?P<id>[^/]+)(?P<cancel>/cancel)?")
Handler = Callable[[Exchange], None]
Accept = Callable[[Rules, str, bytes, str | None], AcceptedRequest]


class App:
    """One server: its engine, ledger, metrics and routes."""

    def __init__(
        self, settings: Settings, make_player: PlayerFactory = Player, *, plain: bool = False
    ) -> None:
        """Set up a server; nothing listens yet.

        Args:
            settings: the server's settings.
            make_player: makes the player of each response.
            plain: whether to have only vLLM's routes: no page, no ledger, no scenario.

        Raises:
            SettingsError: a file or folder cannot be used, or a scenario needs the fake's model.
        """
        self.settings = settings
        self._make_player, self.plain = make_player, plain
        self.ledger = Ledger()
        self.metrics = Metrics(settings.max_model_len)
        self._asked = AskedRequests()
        self._cors = Cors(settings.allowed_origins)
        self._behaviour = behaviour(settings)
        self._rules = server_rules(settings)
        self._context = server_context(settings, self.ledger, self.metrics, self._request_id)
        self._routes: dict[str, dict[str, Handler]] = {
            "/v1/chat/completions": {"POST": lambda exchange: self._complete(exchange, api.chat)},
            "/v1/completions": {"POST": lambda exchange: self._complete(exchange, api.completion)},
            "/v1/responses": {"POST": lambda exchange: self._complete(exchange, api.response)},
            "/v1/models": {
                "GET": lambda exchange: self._json(
                    exchange, api.models(self._rules, f"modelperm-{api.hex16()}")
                )
            },
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/health": {"GET": self._health},
            "/ping": {"GET": self._empty, "POST": self._empty},
            "/load": {"GET": lambda exchange: self._json(exchange, {"server_load": 0})},
            "/version": {"GET": lambda exchange: self._json(exchange, {"version": api.VERSION})},
            "/metrics": {"GET": self._metrics_page},
            "/openapi.json": {"GET": self._openapi},
        }
        self._relay = self._other_server()
        if settings.startup and settings.startup_answer == "503":
            self._context.life.begin(settings.startup)
        self.receive = Uploads(self._behaviour, self.ledger, settings.seed).receive
        self._control = Control(
            self._behaviour,
            self.ledger,
            self._asked,
            self._context.players,
            self.metrics,
            self._context.renew,
            self._reply,
        )

    @property
    def reads_requests(self) -> bool:
        """Tell whether the server reads from its connections at all."""
        return self._behaviour.spec.reads_requests

    @property
    def always_read(self) -> tuple[str, ...]:
        """Return the paths of requests that it reads in any case."""
        return () if self.plain else ROUTES

    def handle(self, exchange: Exchange) -> None:
        """Begin to answer a request; a stream goes on by itself."""
        exchange.allow_origin = self._cors.allowed(exchange)
        try:
            if (answer := self._cors.preflight(exchange)) is not None:
                exchange.allow_origin = None  # the answer has it in another place
                self._reply(exchange, *answer)
                return
            if not self.plain and (route := self._control.route(exchange)) is not None:
                self._call(exchange, route)
                return
            if not self._context.life.ready:
                exchange.write(no_healthy_upstream().bytes_for(exchange))
                exchange.done()
            elif exchange.refusal is not None:
                self._too_large(exchange)
            elif not self._may_enter(exchange):
                self._reply(exchange, 401, dumps({"error": "Unauthorized"}), [TYPE_JSON])
            elif self._relay is not None and exchange.path != "/":
                self._relay.handle(exchange)
            else:
                self._route(exchange)
        except Refused as refused:
            self._json(exchange, refused.body, refused.status)
        # A fault of the fake is sent as vLLM sends its own, and shown on standard error.
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{exchange.method} {exchange.path}", "exception": error}
            )
            self._json(
                exchange,
                api.error(500, "InternalServerError", f"fake-vllm has a fault: {error!r}"),
                500,
            )

    def warm_up(self) -> None:
        """Load what the first requests need, which takes a tenth of a second."""
        from fake_vllm.engine import metrics_page

        metrics_page.render(Metrics(16), model="", slots=1)
        request = api.chat(
            Rules("fake-model", 64),
            "application/json",
            b'{"messages":[{"role":"user","content":"x"}],"stream":true}',
            None,
        )
        request.writer(request.plan())

    async def die(self, grace: float) -> None:
        """End all responses as a vLLM that is being stopped does.

        Args:
            grace: the seconds for their last bytes.
        """
        self._context.engine.dying = True
        await self._context.players.end(grace)

    def _other_server(self) -> "RelayRoutes | None":
        """Return the routes to another server. None: the fake answers itself."""
        if not self.settings.relays:
            return None
        from fake_vllm.relay.routes import RelayRoutes, answers_of  # most servers do not need them

        return RelayRoutes(
            answers_of(self.settings),
            self._behaviour,
            self._asked,
            self._context,
            self.settings.seed,
        )

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        if (route := self._routes.get(path)) is not None:
            self._call(exchange, route)
        elif path == "/" and not self.plain and "accept" in exchange.headers:
            self._control.welcome(exchange, self._root(exchange), api.VERSION)
        elif by_id := RESPONSE_BY_ID.fullmatch(path):
            if exchange.method != (allowed := "POST" if by_id["cancel"] else "GET"):
                self._not_allowed(exchange, [allowed])
                return
            raise api.unknown_response(by_id["id"], {} if by_id["cancel"] else exchange.query)
        elif path.endswith("/") and path.rstrip("/") in self._routes:
            self._redirect(exchange, path.rstrip("/"))
        else:
            self._json(exchange, {"detail": "Not Found"}, 404)

    def _call(self, exchange: Exchange, route: Mapping[str, Handler]) -> None:
        if (handler := route.get(exchange.method)) is not None:
            handler(exchange)
        else:
            self._not_allowed(exchange, route)

    def _not_allowed(self, exchange: Exchange, methods: Iterable[str]) -> None:
        allow = (b"allow", ", ".join(methods).encode())
        self._reply(
            exchange, 405, dumps({"detail": "Method Not Allowed"}), [allow, TYPE_JSON, VARY]
        )

    # vLLM's routes.

    @property
    def _rules_now(self) -> Rules:
        """Return the server's rules; one whose answers call tools reads tool calls."""
        if self._rules.tool_calls or not self._behaviour.rulebook.calls_tools:
            return self._rules
        return replace(self._rules, tool_calls=True)

    def _complete(self, exchange: Exchange, accept: Accept) -> None:
        arrived = monotonic()
        request = accept(
            self._rules_now,
            exchange.headers.get("content-type", ""),
            exchange.body,
            exchange.headers.get("x-request-id"),
        )
        named = request.scenario or exchange.headers.get(SCENARIO_HEADER)
        ruled, answer = self._behaviour.rulebook.find(exchange, request)
        usual = self._behaviour.spec
        try:
            spec = self._behaviour.parse(named) if named else ruled or usual
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), SCENARIO_FIELD) from None
        entry = self.ledger.open(
            request.id,
            exchange.path,
            spec.text,
            stream=request.stream,
            prompt_tokens=request.prompt_tokens,
            arrived=arrived,
            turn=exchange.turn,
            retry=retry_of(exchange),
        )
        exchange.number = entry.number
        self._asked.keep(entry.number, exchange)
        scenario = spec.select(
            entry.attempt, entry.number, self.settings.seed, usual if named else None
        )
        try:
            player = self._admitted(exchange, request, entry, scenario, answer)
        except Refused as refused:
            entry.end, entry.status, entry.over = "refused", refused.status, monotonic()
            self.ledger.tell(entry)
            self._json(exchange, refused.body, refused.status)
        else:
            player.start()

    def _admitted(
        self,
        exchange: Exchange,
        request: AcceptedRequest,
        entry: Entry,
        scenario: Scenario,
        answer: ScriptedAnswer | None,
    ) -> ResponsePlayer:
        """Return the player of a response.

        Raises:
            Refused: the queue is full, the engine is dead, or no text can be made for a schema.
        """
        try:
            self._context.engine.admit(request.choices)
        except Overloaded as overloaded:
            raise Refused(503, "Service Unavailable", str(overloaded)) from None
        except EngineDead as dead:
            raise Refused(500, "InternalServerError", str(dead)) from None
        if (answers := scenario.answers) is not None:
            from fake_vllm.relay.routes import relayed

            return relayed(self._context, exchange, entry, scenario, answers)
        seed = f"{self.settings.seed} {entry.number}"
        model = self.settings.model
        return self._make_player(
            ResponseContext(self._context, exchange, request, entry, scenario, model, seed, answer)
        )

    def _tokenize(self, exchange: Exchange) -> None:
        self._json(
            exchange,
            api.tokenize(self._rules, exchange.headers.get("content-type", ""), exchange.body),
        )

    def _detokenize(self, exchange: Exchange) -> None:
        self._json(
            exchange,
            api.detokenize(self._rules, exchange.headers.get("content-type", ""), exchange.body),
        )

    def _health(self, exchange: Exchange) -> None:
        self._reply(exchange, 503 if self._context.engine.dead else 200, b"", [VARY])

    def _empty(self, exchange: Exchange) -> None:
        self._reply(exchange, 200, b"", [VARY])

    def _metrics_page(self, exchange: Exchange) -> None:
        from fake_vllm.engine import metrics_page  # loads a library that most servers do not need

        page = metrics_page.render(
            self.metrics, model=self.settings.model, slots=self.settings.max_num_seqs
        )
        self._reply(exchange, 200, page, [(b"content-type", metrics_page.CONTENT_TYPE), VARY])

    def _openapi(self, exchange: Exchange) -> None:
        paths: dict[str, dict[str, object]] = {
            path: {method.lower(): {} for method in route} for path, route in self._routes.items()
        }
        self._json(
            exchange,
            {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": paths},
        )

    # HTTP

    def _may_enter(self, exchange: Exchange) -> bool:
        if (
            not self.settings.api_key
            or not exchange.path.startswith("/v1")
            or exchange.method == "OPTIONS"
        ):
            return True
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and token in self.settings.api_key

    def _request_id(self, exchange: Exchange) -> Headers:
        if not self.settings.enable_request_id_headers:
            return ()
        return [
            (
                b"x-request-id",
                (
                    exchange.headers.get("x-request-id") or f"{Random().getrandbits(128):032x}"
                ).encode(),
            )
        ]

    def _json(self, exchange: Exchange, value: object, status: int = 200) -> None:
        self._reply(exchange, status, dumps(value), [TYPE_JSON, VARY])

    def _redirect(self, exchange: Exchange, path: str) -> None:
        query = f"?{exchange.query_string}" if exchange.query_string else ""
        to = f"{self._root(exchange)}{path}{query}".encode()
        self._reply(exchange, 307, b"", [(b"location", to), VARY])

    def _root(self, exchange: Exchange) -> str:
        """Return the server's address as its client knows it."""
        return f"{exchange.scheme}://{exchange.headers.get('host', '')}"

    def _too_large(self, exchange: Exchange) -> None:
        text = (
            f"The body is larger than {self.settings.max_body_mb:g} MiB; raise --max-body-mb to "
            "send it."
        )
        self._json(exchange, api.error(413, "Request Entity Too Large", text), 413)

    def _record(self, exchange: Exchange, status: int) -> None:
        """Enter a request into the ledger that was refused before it had a scenario."""
        if not self.plain and self._control.route(exchange) is not None:
            return
        entry = self.ledger.refused(
            exchange.path, exchange.method, status, exchange.turn, retry_of(exchange)
        )
        exchange.number = entry.number
        self._asked.keep(entry.number, exchange)

    def _reply(self, exchange: Exchange, status: int, body: bytes, headers: Headers) -> None:
        """Send a response of known length at once."""
        length = (b"content-length", str(len(body)).encode())
        # Starlette's order.
        place = next((at for at, (name, _) in enumerate(headers) if name == b"content-type"), 0)
        ordered = [*headers[:place], length, *headers[place:], *self._request_id(exchange)]
        if status >= 400 and exchange.number is None and exchange.path not in NOT_RECORDED:
            self._record(exchange, status)
        exchange.write(
            exchange.head(status, ordered) + (b"" if exchange.method == "HEAD" else body)
        )
        exchange.done(close=exchange.refusal is not None)
