"""The common part of the streams of chats and completions, fast for plain events."""

import sys
import time
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from fake_vllm.api import wire
from fake_vllm.api.server_rules import Rules
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece, merge

_MARK = "\ue000"  # stands in for a token's text; nothing else in an event has this character


# Twice the vocabulary; the bound keeps recorded texts from filling the memory.
@lru_cache(maxsize=4096)
def quoted(text: str) -> bytes:
    """Return a text as JSON."""
    return wire.dumps(text)


class Choice:
    """The state of one choice's stream.

    Attributes:
        tokens: how many tokens have been counted.
        begun: whether an event has been written.
        waiting: the piece that `stream_interval` holds back. None: there is none.
        frame: the bytes before and after the text of a plain event. None: no such event yet.
    """

    __slots__ = ("begun", "frame", "tokens", "waiting")

    def __init__(self, *, begun: bool) -> None:
        self.tokens = 0
        self.begun = begun
        self.waiting: Piece | None = None
        self.frame: tuple[bytes, bytes] | None = None


class StreamWriter(ABC):
    """The writer of a stream's events.

    Of the body, `stream_options` and `stream_interval` matter. The interval is how many tokens
    share an event; the first and the last token are sent at once.

    Attributes:
        head: the keys at the beginning of every event.
        prompt_tokens: the number of tokens of each prompt.
        usage: whether the client wants token counts, in an event of their own.
        continuous: whether it wants them in each event, too.
    """

    def __init__(
        self,
        head: dict[str, Any],
        choices: int,
        prompt_tokens: list[int],
        body: Any,
        *,
        plain: bool,
        rules: Rules,
    ) -> None:
        options, beams = body.stream_options, body.use_beam_search
        self.head = head
        self.release = rules.release
        self.prompt_tokens = prompt_tokens
        self.usage = rules.force_usage or bool(options and options.include_usage)
        self.continuous = rules.force_usage or (self.usage and bool(options.continuous_usage_stats))
        # Beams are known only when all have ended.
        self._interval = sys.maxsize if beams else body.stream_interval or 1
        self._choices = [Choice(begun=beams) for _ in range(choices)]
        self._plain = plain and not self.continuous and self._interval == 1

    def event(self, index: int, piece: Piece) -> bytes:
        choice = self._choices[index]
        if self._plain and piece.finish is None and piece.text:
            choice.tokens += len(piece.ids)
            before, after = choice.frame or self._framed(choice, index)
            return before + quoted(piece.text) + after
        if self._interval > 1:
            waited = self._wait(choice, piece)
            if waited is None:
                return b""
            piece = waited
        choice.tokens += len(piece.ids)
        event = self.written(index, piece)
        choice.begun = True
        return event

    def frame(self, index: int) -> tuple[bytes, bytes] | None:
        choice = self._choices[index]
        return choice.frame if self._plain else None

    def count(self, index: int, tokens: int) -> None:
        self._choices[index].tokens += tokens

    def _framed(self, choice: Choice, index: int) -> tuple[bytes, bytes]:
        before, _, after = self.written(index, Piece(_MARK, ())).partition(quoted(_MARK))
        choice.frame = before, after
        choice.begun = True
        return choice.frame

    def _wait(self, choice: Choice, piece: Piece) -> Piece | None:
        whole = piece if choice.waiting is None else merge(choice.waiting, piece)
        if choice.begun and whole.finish is None and len(whole.ids) < self._interval:
            choice.waiting = whole
            return None
        choice.waiting = None
        return whole

    def end(self) -> list[bytes]:
        return [self._total(), wire.DONE] if self.usage else [wire.DONE]

    def before_error(self) -> list[bytes]:
        return []

    def text_event(self, text: str) -> bytes:
        return self.written(0, Piece(text, ()))

    @abstractmethod
    def written(self, index: int, piece: Piece) -> bytes:
        """Return the event of a piece; b"" if there is nothing to send."""

    @abstractmethod
    def prompt_details(self, *, whole: bool) -> dict[str, Any] | None:
        """Return `prompt_tokens_details`, for a whole answer or a stream.

        None: the server does not show them.
        """

    def completion_details(self, *, whole: bool) -> dict[str, Any] | None:
        """Return `completion_tokens_details`. None: the server does not show them."""
        return None

    @property
    def more_keys(self) -> dict[str, None]:
        """Return the keys at the end of a choice that newer versions have."""
        return {"weight_versions": None} if self.release.more_keys else {}

    def choice_tokens(self, index: int) -> int:
        return self._choices[index].tokens

    def begun(self, index: int) -> bool:
        return self._choices[index].begun

    def wrapped(self, choice: dict[str, Any], usage: dict[str, Any] | None, *, last: bool) -> bytes:
        """Return a choice as an event; only the usage can follow the `last`."""
        body = {**self.head, "choices": [choice]}
        if usage is not None:
            body["usage"] = usage
        if last and not self.usage:
            body["system_fingerprint"] = self.release.fingerprint
        if self.release.more_keys:
            body["kv_transfer_params"] = None
        return wire.event(body)

    def _total(self) -> bytes:
        usage = wire.usage(sum(self.prompt_tokens), sum(choice.tokens for choice in self._choices))
        if (details := self.prompt_details(whole=False)) is not None:
            usage["prompt_tokens_details"] = details
        if (details := self.completion_details(whole=False)) is not None:
            usage["completion_tokens_details"] = details
        return wire.event(
            {
                **self.head,
                "choices": [],
                "usage": usage,
                "system_fingerprint": self.release.fingerprint,
            }
        )

    def whole_usage(self, completion_tokens: int) -> dict[str, Any]:
        usage = wire.usage(sum(self.prompt_tokens), completion_tokens)
        return {
            **usage,
            "prompt_tokens_details": self.prompt_details(whole=True),
            "completion_tokens_details": self.completion_details(whole=True),
        }


def collects(plan: GenerationPlan, *, plain: bool) -> bool:
    """Tell whether to keep a whole answer's pieces; an endless one is never sent."""
    return not (plan.endless and plain)


def head(id: str, object: str, model: str) -> dict[str, Any]:
    """Return the keys at the beginning of an answer and of each event."""
    return {"id": id, "object": object, "created": int(time.time()), "model": model}
