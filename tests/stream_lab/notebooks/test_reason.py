"""The reason for a failure is text that people can read, and never empty."""

import pytest

from stream_lab.notebooks.reason import of_death, of_exception


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("ValueError", "too large", "ValueError: too large"),
        ("ValueError", "", "ValueError: it has no text"),
        ("ValueError", " \n\t", "ValueError: it has no text"),
        ("ValueError", "\x1b[31m\x1b[0m", "ValueError: it has no text"),
        ("ValueError", "\x1b[31mred\x1b[0m", "ValueError: red"),
        ("ValueError", "a\x00b\u200b\ud800", "ValueError: a\\x00b\\u200b\\ud800"),
        ("ValueError", "two\nlines", "ValueError: two\nlines"),
        ("", "", "an exception without a name: it has no text"),
        ("\x01", "für Ärger", "\\x01: für Ärger"),
    ],
)
def test_an_exceptions_name_and_text_are_readable(name: str, text: str, reason: str) -> None:
    assert of_exception(name, text) == reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "it died"),
        (0, "it died: it ended itself with status 0"),
        (3, "it died: it ended itself with status 3"),
        (-11, "it died: SIGSEGV ended it"),
        (-9, "it died: SIGKILL ended it, which also happens when the memory is used up"),
        (-40, "it died: signal 40 ended it"),
    ],
)
def test_the_death_of_a_process_is_named_by_its_status(status: int | None, reason: str) -> None:
    assert of_death("it", status) == reason
