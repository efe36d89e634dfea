"""The fake's own routes: page, ledger, scenario and rules."""

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Protocol

from fake_vllm import dashboard
from fake_vllm.api import Refused, dumps
from fake_vllm.asked import AskedRequests
from fake_vllm.behaviour import Behaviour
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.files import Files
from fake_vllm.guard import Guard
from fake_vllm.http.exchange import Exchange, Headers
from fake_vllm.http.headers import TYPE_HTML, TYPE_JSON, TYPE_TEXT, VARY
from fake_vllm.response.context import ActivePlayers
from fake_vllm.rules import FILES, Rule
from fake_vllm.scenarios import ScenarioError
from fake_vllm.terminal import MOST_SAID, printable, shortened

LONGEST_WAIT = 60.0  # seconds
ROUTES = ("/ledger", "/ledger/events", "/reset", "/rules", "/scenario")
REQUEST = re.compile(r"/ledger/(?P<number>[0-9]{1,18})/request")
WELCOME = """\
This is fake-vllm, a vLLM that misbehaves on request. {plays}

  {root}/v1                 the API, as of vLLM {version}
  {root}/                   in a browser: what the server does now
  curl {root}/ledger        what happened to each request
  curl -X PUT {root}/scenario -d stall:after=5      change what goes wrong
  fake-vllm scenarios       all that can go wrong
"""
NEEDS_KEY = "The routes below, except /v1, need the key: -H 'Authorization: Bearer KEY'."
Handler = Callable[[Exchange], None]


class Reply(Protocol):
    """Sends a response of known length."""

    def __call__(self, exchange: Exchange, status: int, body: bytes, headers: Headers) -> None: ...


class Control:
    """The routes that vLLM does not have."""

    def __init__(
        self,
        behaviour: Behaviour,
        ledger: Ledger,
        asked: AskedRequests,
        players: ActivePlayers,
        metrics: Metrics,
        renew: Callable[[], None],
        guard: Guard,
        reply: Reply,
    ) -> None:
        self._renew, self._guard = renew, guard
        self._behaviour, self._ledger, self._asked = behaviour, ledger, asked
        self._players, self._metrics, self._reply = players, metrics, reply
        self._routes: Mapping[str, Mapping[str, Handler]] = {
            "/ledger": {"GET": self._show_ledger, "DELETE": self._clear_ledger},
            "/ledger/events": {"GET": lambda exchange: dashboard.stream(exchange, ledger, metrics)},
            "/scenario": {"GET": self._show_scenario, "PUT": self._set_scenario},
            "/rules": {
                "GET": self._show_rules,
                "POST": lambda exchange: self._set_rules(exchange, self._behaviour.rulebook.rules),
                "PUT": lambda exchange: self._set_rules(exchange, ()),
                "DELETE": self._restore_rules,
            },
            "/reset": {"POST": self._reset},
        }

    def route(self, exchange: Exchange) -> Mapping[str, Handler] | None:
        """Return the handlers of a path, by method. None: vLLM has it."""
        if REQUEST.fullmatch(exchange.path):
            return {"GET": self._show_request}
        return self._routes.get(exchange.path)

    def welcome(self, exchange: Exchange, root: str, version: str) -> None:
        """Answer to `/`: a page for a browser, and a text for other clients."""
        self._guard.check_host(exchange)
        if "text/html" in exchange.headers.get("accept", ""):
            self._reply(exchange, 200, dashboard.page(), [TYPE_HTML, VARY, *dashboard.HEADERS])
            return
        knows_key = self._guard.knows_key(exchange)
        plays = f"It plays the scenario {self._behaviour.spec.text}." if knows_key else NEEDS_KEY
        text = WELCOME.format(root=printable(root), plays=printable(plays), version=version)
        self._reply(exchange, 200, text.encode(), [TYPE_TEXT, VARY])

    # The ledger.

    def _show_ledger(self, exchange: Exchange) -> None:
        query = exchange.query
        after = _number(query, "after")
        wait = _number(query, "wait") or 0.0
        if after is None or after < self._ledger.revision or wait <= 0:
            self._send_ledger(exchange, after)
        else:
            Waiting(exchange, self._ledger, lambda: self._send_ledger(exchange, after)).start(
                min(wait, LONGEST_WAIT)
            )

    def _send_ledger(self, exchange: Exchange, after: float | None) -> None:
        page = self._ledger.page(
            id=exchange.query.get("id", ""), after=None if after is None else int(after)
        )
        self._reply(exchange, 200, page, [TYPE_JSON, VARY])

    def _show_request(self, exchange: Exchange) -> None:
        match = REQUEST.fullmatch(exchange.path)
        number = int(match["number"]) if match else 0
        if (asked := self._asked.find(number, _number(exchange.query, "epoch"))) is None:
            raise Refused(404, "NotFoundError", f"Request {number} is not kept.", "number")
        self._json(exchange, asked.as_json())

    def _clear_ledger(self, exchange: Exchange) -> None:
        self._clear()
        self._send_ledger(exchange, None)

    def _clear(self) -> None:
        self._ledger.clear()
        self._asked.clear({entry.number for entry in self._ledger})
        self._behaviour.rulebook.restart()

    # What the server plays.

    def _show_scenario(self, exchange: Exchange) -> None:
        self._json(exchange, {"scenario": self._behaviour.spec.text})

    def _set_scenario(self, exchange: Exchange) -> None:
        try:
            files = self._guard.files_for(exchange)
            self._behaviour.spec = self._behaviour.parse(exchange.body.decode(), files)
        except (ScenarioError, UnicodeDecodeError) as error:
            raise Refused(400, "BadRequestError", str(error), "scenario") from None
        self._show_scenario(exchange)

    def _show_rules(self, exchange: Exchange) -> None:
        rules = [rule.model_dump(exclude_defaults=True) for rule in self._behaviour.rulebook.rules]
        self._json(exchange, {"rules": rules})

    def _set_rules(self, exchange: Exchange, before: tuple[Rule, ...]) -> None:
        try:
            self._behaviour.set_rules(
                (*before, *read_rules(exchange.body, self._guard.files_for(exchange)))
            )
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), "rules") from None
        self._show_rules(exchange)

    def _restore_rules(self, exchange: Exchange) -> None:
        spec = self._behaviour.spec
        self._behaviour.reset()
        self._behaviour.spec = spec
        self._show_rules(exchange)

    def _reset(self, exchange: Exchange) -> None:
        self._players.cut()
        self._renew()
        self._behaviour.reset()
        self._clear()
        self._send_ledger(exchange, None)

    def _json(self, exchange: Exchange, value: object) -> None:
        self._reply(exchange, 200, dumps(value), [TYPE_JSON, VARY])


