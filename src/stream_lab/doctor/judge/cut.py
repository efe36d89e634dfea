"""Cuts: whether a limit on silence, a limit in all, or neither ended a stream."""

from statistics import mean
from typing import Literal

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.limits import matching
from stream_lab.http.capture import End

SHORTEST_LIMIT = 0.8  # seconds; no product sets a shorter limit


def cut(runs: list[Facts], held: float) -> Diagnosis:
    """Return the cause of a cut.

    A limit on silence always closes after the same silence. A limit in all always closes after the
    same time and, where it counts from the connection, earlier if the request came later. An end
    that fits neither is the server's or the client's own.

    Args:
        runs: the stream that was cut, and its repetitions.
        held: how long the request of the last repetition was held back, in seconds.
    """
    broken = [run for run in runs if run.transcript.ending in (End.CLOSED, End.RESET)]
    first = broken[0]
    how = "reset" if first.transcript.ending is End.RESET else "closed"
    seen = [
        f"The connection was {how} after {run.transcript.ended:.1f} s, "
        f"{len(run.tokens)} tokens and {run.silence:.1f} s of silence."
        for run in broken
    ]
    if len(broken) < len(runs):
        seen.append(f"{len(runs) - len(broken)} of {len(runs)} streams were not cut.")
        return Diagnosis(
            Cause.SERVER_ENDED,
            0.5,
            seen,
            "Repeat the examination; an occasional cut is rarely a limit. Read the server's log.",
        )
    silences = [run.silence for run in broken]
    totals = [run.transcript.ended for run in broken]
    counts = [len(run.tokens) for run in broken]
    pause = max(
        SHORTEST_LIMIT,
        1.8 * max(run.longest_gap for run in broken),
        3 * max(run.gap for run in broken),
    )
    same_silence = max(silences) - min(silences) <= max(0.3, 0.1 * mean(silences))
    same_total = max(totals[:-1]) - min(totals[:-1]) <= max(0.2, 0.05 * mean(totals[:-1]))
    earlier = (
        held > 0 and len(totals) > 1 and abs(mean(totals[:-1]) - totals[-1] - held) < 0.3 * held
    )
    if min(totals[:-1] or totals) > SHORTEST_LIMIT and earlier and same_total:
        limit = mean(totals[:-1])
        seen.append(
            f"When the request came {held:.1f} s later, the cut came {held:.1f} s earlier: "
            "the limit counts from the connection."
        )
        return _limit(Cause.TOTAL_CUT, 0.95, seen, limit)
    if min(silences) >= pause and same_silence:
        return _limit(Cause.IDLE_CUT, 0.9, seen, mean(silences))
    spread = max(totals) - min(totals)
    inside = all(run.cut_inside for run in broken)
    if mean(totals) > SHORTEST_LIMIT and spread <= max(0.15, 0.04 * mean(totals)):
        if len(set(counts)) > 1:
            return _limit(Cause.TOTAL_CUT, 0.8, seen, mean(totals))
        if inside:
            return _inside(seen, counts[0], mean(totals))
        if abs(mean(totals) - round(mean(totals) * 2) / 2) <= 0.04:
            seen.append(
                "The cut always came at the same token, too, but the time is a round number."
            )
            return _limit(Cause.TOTAL_CUT, 0.55, seen, mean(totals))
    if len(set(counts)) == 1:
        seen.append(f"The cut always came after {counts[0]} tokens.")
    return Diagnosis(
        Cause.SERVER_ENDED,
        0.7,
        seen,
        "Read the server's log of that time; --direct shows whether the server or a proxy cuts.",
        "the same silence, or the same time, before each of several cuts",
    )


def _inside(seen: list[str], tokens: int, seconds: float) -> Diagnosis:
    """Diagnose streams that were cut inside the same event, at the same time."""
    return Diagnosis(
        Cause.SERVER_ENDED,
        0.6,
        [
            *seen,
            f"Each cut came inside an event, after {tokens} tokens and {seconds:.1f} s: the server "
            "failed while it wrote that event, or a limit in all was hit by chance at that event.",
            "A stream with another pace tells the two apart: a limit cuts it after the same "
            f"{seconds:.1f} s, a server that fails cuts it after the same {tokens} tokens.",
        ],
        "Read the server's log of that time. Ask again with a question that has another pace; "
        "--direct shows whether the server or a proxy cuts.",
        f"a stream with another pace that is also cut after {seconds:.1f} s",
    )


def _limit(cause: Cause, confidence: float, seen: list[str], seconds: float) -> Diagnosis:
    """Diagnose a limit of about N seconds, and name products with that default."""
    bounds: Literal["idle", "total"] = "idle" if cause is Cause.IDLE_CUT else "total"
    known = dict.fromkeys(
        limit.name
        for limit in matching(seconds, bounds)
        if limit.side in ("proxy", "platform", "server")
    )
    defaults = (
        [f"Known defaults of about {seconds:.0f} s: {'; '.join(list(known)[:4])}."] if known else []
    )
    advice = {
        "idle": f"Find the layer with an idle limit of about {seconds:.1f} s. "
        "Raise the limit, or send a comment more often than that.",
        "total": f"Find the layer with a total limit of about {seconds:.1f} s. "
        "Raise the limit, or set a deadline of your own below it.",
    }[bounds]
    refutation = {
        "idle": "a cut after another silence, or a longer silence that ends nothing",
        "total": "a stream with another pace that is cut at another time",
    }[bounds]
    return Diagnosis(cause, confidence, [*seen, *defaults], advice, refutation)
