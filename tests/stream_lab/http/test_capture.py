"""A capture records when the chunks of an answer arrived, and how it ended."""

import logging
from collections.abc import Iterator

import pytest

from stream_lab.http.capture import CUT, REFUSED, WHOLE, read, side_by_side
from stream_lab.http.slow_reader import read_late
from stream_lab.processes import Serving, serve
from tests.conftest import wait
from tests.stream_lab.streams import app


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serve(app) as running:
        yield running


class TestAnAnswer:
    def test_has_the_times_of_its_chunks(self, served: Serving) -> None:
        answer = read(f"{served.url}/stream?pause=2")
        assert (answer.status, answer.end, answer.manner) == (200, WHOLE, "with a standstill")
        assert answer.text.split()[-1] == "9"
        assert answer.first is not None
        assert 0 < answer.first < 2 <= answer.pause < answer.ended

    def test_that_arrives_at_its_end_is_all_at_once(self, served: Serving) -> None:
        assert read(f"{served.url}/openapi.json").manner == "all at once"

    def test_that_is_cut_is_reported_by_both_sides(self, served: Serving) -> None:
        answer = read(f"{served.url}/broken")
        assert (answer.status, answer.end, answer.text) == (200, CUT, "half")
        assert "incomplete" in answer.error
        wait(lambda: any("KeyError" in line for line in served.log))

    def test_is_logged_once_for_any_configuration_of_uvicorns_log(self, served: Serving) -> None:
        before = len(served.log)
        logger = logging.getLogger("uvicorn")
        logger.propagate = not logger.propagate
        try:
            assert read(f"{served.url}/broken").end == CUT
            wait(lambda: served.log[before:].count("Exception in ASGI application") == 1)
        finally:
            logger.propagate = not logger.propagate
        read(f"{served.url}/broken")
        wait(lambda: served.log[before:].count("Exception in ASGI application") >= 2)
        assert served.log[before:].count("Exception in ASGI application") == 2

    def test_that_never_began_is_refused(self, served: Serving) -> None:
        assert read(f"{served.url}/nowhere").end == f"{REFUSED} with 404"
        gone = read("http://127.0.0.1:9/")
        assert (gone.status, gone.end, gone.first, gone.manner) == (0, REFUSED, None, "not at all")

    def test_begins_after_the_one_before_it_when_they_come_side_by_side(
        self, served: Serving
    ) -> None:
        done: list[float] = []
        slow, quick, gone = side_by_side(
            f"{served.url}/stream?pause=1",
            f"{served.url}/stream",
            f"{served.url}/nowhere",
            meanwhile=lambda: done.append(1),
        )
        assert (slow.end, quick.end, gone.end) == (WHOLE, WHOLE, f"{REFUSED} with 404")
        assert quick.ended < slow.ended
        assert done == [1]

    def test_may_be_left_unread(self, served: Serving) -> None:
        answer = read(f"{served.url}/stream?tokens=1000", leave_after=0.2)
        assert 0.2 <= answer.ended < 10
        assert answer.end == "still open"


def test_a_client_that_reads_late_still_sees_whether_the_answer_is_whole(served: Serving) -> None:
    assert read_late(f"{served.url}/stream", silent=0.1) == WHOLE
    assert read_late(f"{served.url}/broken", silent=0.1) == CUT