class Waiting:
    """A client that waits for the next event of the ledger."""

    def __init__(self, exchange: Exchange, ledger: Ledger, answer: Callable[[], None]) -> None:
        self._exchange, self._ledger, self._answer = exchange, ledger, answer
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Answer at the next event, or after some seconds."""
        self._exchange.on_gone = self._stop
        self._ledger.watchers.add(self._changed)
        self._ledger.on_clear.add(self._over)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._over)

    def _changed(self, entry: Entry) -> None:
        self._stop()
        # What happens together, such as an end and a freed slot, is shown together.
        asyncio.get_running_loop().call_soon(self._over)

    def _over(self) -> None:
        self._stop()
        if not self._exchange.gone:
            self._answer()

    def _stop(self) -> None:
        self._ledger.watchers.discard(self._changed)
        self._ledger.on_clear.discard(self._over)
        if self._timer is not None:
            self._timer.cancel()


def read_rules(body: bytes, files: Files) -> tuple[Rule, ...]:
    """Return the rules of a JSON body: one, or a list.

    Args:
        body: the body.
        files: the files that their scenarios may name.

    Raises:
        Refused: it is not JSON, or a rule is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(tuple[Rule, ...]).validate_json(
            body if body.lstrip().startswith(b"[") else b"[" + body + b"]", context={FILES: files}
        )
    except ValidationError as error:
        raise Refused(400, "BadRequestError", rule_error(error.errors()[0]), "rules") from None


def rule_error(first: Mapping[str, Any]) -> str:
    """Return what is wrong with a rule, as a sentence."""
    place = shortened(".".join(map(str, first["loc"][1:])))
    text = shortened(str(first["msg"]).removeprefix("Value error, "), MOST_SAID).rstrip(".")
    if first["type"] == "extra_forbidden":
        names = Rule.model_fields
        near = get_close_matches(shortened(str(first["loc"][-1])), names, n=2)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names)}."
        return f"A rule has no '{place}'. {hint}"
    return f"Rule: {place}: {text}." if place else f"Rule: {text}."


def _number(query: Mapping[str, str], name: str) -> float | None:
    if (text := query.get(name)) is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise Refused(400, "BadRequestError", f"{name}: '{text}' is not a number.", name)
    return value
