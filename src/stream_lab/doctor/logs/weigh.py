"""What the lines of logs add to a diagnosis."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.logs.line import Line, Who, Worker
from stream_lab.doctor.target import Target

CUTS = {Cause.SERVER_ENDED, Cause.PROXY_ENDED, Cause.IDLE_CUT, Cause.TOTAL_CUT}
ENDED_BY = {
    Who.CLIENT: Cause.CLIENT_ENDED,
    Who.PROXY: Cause.PROXY_ENDED,
    Who.SERVER: Cause.SERVER_ENDED,
}
SLACK = timedelta(seconds=2)  # how far two clocks may differ
RECENT = timedelta(days=14)
"""Age up to which a line may be about what is wrong today; Debian keeps 14 days of nginx's logs."""
DOCTOR = "stream-lab-doctor"  # the doctor's own name in access logs
MOST = 6  # sentences about lines


def consider(
    diagnosis: Diagnosis,
    lines: list[Line],
    *,
    since: datetime,
    until: datetime,
    targets: Sequence[Target] = (),
    flowed: bool | None = None,
) -> Diagnosis:
    """Return the diagnosis in the light of the logs.

    Lines about another path or method are left out. Lines from the time of the examination are
    about its own streams. If none of these was cut, the other lines of the last 14 days are about
    streams of other clients. Lines without a time are never lines of now, and count less.

    Args:
        diagnosis: the result of the examination.
        lines: lines of the logs.
        since: the local time at which the examination began.
        until: the local time at which it ended.
        targets: the requests of the examination. Empty: lines of any path count.
        flowed: whether tokens came until the cut. None: unknown, or there was no cut.
    """
    lines = [line for line in lines if _is_about(line, targets)]
    now = [line for line in lines if _is_now(line, since - SLACK, until + SLACK)]
    undated = [line for line in lines if line.at is None]
    if diagnosis.cause in CUTS and now:
        return _of_these(diagnosis, now, flowed)
    if diagnosis.cause in CUTS and undated:
        return _perhaps_of_these(diagnosis, undated)
    if diagnosis.cause is Cause.HEALTHY:
        telling = [
            line
            for line in lines
            if line.who is not None
            and not line.is_orderly
            and (line.at is None or until - RECENT <= line.at)
            and not ((line in now or line.is_new) and _is_own(line))
        ]
        return _of_others(diagnosis, telling) if telling else diagnosis
    return replace(diagnosis, evidence=[*diagnosis.evidence, *_sentences(now or undated)])


def _of_these(diagnosis: Diagnosis, now: list[Line], flowed: bool | None) -> Diagnosis:
    evidence = [*diagnosis.evidence, *_sentences(now)]
    who = {line.who for line in now if line.who is not None}
    if killed := [line for line in now if line.worker is not None]:
        return _of_worker(replace(diagnosis, evidence=evidence), killed[-1], flowed)
    advice = next((line.advice for line in now if line.advice and line.who in who), diagnosis.next)
    if not who:
        return replace(diagnosis, evidence=evidence)
    if diagnosis.cause is Cause.SERVER_ENDED and Who.SERVER not in who:
        # The doctor did not disconnect, so the client in the log is between server and doctor.
        proxy = next((line.advice for line in now if line.who is Who.PROXY and line.advice), "")
        return replace(
            diagnosis,
            cause=Cause.PROXY_ENDED,
            confidence=0.85,
            evidence=evidence,
            next=proxy
            or "Read the log of the proxy at that time: it ended the connection to the "
            "server, or to the doctor.",
        )
    sure = round(min(0.97, diagnosis.confidence + 0.1), 2)
    return replace(diagnosis, evidence=evidence, confidence=sure, next=advice)


