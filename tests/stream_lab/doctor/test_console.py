"""The rows of blocks that show when tokens came."""

from stream_lab.doctor.console import WIDTH, timelines
from stream_lab.doctor.probe import Transcript
from stream_lab.doctor.target import Target
from stream_lab.http.capture import End

TARGET = Target.of("http://127.0.0.1:1/answer")


def stream(seconds: float, *, began: float = 0.0) -> Transcript:
    """Return a stream with ten pieces in a second, which was cut."""
    pieces = [(number / 10, b"word ") for number in range(1, round(seconds * 10))]
    return Transcript(200, pieces, seconds, End.CLOSED, began=began, target=TARGET)


def test_the_rows_have_one_scale() -> None:
    long, short = timelines([stream(4.0), stream(1.0)])
    assert long.index("✖") == WIDTH
    assert short.index("✖") == WIDTH / 4


def test_on_one_clock_a_row_begins_with_its_request() -> None:
    first, second = timelines([stream(3.0, began=50.0), stream(3.0, began=51.0)], one_clock=True)
    assert (len(first) - len(first.lstrip()), len(second) - len(second.lstrip())) == (0, WIDTH // 4)
    assert first.index("✖") == WIDTH * 3 // 4
    assert second.index("✖") == WIDTH


def test_no_streams_have_no_rows() -> None:
    assert timelines([]) == []
