"""Several examinations: the fault that comes sometimes."""

import pytest

from stream_lab.doctor import Cause, Diagnosis, Examination
from stream_lab.doctor.repeat import repeated

H, S, I = Cause.HEALTHY, Cause.SERVER_ENDED, Cause.IDLE_CUT  # noqa: E741


@pytest.mark.parametrize(
    ("causes", "cause", "confidence", "counted"),
    [
        ([H], H, 0.8, ""),
        ([H, H, H], H, 0.85, "3 times healthy"),
        ([H, S, H, H], S, 0.5, "3 times healthy, 1 times server_ended"),
        ([S, S, I], S, 0.67, "2 times server_ended, 1 times idle_cut"),
    ],
)
def test_the_most_frequent_fault_is_the_cause_and_all_are_counted(
    causes: list[Cause], cause: Cause, confidence: float, counted: str
) -> None:
    made = iter([Examination(Diagnosis(each, 0.8, ["x"], "n"), {}) for each in causes])
    found = repeated(lambda: next(made), len(causes)).diagnosis
    assert (found.cause, found.confidence) == (cause, confidence)
    assert counted in found.evidence[-1]
    assert next(made, None) is None
