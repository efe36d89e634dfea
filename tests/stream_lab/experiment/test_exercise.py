"""An exercise distinguishes no answer, a right one and a wrong one."""

import pytest

from stream_lab.experiment.exercise import check


@pytest.mark.parametrize(
    ("answer", "says"),
    [(..., "No answer yet"), (None, "No answer yet"), (3, "✔"), (4, "✘ Not yet. Count.")],
)
def test_an_exercise_checks_an_answer(
    answer: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(answer, 3, hint="Count.")
    assert says in capsys.readouterr().out
