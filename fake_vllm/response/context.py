"""The context of a response: the server's parts, and the request."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from fake_vllm.api import AcceptedRequest
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.pacer import Pacer
from fake_vllm.engine.rate_limit import Buckets
from fake_vllm.engine.slots import Engine
from fake_vllm.engine.timing import Pace
from fake_vllm.http.exchange import Exchange, Headers
from fake_vllm.life import Life
from fake_vllm.model import GenerationPlan, Source
from fake_vllm.rules import ScriptedAnswer
from fake_vllm.scenarios.base import Scenario


class ResponsePlayer(Protocol):
    """A player of one response, in `ServerContext.players` from its start to its end."""

    def start(self) -> None:
        """Begin; the player goes on by itself and calls `Exchange.done` at the end."""

    def hurry(self) -> None:
        """End at once with `finish_reason` "abort", since the engine is dying."""

    def cut(self) -> None:
        """End at once, and reset the connection."""


class ActivePlayers:
    """The players that have started and are not over."""

    def __init__(self) -> None:
        self._players: set[ResponsePlayer] = set()
        self._all_over = asyncio.Event()

    def add(self, player: ResponsePlayer) -> None:
        self._players.add(player)
        self._all_over.clear()

    def discard(self, player: ResponsePlayer) -> None:
        self._players.discard(player)
        if not self._players:
            self._all_over.set()

    def cut(self) -> None:
        """End all responses at once, and reset their connections."""
        for player in tuple(self._players):
            player.cut()

    def hurry(self) -> None:
        """Let all players notice now that the engine is dying or dead."""
        for player in tuple(self._players):
            player.hurry()

    async def end(self, grace: float) -> None:
        """Hurry all players and wait until they are over, for at most `grace` seconds."""
        self.hurry()
        if self._players:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_over.wait(), grace)


@dataclass(frozen=True)
class ServerContext:
    """The parts that all responses of a server share.

    Attributes:
        engine: the pretended engine.
        ledger: the record of requests.
        pacer: the clock of the streams.
        pace: the times that the engine takes.
        keep_generating: whether to go on generating after the client has disconnected.
        extra_headers: returns headers that each response gets in addition.
        source: the source of free text. None: the plan's own.
        players: the players of running responses.
        buckets: what is left of each limit of the rate; `POST /reset` fills them.
        life: whether the server is starting, ready or dead.
    """

    engine: Engine
    ledger: Ledger
    pacer: Pacer
    pace: Pace
    keep_generating: bool = False
    extra_headers: Callable[[Exchange], Headers] = lambda exchange: ()
    source: Source | None = None
    players: ActivePlayers = field(default_factory=ActivePlayers)
    buckets: Buckets = field(default_factory=Buckets)
    life: Life = field(default_factory=Life)

    def engine_died(self, *, exits: bool) -> None:
        """End all responses with an error, and refuse new ones.

        Args:
            exits: whether the process ends too, as a vLLM does.
        """
        self.engine.dead = True
        self.players.hurry()
        if exits:
            self.life.end_soon()

    def renew(self) -> None:
        """Revive a dead engine, and fill all buckets."""
        self.engine.dead = False
        self.life.revive()
        self.buckets.clear()

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        """Return the plan with the server's source of free text."""
        return plan if self.source is None else replace(plan, source=self.source)


@dataclass(frozen=True, slots=True)
class ResponseContext:
    """The parts that one response is made from.

    Attributes:
        server: the parts that all responses share.
        exchange: the request, and the way back to its client.
        request: the accepted request.
        entry: its entry in the ledger.
        scenario: how to behave.
        answer: the words that a rule prescribes. None: the model chooses them.
        model: the name of the model in the response.
        seed: the seed of its random times.
    """

    server: ServerContext
    exchange: Exchange
    request: AcceptedRequest
    entry: Entry
    scenario: Scenario
    model: str
    seed: str
    answer: ScriptedAnswer | None = None

    def plan(self) -> GenerationPlan:
        """Return the plan of the generation."""
        plan = self.scenario.shape(self.server.shape(self.request.plan()))
        return plan if self.answer is None else self.answer.shape(plan)


PlayerFactory = Callable[[ResponseContext], ResponsePlayer]
