"""The routes of vLLM, and the fake's own: page, ledger and scenario."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from random import Random
from time import monotonic

from fake_vllm import api, dashboard
from fake_vllm.api import AcceptedRequest, Refused, Rules, dumps
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.engine.pacer import Pacer
from fake_vllm.engine.slots import Engine, Overloaded
from fake_vllm.engine.timing import Pace, timing
from fake_vllm.http.connection import Exchange, Headers
from fake_vllm.http.headers import TYPE_JSON, VARY
from fake_vllm.model import Phrase, Recorded, Source
from fake_vllm.response.context import PlayerFactory, ResponseContext, ServerContext
from fake_vllm.response.player import Player
from fake_vllm.scenarios import ScenarioError, ScenarioSpec, parse
from fake_vllm.settings import Settings, SettingsError

SCENARIO_FIELD = "fake_scenario"
SCENARIO_HEADER = "x-fake-scenario"
PREFLIGHT: Headers = [
    (
        b"vary",
        b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
        b"Access-Control-Request-Private-Network",
    ),
    (b"access-control-allow-methods", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"),
    (b"access-control-max-age", b"600"),
    (b"content-type", b"text/plain; charset=utf-8"),
]
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
            SettingsError: the file with the text cannot be read.
        """
        self.settings = settings
        self._make_player, self.plain = make_player, plain
        self.ledger = Ledger()
        self.metrics = Metrics(settings.max_model_len)
        self._spec = parse(settings.scenario)
        self._rule_specs = [(rule, parse(rule.scenario)) for rule in settings.rules]
        self._rules = Rules(
            served_model_name=settings.served_model_name,
            max_model_len=settings.max_model_len,
            tool_calls=settings.tool_calls,
            prompt_tokens_details=settings.enable_prompt_tokens_details,
            started=int(time.time()),
        )
        engine = Engine(
            self.ledger,
            self.metrics,
            slots=settings.max_num_seqs,
            max_requests=settings.max_num_queued_reqs,
            max_tokens=settings.max_num_queued_tokens,
        )
        pace = Pace(
            headers=timing(settings.headers_ms),
            first_token=timing(settings.first_token_ms),
            gap=timing(settings.gap_ms),
            prefill=settings.prefill_ms_per_token / 1000,
            keep_alive=settings.sse_keep_alive_interval,
        )
        self._context = ServerContext(
            engine=engine,
            ledger=self.ledger,
            pacer=Pacer(),
            pace=pace,
            keep_generating=settings.on_disconnect == "keep",
            extra_headers=self._request_id,
            source=_source(settings),
        )
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
            "/health": {"GET": self._empty},
            "/ping": {"GET": self._empty, "POST": self._empty},
            "/load": {"GET": lambda exchange: self._json(exchange, {"server_load": 0})},
            "/version": {"GET": lambda exchange: self._json(exchange, {"version": api.VERSION})},
            "/metrics": {"GET": self._metrics_page},
            "/openapi.json": {"GET": self._openapi},
        }
        if not plain:
            self._routes |= {
                "/ledger": {"GET": self._show_ledger, "DELETE": self._clear_ledger},
                "/ledger/events": {
                    "GET": lambda exchange: dashboard.stream(exchange, self.ledger, self.metrics)
                },
                "/scenario": {"GET": self._show_scenario, "PUT": self._set_scenario},
            }

    @property
    def reads_requests(self) -> bool:
        """Tell whether the server reads from its connections at all."""
        return self._spec.reads_requests

    def handle(self, exchange: Exchange) -> None:
        """Begin to answer a request; a stream goes on by itself."""
        try:
            if exchange.refusal is not None:
                self._too_large(exchange)
            elif not self._may_enter(exchange):
                self._reply(exchange, 401, dumps({"error": "Unauthorized"}), [TYPE_JSON])
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

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        if (route := self._routes.get(path)) is None:
            if path == "/" and not self.plain and "text/html" in exchange.headers.get("accept", ""):
                self._reply(
                    exchange,
                    200,
                    dashboard.page(),
                    [(b"content-type", b"text/html; charset=utf-8"), VARY],
                )
            elif by_id := RESPONSE_BY_ID.fullmatch(path):
                if exchange.method != (allowed := "POST" if by_id["cancel"] else "GET"):
                    self._not_allowed(exchange, [allowed])
                    return
                raise api.unknown_response(by_id["id"], {} if by_id["cancel"] else exchange.query)
            elif path.endswith("/") and path.rstrip("/") in self._routes:
                self._redirect(exchange, path.rstrip("/"))
            else:
                self._json(exchange, {"detail": "Not Found"}, 404)
        elif (handler := route.get(exchange.method)) is not None:
            handler(exchange)
        elif (
            exchange.method == "OPTIONS"
            and {"origin", "access-control-request-method"} <= exchange.headers.keys()
        ):
            self._reply(exchange, 400, b"Disallowed CORS origin", PREFLIGHT)
        else:
            self._not_allowed(exchange, route)

    def _not_allowed(self, exchange: Exchange, methods: Iterable[str]) -> None:
        allow = (b"allow", ", ".join(methods).encode())
        self._reply(
            exchange, 405, dumps({"detail": "Method Not Allowed"}), [allow, TYPE_JSON, VARY]
        )

    # vLLM's routes.

    def _complete(self, exchange: Exchange, accept: Accept) -> None:
        arrived = monotonic()
        request = accept(
            self._rules,
            exchange.headers.get("content-type", ""),
            exchange.body,
            exchange.headers.get("x-request-id"),
        )
        named = request.scenario or exchange.headers.get(SCENARIO_HEADER)
        try:
            spec = parse(named) if named else self._usual(exchange, request)
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
        )
        try:
            self._context.engine.admit(request.choices)
            scenario = spec.select(
                entry.attempt, entry.number, self.settings.seed, self._spec if named else None
            )
            seed = f"{self.settings.seed} {entry.number}"
            model = self.settings.served_model_name
            player = self._make_player(
                ResponseContext(self._context, exchange, request, entry, scenario, model, seed)
            )
        except Overloaded as overloaded:
            self._refuse(entry, 503)
            raise Refused(503, "Service Unavailable", str(overloaded)) from None
        except Refused as refused:
            self._refuse(entry, refused.status)
            raise
        player.start()

    def _usual(self, exchange: Exchange, request: AcceptedRequest) -> ScenarioSpec:
        for rule, spec in self._rule_specs:
            if (
                rule.path in (None, exchange.path)
                and rule.stream in (None, request.stream)
                and (rule.prompt is None or rule.prompt.encode() in exchange.body)
            ):
                return spec
        return self._spec

    def _refuse(self, entry: Entry, status: int) -> None:
        entry.end, entry.status, entry.over = "refused", status, monotonic()
        self.ledger.tell(entry)

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

    def _empty(self, exchange: Exchange) -> None:
        self._reply(exchange, 200, b"", [VARY])

    def _metrics_page(self, exchange: Exchange) -> None:
        from fake_vllm.engine import metrics_page  # loads a library that most servers do not need

        page = metrics_page.render(
            self.metrics, model=self.settings.served_model_name, slots=self.settings.max_num_seqs
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

    # Routes of the fake alone.

    def _show_ledger(self, exchange: Exchange) -> None:
        self._json(exchange, self.ledger.as_json(exchange.query.get("id", "")))

    def _clear_ledger(self, exchange: Exchange) -> None:
        self.ledger.clear()
        self._json(exchange, {"requests": []})

    def _show_scenario(self, exchange: Exchange) -> None:
        self._json(exchange, {"scenario": self._spec.text})

    def _set_scenario(self, exchange: Exchange) -> None:
        try:
            self._spec = parse(exchange.body.decode())
        except (ScenarioError, UnicodeDecodeError) as error:
            raise Refused(400, "BadRequestError", str(error), "scenario") from None
        self._show_scenario(exchange)

    # HTTP

    def _may_enter(self, exchange: Exchange) -> bool:
        if (
            self.settings.api_key is None
            or not exchange.path.startswith("/v1")
            or exchange.method == "OPTIONS"
        ):
            return True
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and token == self.settings.api_key

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
        to = f"http://{exchange.headers.get('host', '')}{path}".encode()
        self._reply(exchange, 307, b"", [(b"location", to), VARY])

    def _too_large(self, exchange: Exchange) -> None:
        text = (
            f"The body is larger than {self.settings.max_body_mb:g} MiB; raise --max-body-mb to "
            "send it."
        )
        self._json(exchange, api.error(413, "Request Entity Too Large", text), 413)

    def _reply(self, exchange: Exchange, status: int, body: bytes, headers: Headers) -> None:
        """Send a response of known length at once."""
        length = (b"content-length", str(len(body)).encode())
        # Starlette's order.
        place = next((at for at, (name, _) in enumerate(headers) if name == b"content-type"), 0)
        ordered = [*headers[:place], length, *headers[place:], *self._request_id(exchange)]
        exchange.write(
            exchange.head(status, ordered) + (b"" if exchange.method == "HEAD" else body)
        )
        exchange.done(close=exchange.refusal is not None)


def _source(settings: Settings) -> Source | None:
    if settings.phrase is not None:
        return Phrase(settings.phrase)
    if settings.text is None:
        return None
    try:
        text = settings.text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"Cannot read {settings.text}: {reason}.") from None
    return Recorded(tuple(re.findall(r"\s*\S+|\s+", text)))
