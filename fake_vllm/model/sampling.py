"""From the script's tokens to pieces: limits, forced and banned tokens, ends of a sequence."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.stops import StopStrings
from fake_vllm.model.text_piece import FINISHED, PLAIN, Piece
from fake_vllm.model.tokenizer import Incremental
from fake_vllm.model.vocabulary import END, FIRST_WORD, SIZE

CERTAIN = 50.0
"""A `logit_bias` from here on forces its token, and its negative bans it; others have no effect."""


@dataclass(frozen=True)
class Repetition:
    """vLLM's `repetition_detection`: `least` to `most` tokens, `count` times in a row."""

    least: int
    most: int
    count: int


@dataclass(frozen=True)
class Sampling:
    """A request's settings for sampling, as far as they matter to a fake model.

    Attributes:
        stops: the stop strings.
        stop_ids: the ids of stop tokens.
        include_stop: whether the stop string or token stays in the text.
        ignore_eos: whether the end token does not end the sequence.
        min_tokens: the number of tokens before which nothing ends the sequence.
        skip_special: whether special tokens have no text.
        forced: the token to draw always. None: no token is forced.
        banned: sequences of ids; the last id is not drawn after the others.
        allowed: the tokens that may be drawn. None: every token.
        repetition: the repetition that ends the sequence. None: it is not looked for.
        plain: whether no step has anything to check.
    """

    stops: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    include_stop: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special: bool = True
    forced: int | None = None
    banned: tuple[tuple[int, ...], ...] = ()
    allowed: tuple[int, ...] | None = None
    repetition: Repetition | None = None
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        settings = (
            self.stops,
            self.stop_ids,
            self.min_tokens,
            self.forced is not None,
            self.banned,
            self.allowed,
            self.repetition,
        )
        object.__setattr__(
            self, "plain", not any(settings) and self.skip_special and not self.include_stop
        )

    @property
    def _steers(self) -> bool:
        return bool(self.forced is not None or self.banned or self.allowed or self.min_tokens)

    def sequence(
        self, wanted: Iterator[Piece], plan: GenerationPlan, *, steered: bool = True
    ) -> Iterator[Piece]:
        """Return the pieces of one choice, at constant memory; the last piece has the finish.

        Args:
            wanted: the script's tokens up to the end token.
            plan: the plan for the generation.
            steered: whether a bias can change the tokens. False where a grammar prescribes the
                form of the text.
        """
        if self.plain:
            return _plain(wanted, plan.limit)
        return self._sampled(wanted, plan.limit, steered=steered)

    def _sampled(
        self, wanted: Iterator[Piece], limit: int | None, *, steered: bool
    ) -> Iterator[Piece]:
        text = StopStrings(self.stops, include=self.include_stop)
        decoder = Incremental(skip_special=self.skip_special)
        steering = _Steering(self) if steered and self._steers else None
        repeating = _Repeating(self.repetition) if self.repetition else None
        made = 0
        while True:
            piece = next(wanted, FINISHED)
            made += 1
            if steering is not None:
                piece = steering.steer(piece, early=made <= self.min_tokens)
            (id,) = piece.ids
            stop: str | int | None = id if id in self.stop_ids else None
            over = (id == END and not self.ignore_eos) or stop is not None
            if id == END and not self.ignore_eos:
                stop = None
            shown = decoder.text(id) if steered and id < FIRST_WORD else piece.text
            if over and not self.include_stop:
                shown = ""
            text.feed(shown, search=made > self.min_tokens)
            if text.hit is not None:
                yield Piece(text.take(), piece.ids, "stop", text.hit)
                return
            if over:
                yield Piece(text.rest(), piece.ids, "stop", stop)
                return
            if limit is not None and made >= limit:
                yield Piece(text.rest(), piece.ids, "length")
                return
            if repeating is not None and repeating.seen(id) and made >= self.min_tokens:
                yield Piece(text.rest(), piece.ids, "repetition", "repetition_detected")
                return
            yield Piece(text.take(), piece.ids)


def _plain(wanted: Iterator[Piece], limit: int | None) -> Iterator[Piece]:
    """Return the pieces up to the end, without Python code for each token."""
    if limit is None:
        return chain(wanted, [FINISHED])
    return chain(islice(wanted, limit - 1), _last(wanted))


def _last(wanted: Iterator[Piece]) -> Iterator[Piece]:
    for piece in wanted:
        yield Piece(piece.text, piece.ids, "length")
        return
    yield FINISHED


class _Steering:
    """A replacement for banned tokens, or for all tokens by a forced one."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._ends = sampling.stop_ids | {END}
        self._before: deque[int] = deque(maxlen=max(map(len, sampling.banned), default=1))
        self._turn = 0

    def steer(self, piece: Piece, *, early: bool) -> Piece:
        """Return the token to draw; `early` means that none may end the text yet."""
        forced = self._sampling.forced
        for candidate in chain([] if forced is None else [PLAIN[forced]], [piece], self._others()):
            if self._may(candidate.ids[0], early=early):
                self._before.append(candidate.ids[0])
                return candidate
        return piece  # a request that allows no token gets the script's

    def _others(self) -> Iterator[Piece]:
        ids: Sequence[int] = self._sampling.allowed or range(FIRST_WORD, SIZE)
        self._turn += 1
        at = self._turn % len(ids)
        return (PLAIN[id] for id in chain(ids[at:], ids[:at]))

    def _may(self, id: int, *, early: bool) -> bool:
        sampling = self._sampling
        if early and id in self._ends:
            return False
        if sampling.allowed is not None and id not in sampling.allowed:
            return False
        before = (*self._before, id)
        return not any(before[-len(word) :] == word for word in sampling.banned)


class _Repeating:
    """A watch on the newest tokens for a repeated pattern."""

    def __init__(self, repetition: Repetition) -> None:
        self._sizes = range(max(repetition.least, 1), repetition.most + 1)
        self._count = repetition.count
        self._newest: deque[int] = deque(maxlen=repetition.most * repetition.count)

    def seen(self, id: int) -> bool:
        self._newest.append(id)
        ids = list(self._newest)
        for size in self._sizes:
            length = size * self._count
            if length > len(ids):
                return False
            if ids[-length:] == ids[-size:] * self._count:
                return True
        return False


def forced_by(bias: Iterable[tuple[int, float]]) -> int | None:
    """Return the token that a bias forces. None: there is none."""
    id, strength = max(bias, key=lambda item: item[1], default=(0, 0.0))
    return id if strength >= CERTAIN else None


def banned_by(bias: Iterable[tuple[int, float]]) -> list[tuple[int, ...]]:
    """Return the tokens that a bias bans."""
    return [(id,) for id, strength in bias if strength <= -CERTAIN]
