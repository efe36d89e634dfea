"""The incident's attempts against any server, seen by every witness: client, metrics, GPU."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from langchain_core.prompts import ChatPromptTemplate

from stream_deadline import ChatVllm
from stream_lab.experiment import verdict
from stream_lab.experiment.call import Call, observe
from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.evidence import Outcome, Unknown
from stream_lab.experiment.gpu import GpuProbe, GpuSample
from stream_lab.experiment.story import ElapsedChatVllm, PlainChatVllm, ScopedChatVllm

ATTEMPTS: tuple[type[Any], ...] = (PlainChatVllm, ScopedChatVllm, ElapsedChatVllm, ChatVllm)
CHAIN, DIRECT = "chain.astream", "model.astream"
HOLD = {
    CHAIN: {"ElapsedChatVllm", "ChatVllm"},
    DIRECT: {"ScopedChatVllm", "ElapsedChatVllm", "ChatVllm"},
}
"""For each way of calling, the attempts that end an endless stream."""
# A model that may stop by itself is asked for an endless answer.
QUESTION = "Count upwards from one, one number on each line. Never stop, and say nothing else."

GPU_LAG = 1.1
"""Seconds after the deadline from which nvidia-smi's utilisation is about that time alone.

The utilisation is a mean over up to a second.
"""
GPU_WATCHED = GPU_LAG + 0.5  # seconds past the deadline


@dataclass(frozen=True)
class Trial:
    """One attempt to end an endless answer.

    Attributes:
        attempt: the name of the model's class.
        way: how it was called, `CHAIN` or `DIRECT`.
        call: what the call showed.
        gpu: samples of the busiest GPU, with `at` in seconds since the call.
    """

    attempt: str
    way: str
    call: Call
    gpu: list[GpuSample] = field(default_factory=list)

    @property
    def rates(self) -> list[tuple[float, float]]:
        """Return (time, tokens per second) for each quarter of a second. Empty: no metrics."""
        found, last = [], None
        for sample in self.call.samples:
            if last is None:
                last = sample
            elif sample.at - last.at >= 0.25:
                found.append((sample.at, (sample.tokens - last.tokens) / (sample.at - last.at)))
                last = sample
        return found

    @property
    def gpu_after(self) -> str:
        """Return what the GPU did after the deadline, compared with before. Empty: no GPU."""
        before = [
            s.utilisation
            for s in self.gpu
            if 0.5 * self.call.deadline < s.at < self.call.deadline and s.utilisation is not None
        ]
        after = [
            s.utilisation
            for s in self.gpu
            if s.at > self.call.deadline + GPU_LAG and s.utilisation is not None
        ]
        if not before or not after:
            return ""
        # Only the first half counts, since the GPU is at rest after a client has given up. A fifth
        # of the former utilisation still counts as work, in case the GPU has become slower.
        return (
            "worked on"
            if median(after[: max(1, len(after) // 2)]) > median(before) / 5
            else "came to rest"
        )


@dataclass(frozen=True)
class Witnesses:
    """The witnesses of a server's work.

    Attributes:
        kind: what the server is, in words.
        metrics: whether it shows vLLM's metrics.
        gpu: the name of the GPU. Empty: no GPU could be watched.
    """

    kind: str
    metrics: bool
    gpu: str = ""

    @property
    def seen(self) -> str:
        """Return the witnesses, in words."""
        seen = [
            *(["its /metrics"] if self.metrics else []),
            *([f"nvidia-smi ({self.gpu})"] if self.gpu else []),
        ]
        return ", ".join(seen) if seen else "only the tokens it sends"

    @property
    def words(self) -> str:
        """Return the server and its witnesses, in one sentence."""
        return f"{self.kind}; witnesses: {self.seen}"


def witnesses_of(server: Endpoint, trials: list[Trial]) -> Witnesses:
    """Return the witnesses of these trials."""
    name = next((sample.name for trial in trials for sample in trial.gpu), "")
    return Witnesses(
        "a fake vLLM" if server.is_fake else "a real server", server.shows_metrics, name
    )


def that_stop(trials: list[Trial]) -> str:
    """Return the attempts with which the server stopped, or what one trial could not show."""
    unknown = [trial.call.server for trial in trials if isinstance(trial.call.server, Unknown)]
    stopped = [trial.attempt for trial in trials if trial.call.server == verdict.Server.STOPPED]
    return unknown[0] if unknown else ", ".join(stopped)


def told(trials: list[Trial]) -> Outcome:
    """Judge the trials by the story.

    In a chain only the last two attempts hold, and with them the server stops.
    """
    outcome = Outcome.AS_TOLD
    for trial in trials:
        holds = trial.attempt in HOLD[trial.way]
        expected = (
            (verdict.STOPPED, verdict.Server.STOPPED)
            if holds
            else (verdict.RAN_ON, verdict.Server.RAN_ON)
        )
        for found, hoped in zip((trial.call.verdict, trial.call.server), expected, strict=True):
            if isinstance(found, Unknown):
                outcome = Outcome.NOT_SHOWN if outcome is Outcome.AS_TOLD else outcome
            elif found != hoped:
                outcome = Outcome.NOT_AS_TOLD
    return outcome


def advice(trials: list[Trial]) -> str:
    """Return what to do if a model stopped before its deadline. Empty: no model did."""
    by_itself = [
        f"{trial.attempt} ({trial.way})"
        for trial in trials
        if trial.call.verdict == verdict.BY_ITSELF
    ]
    if not by_itself:
        return ""
    return (
        "The model stopped by itself before the deadline under "
        f"{', '.join(by_itself)}, which shows nothing: "
        "use ignore_eos if the server takes it, a prompt that asks for more, or a shorter deadline."
    )


async def try_out(
    server: Endpoint,
    deadline: float,
    *,
    ways: tuple[str, ...] = (CHAIN,),
    gpu: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Trial]:
    """Request an endless answer with each attempt, one after the other.

    Args:
        server: the server under test.
        deadline: the deadline of each attempt, in seconds.
        ways: the ways of calling: `CHAIN`, `DIRECT`, or both.
        gpu: the command that watches the GPU, see `stream_lab.experiment.gpu`. None: no GPU.
        tell: receives the name of each trial before it begins.

    Raises:
        GpuError: the GPU cannot be watched.
    """
    trials = []
    for attempt in ATTEMPTS:
        for way in ways:
            tell(f"{attempt.__name__}, {way}")
            model = attempt(**{**server.settings, "timeout": deadline})
            prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
            with GpuProbe(gpu) if gpu is not None else nullcontext() as probe:
                stream = (
                    (prompt | model).astream({"question": QUESTION})
                    if way == CHAIN
                    else model.astream(QUESTION)
                )
                call = await observe(stream, deadline=deadline, server=server)
                if probe is not None:
                    until = call.recording.started + deadline + GPU_WATCHED
                    await asyncio.sleep(max(0.0, until - time.monotonic()))
            seen = (
                [replace(s, at=s.at - call.recording.started) for s in probe.busiest()]
                if probe is not None
                else []
            )
            trials.append(Trial(attempt.__name__, way, call, seen))
    return trials
