"""The routes of vLLM, and the way of a request to its answer."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

from fake_vllm import api, routes
from fake_vllm.api import AcceptedRequest, Refused, Rules, dumps
from fake_vllm.asked import AskedRequests
from fake_vllm.assembly import behaviour, server_context, server_rules
from fake_vllm.behaviour import SCENARIO_FIELD, SCENARIO_HEADER
from fake_vllm.control import ROUTES, Control
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.engine.slots import EngineDead, Overloaded
from fake_vllm.guard import Guard
from fake_vllm.http.cors import Cors
from fake_vllm.http.exchange import Exchange, Headers
from fake_vllm.http.gateway_pages import no_healthy_upstream
from fake_vllm.http.headers import TYPE_HTML, TYPE_JSON, VARY
from fake_vllm.http.upload import Reception
from fake_vllm.response.context import (
    PlayerFactory,
    ResponseContext,
    ResponsePlayer,
)
from fake_vllm.response.player import Player
from fake_vllm.routes import Handler
from fake_vllm.rules import ScriptedAnswer, retry_of
from fake_vllm.scenarios import Scenario, ScenarioError
from fake_vllm.settings import Settings
from fake_vllm.uploads import Uploads

if TYPE_CHECKING:
    from fake_vllm.relay.routes import RelayRoutes

NOT_RECORDED = ("/", "/favicon.ico")
Accept = Callable[[Rules, str, bytes, str | None], AcceptedRequest]
Reader = Callable[[Rules, str, bytes], object]


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
        self._guard = Guard(settings)
        self._rules = server_rules(settings)
        self._context = server_context(settings, self.ledger, self.metrics, self._request_id)
        self._root_path = (settings.root_path or "").rstrip("/")
        pages = not settings.disable_fastapi_docs
        self._routes = routes.table(self, self._rules.release, documented=pages)
        self._relay = self._other_server()
        if settings.startup and settings.startup_answer == "503":
            self._context.life.begin(settings.startup)
        self._uploads = Uploads(self._behaviour, self.ledger, settings.seed, self._guard)
        self._control = Control(
            self._behaviour,
            self.ledger,
            self._asked,
            self._context.players,
            self.metrics,
            self._context.renew,
            self._guard,
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

    def receive(self, headers: dict[str, str], make: Callable[[], Exchange]) -> Reception | None:
        """Return the fault of a request's reception, as `Uploads` does."""

        def made() -> Exchange:
            exchange = make()
            self._strip(exchange)
            return exchange

        return self._uploads.receive(headers, made)

    def handle(self, exchange: Exchange) -> None:
        """Begin to answer a request; a stream goes on by itself."""
        self._strip(exchange)
        exchange.allow_origin = self._cors.allowed(exchange)
        try:
            if (answer := self._cors.preflight(exchange)) is not None:
                exchange.allow_origin = None  # the answer has it in another place
                self._reply(exchange, *answer)
                return
            own = None if self.plain else self._control.route(exchange)
            if own is not None and exchange.refusal is None:
                self._guard.check(exchange)
                self._call(exchange, own, own)
            elif not self._context.life.ready:
                exchange.write(no_healthy_upstream().bytes_for(exchange))
                exchange.done()
            elif exchange.refusal is not None:
                self._too_large(exchange)
            elif exchange.asks_for_websocket:
                self._record(exchange, 403)
                exchange.refuse_websocket()
            elif not self._guard.lets_in(exchange):
                self._reply(exchange, 401, dumps({"error": "Unauthorized"}), [TYPE_JSON])
            elif self._relay is not None and exchange.path != "/":
                self._relay.handle(exchange)
            else:
                self._route(exchange)
        except Refused as refused:
            headers = [TYPE_JSON, VARY, *refused.headers]
            self._reply(exchange, refused.status, dumps(refused.body), headers)
        # A fault of the fake is sent as vLLM sends its own, and shown on standard error.
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{exchange.method} {exchange.path!a}", "exception": error}
            )
            self.show(
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

    def _strip(self, exchange: Exchange) -> None:
        """Take the path of --root-path from that of a request."""
        path = routes.without(self._root_path, exchange.path)
        if path != exchange.path:
            exchange.path, exchange.base = path, self._root_path

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
            self._guard,
        )

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        self._watch(exchange)
        if (route := self._routes.get(path)) is not None:
            self._call(exchange, route, routes.allowed(route))
        elif path == "/" and not self.plain and "accept" in exchange.headers:
            self._control.welcome(exchange, self._root(exchange), self._rules.release.version)
        elif (stored := routes.stored_response(path)) is not None:
            if exchange.method != stored.method:
                self._not_allowed(exchange, [stored.method])
                return
            raise api.unknown_response(stored.id, {} if stored.cancels else exchange.query)
        elif path.endswith("/") and path.rstrip("/") in self._routes:
            self._redirect(exchange, path.rstrip("/"))
        else:
            self.show(exchange, {"detail": "Not Found"}, 404)

    def _watch(self, exchange: Exchange) -> None:
        """Count the request when its answer has ended."""
        handler, http = routes.label(exchange.path, self._routes), self.metrics.http
        if not http.counts(exchange.path, handler):
            return
        length = exchange.headers.get("content-length", "")
        received = int(length) if length.isascii() and length.isdigit() else 0
        began = monotonic()
        exchange.on_over = lambda: http.over(
            handler, exchange.method, exchange.status, began, received, exchange.length
        )

    def _call(
        self, exchange: Exchange, route: Mapping[str, Handler], allowed: Iterable[str]
    ) -> None:
        if (handler := route.get(exchange.method)) is not None:
            handler(exchange)
        else:
            self._not_allowed(exchange, allowed)

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

    def generate(self, exchange: Exchange, accept: str) -> None:
        arrived = monotonic()
        accepting: Accept = getattr(api, accept)
        request = accepting(
            self._rules_now,
            exchange.headers.get("content-type", ""),
            exchange.body,
            exchange.headers.get("x-request-id"),
        )
        named = request.scenario or exchange.headers.get(SCENARIO_HEADER)
        ruled, answer = self._behaviour.rulebook.find(exchange, request)
        usual = self._behaviour.spec
        if named:
            self._guard.check_choice(exchange)
        try:
            spec = self._behaviour.parse(named, self._guard.files) if named else ruled or usual
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), SCENARIO_FIELD) from None
        entry = self.ledger.open(
            exchange.without_keys(request.id),
            exchange.path,  # that of a route
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
            self.show(exchange, request.error_body(refused.body), refused.status)
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
        except EngineDead:
            raise Refused(500, "InternalServerError", self._rules.release.death) from None
        if (answers := scenario.answers) is not None:
            from fake_vllm.relay.routes import relayed

            return relayed(self._context, exchange, entry, scenario, answers)
        seed = f"{self.settings.seed} {entry.number}"
        model = self.settings.model
        return self._make_player(
            ResponseContext(self._context, exchange, request, entry, scenario, model, seed, answer)
        )

    def count(self, exchange: Exchange, reader: str) -> None:
        read: Reader = getattr(api, reader)
        content_type = exchange.headers.get("content-type", "")
        self.show(exchange, read(self._rules_now, content_type, exchange.body))

    def models(self, exchange: Exchange) -> None:
        self.show(exchange, api.models(self._rules, f"modelperm-{api.hex16()}"))

    def health(self, exchange: Exchange) -> None:
        self._reply(exchange, 503 if self._context.engine.dead else 200, b"", [VARY])

    def empty(self, exchange: Exchange) -> None:
        self._reply(exchange, 200, b"", [VARY])

    def metrics_page(self, exchange: Exchange) -> None:
        from fake_vllm.engine import metrics_page  # loads a library that most servers do not need

        page = metrics_page.render(
            self.metrics, model=self.settings.model, slots=self.settings.max_num_seqs
        )
        own = exchange.method == "GET" and exchange.path == "/metrics"
        kind = metrics_page.CONTENT_TYPE if own else metrics_page.MOUNTED_CONTENT_TYPE
        self._reply(exchange, 200, page, [(b"content-type", kind), VARY])

    def openapi(self, exchange: Exchange) -> None:
        from fake_vllm import documents  # most servers are never asked for them

        listed = routes.listed(self._routes)
        self.show(exchange, documents.openapi(listed, self._root_path))

    def page(self, exchange: Exchange) -> None:
        from fake_vllm import documents

        page = documents.page(exchange.path, self._root_path)
        self._reply(exchange, 200, page, [TYPE_HTML, VARY])

    def show(self, exchange: Exchange, value: object, status: int = 200) -> None:
        self._reply(exchange, status, dumps(value), [TYPE_JSON, VARY])

    # HTTP

    def _request_id(self, exchange: Exchange) -> Headers:
        if not self.settings.enable_request_id_headers:
            return ()
        return [
            (
                b"x-request-id",
                (
                    exchange.headers.get("x-request-id") or f"{Random().getrandbits(128):032x}"
                ).encode("latin-1"),
            )
        ]

    def _redirect(self, exchange: Exchange, path: str) -> None:
        query = f"?{exchange.query_string}" if exchange.query_string else ""
        to = f"{self._root(exchange)}{exchange.base}{path}{query}".encode()
        self._reply(exchange, 307, b"", [(b"location", to), VARY])

    def _root(self, exchange: Exchange) -> str:
        """Return the server's address as its client knows it."""
        return f"{exchange.scheme}://{exchange.headers.get('host', '')}"

    def _too_large(self, exchange: Exchange) -> None:
        text = (
            f"The body is larger than {self.settings.max_body_mb:g} MiB; raise --max-body-mb to "
            "send it."
        )
        exchange.close_afterwards()
        self.show(exchange, api.error(413, "Request Entity Too Large", text), 413)

    def _record(self, exchange: Exchange, status: int) -> None:
        """Enter a request into the ledger that was refused before it had a scenario."""
        if not self.plain and self._control.route(exchange) is not None:
            return
        path = exchange.without_keys(exchange.path)
        entry = self.ledger.refused(
            path, exchange.method, status, exchange.turn, retry_of(exchange)
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
