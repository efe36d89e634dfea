"""The exercises of the thirty minutes: the fix, and the test of the server's side.

Both have the checkers of notebook 06.
"""

from stream_lab.course.exercise import exercise
from stream_lab.course.exercises.notebook_06 import elapsed, own_test

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

exercise(
    "30.2",
    hints=(
        "Read the stream in a task of its own (`asyncio.create_task`), so that your test goes on "
        "whether the stream ends or not.",
        "After twice the deadline, `assert fake_vllm.requests[0].slot_freed is not None`; "
        "cancel the task.",
    ),
    idea="A coroutine that reads the chain and ignores its errors, as a task; "
    "`await asyncio.sleep(1)`; the assertion; and a `finally` that cancels the task.",
    limit=40.0,
)(own_test)
