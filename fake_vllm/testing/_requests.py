"""The ledger on the client's side: what happened to each request, and what was sent."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fake_vllm.engine.ledger import Entry
from fake_vllm.testing._error import FakeVllmError

Ask = Callable[..., Any]


def _unable(path: str) -> Any:
    raise FakeVllmError(f"This request has no server that could be asked for {path}.")


@dataclass
class Request(Entry):
    """A request to the fake: its entry in the ledger, and what the client sent."""

    _ask: Ask = field(default=_unable, repr=False, compare=False)
    _epoch: int = field(default=0, repr=False, compare=False)
    _fetched: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def body(self) -> str:
        """Return the body as text."""
        return str(self._sent["body"])

    @property
    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)

    @property
    def request_headers(self) -> dict[str, str]:
        """Return the headers, with names in lower case."""
        return dict(self._sent["headers"])

    @property
    def _sent(self) -> dict[str, Any]:
        if not self._fetched:
            self._fetched.update(self._ask(f"/ledger/{self.number}/request?epoch={self._epoch}"))
        return self._fetched


class LedgerView:
    """A copy of the ledger that fetches only what has changed."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._requests: dict[int, Request] = {}
        self._revision = self._epoch = 0

    def look(self, *, wait: float = 0.0) -> list[Request]:
        """Return the requests, oldest first.

        Args:
            wait: the seconds to wait for a change of what the last look has shown. 0: none.
        """
        with self._lock:
            after = self._revision
        page = self._ask(
            f"/ledger?after={after}&wait={wait:.3f}" if after else "/ledger", timeout=wait + 10
        )
        with self._lock:
            age = (page["epoch"], page["revision"])
            if age < (self._epoch, self._revision):
                return list(self._requests.values())  # another thread has seen later events
            if page["epoch"] != self._epoch:
                self._requests, self._epoch, self._revision = {}, page["epoch"], 0
            if self._revision >= after:
                for values in page["requests"]:
                    self._requests[values["number"]] = Request(
                        **values, _ask=self._ask, _epoch=page["epoch"]
                    )
                self._revision = page["revision"]
                return list(self._requests.values())
        return self.look()  # the ledger was cleared since, so what is older is missing here
