"""Several examinations, for faults that come only sometimes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from stream_lab.doctor.diagnosis import Cause
from stream_lab.doctor.examine import Examination

LEAST, MOST = 0.5, 0.97  # of a confidence


def repeated(examine: Callable[[], Examination], times: int) -> Examination:
    """Examine several times, and return the most frequent cause that is not healthy.

    Args:
        examine: one examination.
        times: how many, at least one.
    """
    causes: Counter[Cause] = Counter()
    first: dict[Cause, Examination] = {}  # of each cause, since all may be too much to keep
    for _ in range(times):
        found = examine()
        causes[found.diagnosis.cause] += 1
        first.setdefault(found.diagnosis.cause, found)
    ill = [cause for cause, _ in causes.most_common() if cause is not Cause.HEALTHY]
    cause = ill[0] if ill else Cause.HEALTHY
    chosen = first[cause]
    if times == 1:
        return chosen
    diagnosis = chosen.diagnosis
    counted = ", ".join(f"{number} times {each}" for each, number in causes.most_common())
    share = causes[cause] / times
    sure = diagnosis.confidence + 0.05 if share == 1 else diagnosis.confidence * (0.5 + share / 2)
    evidence = [*diagnosis.evidence, f"Of {times} examinations: {counted}."]
    result = replace(diagnosis, evidence=evidence, confidence=round(max(LEAST, min(MOST, sure)), 2))
    return replace(chosen, diagnosis=result)
