"""The exercises of the thirty minutes: the fix, and a test that asks the server."""

import ast
import asyncio
from typing import Any

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.course.exercises.notebook_06 import elapsed, is_a_test, judge
from stream_lab.course.own_tests import Outcome, cell_of, run_with_attempts

WITNESSES = {"slot_freed", "until_freed", "until_over", "tokens_after_left"}
"""What a test can ask the fake to learn whether it still works."""

exercise(
    "30.1",
    hints=(
        "The start of a call belongs in a local variable of the generator, and the comparison "
        "inside its loop.",
        "`try … finally` around the loop closes the source whichever way the loop ends.",
    ),
    idea="`started = time.monotonic()` first; then, for each chunk, raise TimeoutError if more "
    "than `self.seconds` have passed, and yield it otherwise; `await chunks.aclose()` at the end.",
)(elapsed)


@exercise(
    "30.2",
    hints=(
        "Read the stream in a task of its own (`asyncio.create_task`), so that your test goes on "
        "whether the stream ends or not, and do not cancel that task before the assertion.",
        "A second after the deadline, `assert fake_vllm.requests[0].slot_freed is not None`; then "
        "cancel the task, in a `finally`.",
    ),
    idea="A coroutine that reads the chain and ignores its errors, as a task; "
    "`await asyncio.sleep(1)`; the assertion; and a `finally` that cancels the task.",
    limit=70.0,
)
async def test_of_the_server(answer: Any) -> None:
    """Accept a test that is red for attempt 1, and looks at no error."""
    is_a_test(answer)
    must_ask_the_fake(cell_of(answer))
    judge_of_the_server(await asyncio.to_thread(run_with_attempts, answer))


def must_ask_the_fake(code: str) -> None:
    """Refuse a test that expects an error, or asks nothing of the fake."""
    names = _names(code)
    if "raises" in names:
        raise Wrong(
            "Your test expects an error. In your service something may catch it: leave "
            "`pytest.raises` out, and ask the fake."
        )
    if names and not names & WITNESSES and "NotImplementedError" not in names:
        raise Wrong("Your test never asks the fake whether it still works on the request.")


def judge_of_the_server(outcome: Outcome) -> None:
    """Accept a run that is red for attempt 1, and green for the fix.

    A test that leaves the stream and then asks gets one answer or the other, as the fake has
    noticed it or not. So that is refused before the results are looked at.
    """
    if not outcome.problem and outcome.attempt.hung and outcome.fix.passed:
        raise Wrong(
            "With attempt 1 your test never ends, so it would block your CI: read the stream in a "
            "task (`asyncio.create_task`), and do not cancel that task before the assertion."
        )
    if not outcome.problem and outcome.attempt.asked_late:
        raise Wrong(
            "Your test ends the stream itself before it asks the fake, and that frees the slot, "
            "whatever the model's class does: read in a task, and do not cancel it before the "
            "assertion."
        )
    if not outcome.problem and outcome.fix.passed:
        attempt = outcome.attempt
        if not attempt.passed and attempt.broken:
            raise Wrong(
                f"With attempt 1 the stream failed by itself (`{attempt.broken}`), so your test is "
                "red for another reason than the silent failure. On a busy machine the time-out of "
                "a socket read can do that: run the cell again, or choose a longer `timeout`."
            )
        if not attempt.passed and attempt.streams and not attempt.late:
            raise Wrong(
                "Your test is red for attempt 1, but no chunk had come after the deadline when it "
                "asked the fake, so it was not the silent failure: wait longer, for a second after "
                "the deadline."
            )
    judge(outcome)


def _names(code: str) -> set[str]:
    """Return the names and attributes that code uses. Empty: it is no Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.Attribute))
    }
