"""The way of a request to another server, and back through a scenario."""

from time import monotonic
from typing import Final

from fake_vllm.api import Refused, hex16
from fake_vllm.asked import AskedRequests
from fake_vllm.behaviour import SCENARIO_FIELD, SCENARIO_HEADER, Behaviour
from fake_vllm.engine.ledger import Entry
from fake_vllm.guard import Guard
from fake_vllm.http.exchange import Exchange
from fake_vllm.relay.address import Address
from fake_vllm.relay.call import Answers, NoAnswer
from fake_vllm.relay.player import RelayPlayer
from fake_vllm.relay.recorded import RecordingFileError, Recordings
from fake_vllm.relay.recorder import Recorder
from fake_vllm.relay.request import RelayedRequest
from fake_vllm.relay.upstream import Upstream
from fake_vllm.response.context import ServerContext
from fake_vllm.rules import retry_of
from fake_vllm.scenarios import Scenario, ScenarioError
from fake_vllm.settings import Settings, SettingsError

HEALTHY: Final = Scenario()
"""What applies to requests that ask for no answer of a model, such as the list of models."""
WITHOUT_MODEL: Final = ("/tokenize", "/detokenize", "/ping")


class RelayRoutes:
    """All routes of a server behind which another one stands, or recordings of one."""

    def __init__(
        self,
        answers: Answers,
        behaviour: Behaviour,
        asked: AskedRequests,
        context: ServerContext,
        seed: int,
        guard: Guard,
    ) -> None:
        self._guard = guard
        self._answers, self._behaviour, self._asked = answers, behaviour, asked
        self._context, self._seed = context, seed

    def handle(self, exchange: Exchange) -> None:
        """Begin to answer a request.

        Raises:
            Refused: the scenario cannot act here, or there is no answer.
        """
        request = RelayedRequest.read(exchange)
        if exchange.method != "POST" or exchange.path in WITHOUT_MODEL:
            unseen = Entry("", exchange.path, "", False, 0, 1, 0, monotonic())
            self._play(exchange, request, unseen, HEALTHY)
            return
        named = request.scenario or exchange.headers.get(SCENARIO_HEADER)
        ruled, _ = self._behaviour.rulebook.find(exchange, request)
        usual = self._behaviour.spec
        if named:
            self._guard.check_choice(exchange)
        try:
            spec = self._behaviour.parse(named, self._guard.files) if named else ruled or usual
        except ScenarioError as error:
            raise Refused(400, "BadRequestError", str(error), SCENARIO_FIELD) from None
        made = self._context.ledger.open(
            exchange.without_keys(exchange.headers.get("x-request-id") or hex16()),
            exchange.without_keys(exchange.path),
            spec.text,
            stream=request.stream,
            prompt_tokens=0,
            arrived=monotonic(),
            turn=exchange.turn,
            retry=retry_of(exchange),
        )
        exchange.number = made.number
        self._asked.keep(made.number, exchange)
        scenario = spec.select(made.attempt, made.number, self._seed, usual if named else None)
        try:
            self._play(exchange, request, made, scenario)
        except Refused as refused:
            made.end, made.status, made.over = "refused", refused.status, monotonic()
            self._context.ledger.tell(made)
            raise

    def _play(
        self, exchange: Exchange, request: RelayedRequest, entry: Entry, scenario: Scenario
    ) -> None:
        relayed(self._context, exchange, entry, scenario, self._answers, request).start()


def relayed(
    context: ServerContext,
    exchange: Exchange,
    entry: Entry,
    scenario: Scenario,
    answers: Answers,
    request: RelayedRequest | None = None,
) -> RelayPlayer:
    """Return the player of an answer that another server gives.

    Args:
        context: the parts that all responses share.
        exchange: the request, and the way back to its client.
        entry: its entry in the ledger.
        scenario: how to deliver the answer.
        answers: the other server.
        request: what is asked. None: it is read from the exchange.

    Raises:
        Refused: there is no answer.
    """
    request = request or RelayedRequest.read(exchange)
    try:
        call = answers.ask(request)
    except NoAnswer as error:
        raise Refused(404, "NotFoundError", str(error)) from None
    return RelayPlayer(context, exchange, request, entry, scenario, call)


def answers_of(settings: Settings) -> Answers:
    """Return the other server that settings name.

    Raises:
        SettingsError: a folder cannot be used.
    """
    if settings.replay is not None:
        try:
            return Recordings(settings.replay)
        except RecordingFileError as error:
            raise SettingsError(str(error)) from None
    upstream = Upstream(Address.parse(settings.upstream or ""))
    if settings.record is None:
        return upstream
    try:
        return Recorder(upstream, settings.record)
    except OSError as error:
        raise SettingsError(f"Cannot use {settings.record}: {error.strerror}.") from None
