"""Exercises that check themselves."""

from typing import Any


def check(answer: Any, expected: Any, *, hint: str) -> None:
    """Print whether an answer is right.

    Args:
        answer: the reader's answer. None or …: there is none yet.
        expected: the right answer, computed from the run and never written down.
        hint: shown when the answer is wrong; it should not give the answer away.
    """
    if answer is None or answer is ...:
        print("No answer yet: put yours in place of the dots, run that cell, then this one.")
    elif answer == expected:
        print("✔ That is right.")
    else:
        print(f"✘ Not yet. {hint}")
