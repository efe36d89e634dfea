"""The exercises of notebook 08: reading samples, and an alert."""

import ast
import re
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any

from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.experiment.attempts_run import CHAIN, Trial
from stream_lab.experiment.call import Call
from stream_lab.experiment.saved_evidence import SavedEvidence
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.experiment.witness import Sample

CLOSE = 0.006  # seconds, for answers that are rounded to hundredths
RUNNING, OPEN = "vllm:num_requests_running", "relay_open_requests"
QUIET = {
    "vllm:num_requests_waiting": 0.0,
    "vllm:generation_tokens_total": 9e6,
    "vllm:request_success_total": 40.0,
}
SITUATIONS = (
    # What happens, the metrics, and whether the alert must fire.
    ("three clients wait for three answers", {RUNNING: 3.0, OPEN: 3.0}, False),
    ("the server is at rest", {RUNNING: 0.0, OPEN: 0.0}, False),
    (
        "ten clients wait, and two of their requests are still in the queue",
        {RUNNING: 8.0, OPEN: 10.0, "vllm:num_requests_waiting": 2.0},
        False,
    ),
    ("three requests run and one client is left", {RUNNING: 3.0, OPEN: 1.0}, True),
    ("one request runs and no client is left", {RUNNING: 1.0, OPEN: 0.0}, True),
)


@exercise(
    "08.1",
    hints=(
        "Look only at the samples after the cut, `trial.call.recording.ended`.",
        "The first of them with `running == 0` shows that the server has stopped.",
    ),
    idea="The answer is the time of the first idle sample after the cut, minus the time of the "
    "cut; None where no sample after the cut is idle.",
)
def stopped_after(answer: Callable[[Trial], Any], kept: Sequence[SavedEvidence]) -> None:
    """Check a function that reads from a trial when its server stopped."""
    if not callable(answer):
        raise Wrong("Write a function; the checker calls it with each saved trial.")
    saved = [
        trial
        for each in kept
        for trial in each.played
        if trial.way == CHAIN and trial.call.recording.ending is not Ending.GAVE_UP
    ]
    for trial in (*saved, _invented((0.0, 0), (1.0, 1), (2.5, 1), (4.0, 0), (4.5, 0), ended=2.0)):
        _judge(_asked(answer, trial), trial)
    never = _invented((0.0, 0), (1.0, 1), (2.5, 1), (4.0, 1), ended=2.0)
    if (found := _asked(answer, never)) is not None:
        raise Wrong(
            f"One trial's server is still running in its last sample; the answer for it is None, "
            f"and yours is {found!r}."
        )


@exercise(
    "08.2",
    hints=(
        "A busy server is healthy while each of its requests has a client. What is different in "
        "the incident?",
        "Compare two numbers: the requests that the model's server runs, and the requests that "
        "are open at the relay.",
    ),
    idea="More requests run than clients wait. The relay must count its open requests, since the "
    "model's server cannot know which client is behind a connection that stays open.",
)
def alert(answer: object) -> None:
    """Check an expression in PromQL by what it says in five situations."""
    if not isinstance(answer, str):
        raise Wrong("Write the expression as a string, in quotes.")
    if "request_success_total" in answer:
        raise Wrong(
            "That counts requests that have ended, and those of the incident do not end. "
            "vLLM does not even count an aborted request there."
        )
    for what, metrics, fires in SITUATIONS:
        found = _value(answer, {**QUIET, **metrics})
        if found is not fires:
            raise Wrong(
                f"It {'fires' if found else 'does not fire'} when {what}, "
                f"and it {'should not' if found else 'should'}."
            )


def _asked(answer: Callable[[Trial], Any], trial: Trial) -> Any:
    try:
        return answer(trial)
    except (StopIteration, IndexError, ValueError) as error:
        raise Wrong(
            f"For one of the trials it raises {type(error).__name__}: no sample fits. "
            "Return None where no sample after the cut is idle."
        ) from None