def _of_worker(diagnosis: Diagnosis, line: Line, flowed: bool | None) -> Diagnosis:
    """Diagnose streams of a worker that gunicorn's --timeout killed."""
    if line.worker is Worker.SYNC:
        return replace(diagnosis, cause=Cause.TOTAL_CUT, confidence=0.9, next=line.advice)
    if line.worker is Worker.LOOP:
        return replace(diagnosis, cause=Cause.LOOP_BLOCKED, confidence=0.9, next=line.advice)
    if flowed or diagnosis.cause is Cause.TOTAL_CUT:
        flow = "Tokens came until the cut, so the event loop was not blocked."
        evidence = [*diagnosis.evidence, flow] if flowed else diagnosis.evidence
        return replace(
            diagnosis, cause=Cause.TOTAL_CUT, confidence=0.7, evidence=evidence, next=line.advice
        )
    return replace(diagnosis, cause=Cause.LOOP_BLOCKED, confidence=0.6, next=line.advice)


def _perhaps_of_these(diagnosis: Diagnosis, undated: list[Line]) -> Diagnosis:
    """Add lines without a time: they support a cause, and never change it."""
    ended_by = ENDED_BY.get(undated[-1].who) if undated[-1].who else None
    supports = ended_by is diagnosis.cause
    return replace(
        diagnosis,
        confidence=round(min(0.9, diagnosis.confidence + 0.05), 2)
        if supports
        else diagnosis.confidence,
        evidence=[*diagnosis.evidence, *_sentences(undated)],
        next=undated[-1].advice if supports and undated[-1].advice else diagnosis.next,
    )


def _of_others(diagnosis: Diagnosis, telling: list[Line]) -> Diagnosis:
    who, times = Counter(line.who for line in telling).most_common(1)[0]
    killed = [line for line in telling if line.worker is not None]
    kept = [line for line in telling if line.who is who or line.worker is not None]
    assert who is not None
    cause = ENDED_BY[who]
    if killed:
        is_sync = killed[-1].worker is Worker.SYNC
        cause = Cause.TOTAL_CUT if is_sync else Cause.LOOP_BLOCKED
    evidence = [
        *diagnosis.evidence,
        f"The stream is healthy now; of {len(telling)} ends in the logs, the {who} caused {times}.",
        *_sentences(kept),
    ]
    advice = {
        Cause.CLIENT_ENDED: "Look at the client: navigation, retries, a time-out of its own. "
        "On the server, check that the work ends when the client disconnects.",
        Cause.PROXY_ENDED: "Look at the proxy's limits for the times that its log names.",
    }.get(cause, "Read the server's log around these lines.")
    named = next((line.advice for line in killed or kept if line.advice), "")
    return replace(
        diagnosis,
        cause=cause,
        confidence=0.55 if any(line.at is not None for line in kept) else 0.5,
        evidence=evidence,
        next=named or advice,
        refuted_by="logs of another time",
    )


def _is_now(line: Line, since: datetime, until: datetime) -> bool:
    """Tell whether a line is of this time; without a zone it may be UTC."""
    if line.at is None:
        return False
    as_utc = line.at.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
    return any(since <= at <= until for at in ([line.at] if line.has_zone else [line.at, as_utc]))


def _is_about(line: Line, targets: Sequence[Target]) -> bool:
    """Tell whether a line's path and method are those of a request."""
    if not targets or not line.path:
        return True
    return any(
        line.method in ("", target.method) and _is_same(line.path, path)
        for target in targets
        for path in _paths(target)
    )


def _paths(target: Target) -> Iterable[str]:
    """Yield the paths of a request: as sent, and as its address was given."""
    yield target.path
    if target.chat:
        yield target.path.removesuffix("/chat/completions")


def _is_same(logged: str, asked: str) -> bool:
    """Compare paths without their queries; a proxy may have removed or added a first part."""
    one, other = (
        [part for part in unquote(path.partition("?")[0]).split("/") if part]
        for path in (logged, asked)
    )
    shorter = min(len(one), len(other))
    return one == other or (shorter > 0 and one[-shorter:] == other[-shorter:])


def _is_own(line: Line) -> bool:
    """Tell whether a line of now may be about the doctor's own disconnect."""
    return line.who is Who.CLIENT and (not line.agent or DOCTOR in line.agent)


def _sentences(lines: list[Line]) -> list[str]:
    """Return each meaning once, with the first line that has it."""
    first = {line.meaning: line for line in reversed(lines)}
    return [
        f"Log{', without a time' if line.at is None else ''}: "
        f"{line.text} ({line.meaning.rstrip('.')}.)"
        for line in reversed(first.values())
    ][:MOST]
