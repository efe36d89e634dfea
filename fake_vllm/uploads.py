"""Which requests have a fault while their body is on its way."""

from collections.abc import Callable
from time import monotonic
from typing import Literal

from fake_vllm.api import dumps, error
from fake_vllm.behaviour import SCENARIO_HEADER, Behaviour
from fake_vllm.engine.ledger import Ledger
from fake_vllm.guard import Guard
from fake_vllm.http.exchange import Exchange, phrase
from fake_vllm.http.headers import json_headers
from fake_vllm.http.upload import Reception
from fake_vllm.rules import retry_of
from fake_vllm.scenarios import ScenarioError

EXPECTATION_FAILED = 417


class Uploads:
    """The choice of a fault by a request's header, or the server's scenario."""

    def __init__(self, behaviour: Behaviour, ledger: Ledger, seed: int, guard: Guard) -> None:
        self._behaviour, self._ledger, self._seed, self._guard = behaviour, ledger, seed, guard

    def receive(self, headers: dict[str, str], make: Callable[[], Exchange]) -> Reception | None:
        """Return the fault of a request's reception. None: there is none.

        Args:
            headers: the request's headers.
            make: makes the request, which has no body yet.
        """
        named = headers.get(SCENARIO_HEADER)
        if named is None and not self._behaviour.spec.uploads:
            return None
        exchange = make()
        if exchange.method != "POST" or not exchange.path.startswith("/v1"):
            return None
        if not self._guard.lets_in(exchange):
            return None  # it gets its 401 when it is there, whatever it names
        try:
            spec = (
                self._behaviour.spec
                if named is None
                else self._behaviour.parse(named, self._guard.files)
            )
        except ScenarioError:
            return None  # it is refused when it is there
        upload = spec.upload(*self._ledger.upcoming(spec.text), self._seed)
        if upload is None:
            return None
        status = EXPECTATION_FAILED if upload.how == "refuse_continue" else upload.status
        text = f"{phrase(status)}: the scenario {spec.text} answers before the body is there."
        body = dumps(error(status, phrase(status), text))
        exchange.close_afterwards()

        def over(end: Literal["refused", "closed", "reset"]) -> None:
            entry = self._ledger.open(
                "",
                exchange.path,
                spec.text,
                stream=False,
                prompt_tokens=0,
                arrived=monotonic(),
                turn=exchange.turn + 1,
                method=exchange.method,
                retry=retry_of(exchange),
            )
            entry.end, entry.over = end, monotonic()
            if end == "refused":
                entry.status, entry.headers = status, entry.over
            self._ledger.tell(entry)

        def answer() -> bytes:
            return exchange.head(status, json_headers(len(body))) + body

        return Reception(upload, answer, over)
