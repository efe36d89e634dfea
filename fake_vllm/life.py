"""Whether a server is still starting, and its end after its engine died."""

import asyncio
import signal
from typing import Final

EXIT_AFTER: Final = 0.5
"""Seconds between the death of the engine and the end of the process; a vLLM 0.32 needs 0.7 to 0.9.

Both end with status 0. A vLLM whose engine dies while no request runs needs up to 5 s more.
"""


class Life:
    """The beginning and the end of a server.

    Attributes:
        ready: whether it answers requests; before that, a gateway answers for it.
    """

    def __init__(self) -> None:
        self.ready = True
        self._exit: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> None:
        """Become ready after some seconds."""
        self.ready = False
        asyncio.get_running_loop().call_later(seconds, self._begin)

    def end_soon(self) -> None:
        """End the process, as by SIGTERM, if it is not revived before."""
        if self._exit is None:
            loop = asyncio.get_running_loop()
            self._exit = loop.call_later(EXIT_AFTER, signal.raise_signal, signal.SIGTERM)

    def revive(self) -> None:
        """Let the process go on."""
        if self._exit is not None:
            self._exit.cancel()
            self._exit = None

    def _begin(self) -> None:
        self.ready = True
