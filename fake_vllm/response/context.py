"""What a response is made from: the server's parts, and the request that it answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from fake_vllm.api import AcceptedRequest
from fake_vllm.engine.ledger import Entry, Ledger
from fake_vllm.engine.pacer import Pacer
from fake_vllm.engine.slots import Engine
from fake_vllm.engine.timing import Pace
from fake_vllm.http.connection import Exchange, Headers
from fake_vllm.model import GenerationPlan, Source
from fake_vllm.scenarios.base import Scenario


class ResponsePlayer(Protocol):
    """Sends one response. A player is in `ServerContext.players` from its start to its end."""

    def start(self) -> None:
        """Begin; it goes on by itself and calls `Exchange.done` at the end."""

    def hurry(self) -> None:
        """End at once with `finish_reason` "abort", since the engine is dying."""


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

    async def end(self, grace: float) -> None:
        """Hurry all players and wait until they are over, for at most `grace` seconds."""
        for player in tuple(self._players):
            player.hurry()
        if self._players:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_over.wait(), grace)


@dataclass(frozen=True)
class ServerContext:
    """What all responses of a server share.

    Attributes:
        keep_generating: Generate on when the client has left.
        extra_headers: Headers that each response gets besides its own.
        source: Where free text comes from; None: from where each plan says.
    """

    engine: Engine
    ledger: Ledger
    pacer: Pacer
    pace: Pace
    keep_generating: bool = False
    extra_headers: Callable[[Exchange], Headers] = lambda exchange: ()
    source: Source | None = None
    players: ActivePlayers = field(default_factory=ActivePlayers)

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        """Let the plan's free text come from the server's source."""
        return plan if self.source is None else replace(plan, source=self.source)


@dataclass(frozen=True, slots=True)
class ResponseContext:
    """What one response is made from.

    Attributes:
        scenario: How to behave.
        model: The name of the model that the response bears.
        seed: Decides what is random in its timing.
    """

    server: ServerContext
    exchange: Exchange
    request: AcceptedRequest
    entry: Entry
    scenario: Scenario
    model: str
    seed: str


PlayerFactory = Callable[[ResponseContext], ResponsePlayer]
