"""A callback handler to copy, which logs one line for each answer."""

import logging
import time
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

_log = logging.getLogger(__name__)


class TokenCounter(BaseCallbackHandler):
    """A count of each answer's chunks, which is logged at its end.

    Attributes:
        chunks: the chunks of all answers.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self._running: dict[UUID, tuple[float, int]] = {}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[Any], *, run_id: UUID, **_: Any
    ) -> None:
        self._running[run_id] = (time.monotonic(), 0)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:
        began, chunks = self._running[run_id]
        if token:  # the first chunk has a role, the last ones have a finish reason and the usage
            self._running[run_id] = (began, chunks + 1)
            self.chunks += 1

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        self._over(run_id, "finished")

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Log the end, which may also be a disconnect or a deadline."""
        self._over(run_id, type(error).__name__)

    def _over(self, run_id: UUID, end: str) -> None:
        began, chunks = self._running.pop(run_id)
        _log.info(
            "answer %s: %s after %.2f s and %d chunks",
            run_id,
            end,
            time.monotonic() - began,
            chunks,
        )
