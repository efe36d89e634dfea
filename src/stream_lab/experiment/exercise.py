"""Exercises that check themselves."""

from typing import Any


def check(answer: Any, expected: Any, *, hint: str) -> None:
    """Say whether an answer is right.

    `answer`: the reader's; None or … means that there is none yet. `expected`: computed from the run, never written down.
    `hint`: shown when the answer is wrong; it should not give the answer away.
    """
    if answer is None or answer is ...:
        print("No answer yet: put yours in place of the dots, run that cell, then this one.")
    elif answer == expected:
        print("✔ That is right.")
    else:
        print(f"✘ Not yet. {hint}")
