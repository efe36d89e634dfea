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
