"""The text and the attributes of the errors."""

import copy
import pickle
from typing import get_args

import pytest
from langchain_core.messages import AIMessageChunk
from langgraph.types import RetryPolicy

from stream_deadline import AnswerCutShort, StreamDeadlineExceeded
from stream_deadline._errors import Bound, later


@pytest.mark.parametrize("bound", [bound for bound in get_args(Bound) if bound != "caller"])
def test_the_text_names_the_parameter_its_value_and_the_number_of_chunks(bound: Bound) -> None:
    text = str(StreamDeadlineExceeded(bound, 45, 45.003, 17, AIMessageChunk(content="so far")))
    assert f"{bound}=45" in text or "deadline(45)" in text
    assert "Raise" in text
    if bound != "first_chunk_timeout":
        assert "17 chunks had arrived" in text


def test_the_error_of_a_disconnect_names_no_bound_to_raise() -> None:
    text = str(StreamDeadlineExceeded("caller", 4.503, 4.503, 17))
    assert "has disconnected, 4.50 s into the call" in text
    assert "17 chunks had arrived" in text
    assert "Raise" not in text


def test_the_error_survives_pickling_with_all_attributes() -> None:
    error = StreamDeadlineExceeded("idle_timeout", 2.5, 7.25, 3, AIMessageChunk(content="so far"))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
    assert copy.partial.content == "so far"


def test_langgraph_does_not_retry_it_by_default() -> None:
    """A used-up budget stays so; its policy does not retry `TimeoutError`, an `OSError`."""
    retry_on = RetryPolicy().retry_on
    assert callable(retry_on)
    assert not retry_on(StreamDeadlineExceeded("timeout", 45, 45.0))
    assert retry_on(ConnectionError())


def test_its_arguments_are_not_taken_for_those_of_an_operating_systems_error() -> None:
    error = StreamDeadlineExceeded("timeout", 45, 45.0, 3, "so far")
    assert (error.errno, error.strerror, error.filename, error.filename2) == (
        None,
        None,
        None,
        None,
    )
    assert error.args == (str(error),)


@pytest.mark.parametrize(
    "error",
    [StreamDeadlineExceeded("timeout", 45, 45.0, 3, "so far"), AnswerCutShort(2.0, 3, "so far")],
)
def test_a_copy_has_all_attributes_and_notes(
    error: StreamDeadlineExceeded | AnswerCutShort,
) -> None:
    error.add_note("asked by the ERP")
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (str(again), again.partial, again.chunks, again.__notes__) == (
            str(error),
            "so far",
            3,
            ["asked by the ERP"],
        )


def test_a_partial_answer_that_cannot_be_merged_is_logged_and_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = StreamDeadlineExceeded("timeout", 45, 45, 2, later(lambda: [][0]))
    assert error.partial is None
    assert "could not be merged" in caplog.text
    assert "IndexError" in caplog.text


def test_an_answer_that_was_cut_short_has_no_chunks_unless_it_says_so() -> None:
    error = AnswerCutShort(1.5)
    assert (error.elapsed, error.chunks, error.partial) == (1.5, 0, None)


@pytest.mark.parametrize(
    ("chunks", "progress"),
    [(0, "No chunk had arrived."), (1, "1 chunk had arrived."), (2, "2 chunks had arrived.")],
)
def test_the_text_counts_the_chunks(chunks: int, progress: str) -> None:
    for error in (
        StreamDeadlineExceeded("timeout", 45, 45.0, chunks),
        AnswerCutShort(2.0, chunks),
        StreamDeadlineExceeded("caller", 45, 45.0, chunks),
    ):
        assert f" {progress}" in str(error)
        assert error.args == (str(error),)


def test_an_expired_call_has_no_chunks_unless_it_says_so() -> None:
    error = StreamDeadlineExceeded("idle_timeout", 2, 45.5)
    assert (error.bound, error.limit, error.elapsed, error.chunks, error.partial) == (
        "idle_timeout",
        2,
        45.5,
        0,
        None,
    )


def test_a_partial_answer_is_made_once() -> None:
    made: list[str] = []

    def make() -> str:
        made.append("once")
        return "so far"

    error = AnswerCutShort(2.0, 3, later(make))
    assert not made
    assert (error.partial, error.partial) == ("so far", "so far")
    assert made == ["once"]


@pytest.mark.parametrize("error", [StreamDeadlineExceeded, AnswerCutShort])
def test_the_errors_are_shown_by_the_name_that_users_import(error: type[Exception]) -> None:
    assert f"{error.__module__}.{error.__name__}" in (
        "stream_deadline.StreamDeadlineExceeded",
        "stream_deadline.AnswerCutShort",
    )


def test_a_copy_without_notes_has_none() -> None:
    assert not hasattr(copy.copy(AnswerCutShort(2.0)), "__notes__")


def test_a_partial_answer_that_fails_is_logged_by_the_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise KeyError

    assert AnswerCutShort(2.0, 3, later(fail)).partial is None
    [record] = caplog.records
    assert (record.name, record.levelname) == ("stream_deadline", "ERROR")