def _judge(found: Any, trial: Trial) -> None:
    ended, samples = trial.call.recording.ended, trial.call.samples
    idle = next(sample.at for sample in samples if sample.at > ended and not sample.running)
    busy = [sample.at for sample in samples if sample.running]
    # The server stopped between the last busy sample and the first idle one.
    earliest = max(0.0, busy[-1] - ended)
    if (
        isinstance(found, (int, float))
        and earliest - CLOSE <= found <= idle - ended + CLOSE
        and not isinstance(found, bool)
    ):
        return
    first = next(sample.at for sample in samples if not sample.running)
    equals(
        found,
        idle - ended,
        tolerance=CLOSE,
        mistakes=[
            (None, "None is for a server that goes on; this one has an idle sample after the cut."),
            (idle, "That counts from the call. Subtract the time of the cut."),
            (idle - trial.call.deadline, "That counts from the deadline, and not from the cut."),
            (first - ended, "That is the idle sample before the request; look after the cut."),
            (first, "That is the idle sample before the request; look after the cut."),
            (
                busy[-1] - ended,
                "That is the last sample in which it still ran, perhaps before the cut.",
            ),
        ],
    )


def _invented(*samples: tuple[float, int], ended: float) -> Trial:
    """Make a trial in which the server stops well after the cut, or never."""
    recording = Recording(arrivals=[0.5], ending=Ending.CUT, ended=ended, error="TimeoutError")
    return Trial(
        "ChatVllm",
        CHAIN,
        Call(recording, 1.75, [Sample(at, running, 0, 0) for at, running in samples]),
    )


class _Gauge(float):
    """A metric's value, which can be divided by zero as in PromQL."""

    def __truediv__(self, other: float) -> float:
        if other:
            return float(self) / float(other)
        return inf if self > 0 else nan

    def __rtruediv__(self, other: float) -> float:
        return _Gauge(other) / float(self)


_SELECTORS = re.compile(
    r"\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)|\bgroup_(left|right)\b(\s*\([^)]*\))?"
)
_FUNCTION = re.compile(r"\b(sum|max|min|avg|(?:max|min|avg|sum|last)_over_time|scalar|vector)\s*\(")
_NAME = re.compile(r"[a-zA-Z_][\w:]*")


def _value(expression: str, metrics: dict[str, float]) -> bool:
    """Return whether an expression has a value: PromQL's comparisons filter.

    Raises:
        Wrong: It names a metric that does not exist, or is not an expression.
    """
    text = _FUNCTION.sub("(", _SELECTORS.sub("", expression))
    text = re.sub(r"\bbool\b", "", text)
    for name in _NAME.findall(text):
        if name in ("and", "or", "unless"):
            continue
        if name in ("rate", "increase", "irate", "delta", "deriv"):
            raise Wrong(
                f"`{name}` says how fast a number grows. Both numbers here are gauges: "
                "compare their values."
            )
        if name not in metrics:
            raise Wrong(
                f"There is no metric `{name}`. There are: {', '.join(metrics)}."
                if ":" in name or "_" in name
                else f"`{name}` is not known to this checker; compare two metrics."
            )
    names = {name: f"metric_{place}" for place, name in enumerate(metrics)}
    named = _NAME.sub(lambda found: names.get(found[0], found[0]), text)
    values = {names[name]: _Gauge(value) for name, value in metrics.items()}
    try:
        tree = ast.parse(named.replace("unless", "and not").strip(), mode="eval")
        if any(isinstance(node, (ast.Call, ast.Attribute, ast.Tuple)) for node in ast.walk(tree)):
            raise Wrong("The checker does not know this form; compare two metrics.")
        compares = any(isinstance(node, ast.Compare) for node in ast.walk(tree))
        found = eval(compile(tree, "alert", "eval"), {"__builtins__": {}}, values)
    except (SyntaxError, TypeError):
        raise Wrong("That is not an expression of PromQL.") from None
    except ZeroDivisionError:
        return False
    if not compares:
        raise Wrong("It has a value at all times, so it always fires: compare with something.")
    return bool(found)
