"""How long things take: a constant, a distribution, or recorded times."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, repeat
from pathlib import Path
from random import Random

from fake_vllm.files import ANY_FILE, Files

FORMS = (
    "10, normal:10/2 (mean/deviation), lognormal:10/0.5 (median/sigma) or trace:FILE (a JSON list "
    "of milliseconds)"
)
Sampler = Callable[[Random], Iterator[float]]


class TimingError(ValueError):
    """Raised when a timing has none of the known forms; the text lists them."""


@dataclass(frozen=True)
class Pace:
    """The times that the engine takes, in seconds.

    Attributes:
        headers: between the request and the response headers.
        first_token: between the slot and the first token, besides the prefill.
        gap: between two tokens.
        prefill: for each token of the prompt.
        keep_alive: the silence after which a comment is sent, as vLLM's --sse-keep-alive-interval.
            0: never.
        gap_per_running: added to each gap, for each other sequence that runs then.
        first_per_running: added to the time to the first token in the same way.
    """

    headers: Sampler
    first_token: Sampler
    gap: Sampler
    prefill: float = 0.0
    keep_alive: float = 0.0
    gap_per_running: float = 0.0
    first_per_running: float = 0.0


def timing(text: str, files: Files = ANY_FILE) -> Sampler:
    """Read a timing in milliseconds; its iterators are endless and yield seconds.

    A comma between the numbers of a distribution, `normal:10,2`, means the same as the slash.

    Args:
        text: the timing.
        files: the files that a trace may be in.

    Raises:
        FileRefusedError: a trace is in another file.
        TimingError: the text has none of the `FORMS`, a number is negative or not finite, or a
            trace cannot be read.
    """
    kind, _, rest = text.strip().partition(":")
    try:
        if not rest:
            return _constant(_milliseconds(kind))
        if kind == "trace":
            return _trace(Path(rest), files)
        first, second = (_milliseconds(number) for number in rest.replace(",", "/").split("/"))
    except ValueError as error:
        if isinstance(error, TimingError):
            raise
        raise TimingError(f"'{text}' is not a timing in milliseconds; write {FORMS}.") from None
    if kind == "normal":
        return lambda random: (max(0.0, random.gauss(first, second)) / 1000 for _ in repeat(None))
    if kind == "lognormal":
        if first == 0:
            return _constant(0.0)
        return lambda random: (
            random.lognormvariate(math.log(first), second) / 1000 for _ in repeat(None)
        )
    raise TimingError(f"'{text}' is not a timing in milliseconds; write {FORMS}.")


def _constant(milliseconds: float) -> Sampler:
    return lambda random: repeat(milliseconds / 1000)


def _trace(file: Path, files: Files) -> Sampler:
    try:
        gaps = [_milliseconds(gap) for gap in json.loads(files.read(file))]
    except OSError as error:
        raise TimingError(f"Cannot read the trace '{file}': {error.strerror}.") from None
    except (TypeError, ValueError, RecursionError):
        gaps = []
    if not gaps:
        raise TimingError(
            f"The trace '{file}' must be a JSON list of milliseconds, none of them negative."
        )
    return lambda random: (gap / 1000 for gap in cycle(gaps))


def _milliseconds(number: object) -> float:
    value = float(str(number))
    if not 0 <= value < math.inf:
        raise ValueError
    return value
