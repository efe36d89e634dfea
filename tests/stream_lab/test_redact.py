"""Secrets are hidden whole, in part where a text was cut, and at little cost."""

import time

import pytest

from stream_lab.redact import HIDDEN, spellings_of, without

SECRET = "sk-0123456789"
CUT = {
    "whole": (f"it is {SECRET} there", f"it is {HIDDEN} there"),
    "at the end": ("it is sk-0123", f"it is {HIDDEN}"),
    "before the last stop": ("it is sk-0123.", f"it is {HIDDEN}."),
    "before the last line break": ("it is sk-0123.\n", f"it is {HIDDEN}.\n"),
    "before each ellipsis": ("sk-012345… and sk-0123… it", f"{HIDDEN}… and {HIDDEN}… it"),
    "twice in a row": ("sk-0123sk-01234…", f"sk-0123{HIDDEN}…"),
    "a part of five characters": ("it is sk-01…", "it is sk-01…"),
    "a part in the middle": ("it is sk-0123 there…", "it is sk-0123 there…"),
    "encoded": ("it is %73k-0123456789x", f"it is {HIDDEN}"),
    "encoded and cut": ("it is %73k-01234…", f"it is {HIDDEN}"),
    "after an encoded run": ("a%20b sk-0123456789", f"a%20b {HIDDEN}"),
}


@pytest.mark.parametrize(("text", "shown"), CUT.values(), ids=CUT)
def test_a_secret_and_its_cut_first_part_are_hidden(text: str, shown: str) -> None:
    assert without(text, spellings_of([SECRET])) == shown


def test_a_secret_of_bytes_that_are_not_text_is_hidden_too() -> None:
    assert without("it is sk-01\udcff23 there", spellings_of(["sk-01\udcff23"])) == (
        f"it is {HIDDEN} there"
    )


@pytest.mark.parametrize("text", ["http://host:1/chat", "{0}…", "{0}x {0}%41", "sk-012" * 100])
def test_the_cost_of_a_text_does_not_grow_with_the_square_of_the_secret(text: str) -> None:
    def cost(length: int) -> float:
        secret = ("sk-012345abcdefgh" * length)[:length]
        secrets, shown = spellings_of([secret]), text.format(secret[: length - 5])
        began = time.process_time()
        for _ in range(10):
            without(shown, secrets)
        return time.process_time() - began

    assert cost(3200) < 100 * cost(100) + 0.05
