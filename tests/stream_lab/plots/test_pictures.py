"""The pictures: drawn from records, with an alternative text from the same records."""

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.image import imread

from stream_lab import Call, Recording
from stream_lab.experiment import pictures, swim_lanes
from stream_lab.experiment.release import Release
from stream_lab.experiment.scope import Event, Log
from stream_lab.experiment.trace import Ending, Pull
from stream_lab.experiment.wait import Wait
from stream_lab.experiment.witness import Sample
from stream_lab.http.capture import Capture, End
from stream_lab.http.pictures import answers
from stream_lab.plots import Picture


def call(*, tasks: int = 40, ending: Ending = Ending.GAVE_UP, seen: bool = True) -> Call:
    arrivals = [0.1 * (index + 1) for index in range(40)]
    pulls = [Pull(index % tasks + 1, at - 0.1, at) for index, at in enumerate(arrivals)] + [
        Pull(tasks + 1, 4.0)
    ]
    samples = (
        [Sample(0.5 * index, int(0 < index < 8), 0, 5 * index) for index in range(10)]
        if seen
        else []
    )
    return Call(Recording(arrivals=arrivals, pulls=pulls, ending=ending, ended=4.05), 2.03, samples)


def fired(*, done: bool) -> Log:
    log = Log()
    log.events += [
        Event(0, "entered", "active", 1, 1, False, 0),
        Event(2.03, "timer fired", "expiring", 0, 1, done, 1),
    ]
    return log


def words(picture: Picture) -> str:
    figure: Any = picture.figure
    texts = [
        text.get_text()
        for axes in figure.axes
        for text in [*axes.texts, axes.title, axes._left_title, *axes.get_yticklabels()]
    ]
    return " ".join([*texts, *(text.get_text() for text in figure.texts)])


def test_the_timeline_counts_late_chunks_and_says_how_each_call_ended() -> None:
    picture = pictures.timeline({"plain": call()}, title="It runs on")
    dots = {
        collection.get_label(): len(collection.get_offsets())  # type: ignore[arg-type]
        for collection in picture.figure.axes[0].collections
    }
    assert dots == {"chunk before the deadline": 20, "chunk after the deadline": 20}
    said = words(picture)
    assert any(f"still streaming; we left at {when} s" in said for when in ("4.0", "4.1"))
    assert "20 chunks after it" in picture.alt
    assert picture.alt.startswith("It runs on")


def test_swim_lanes_show_a_lane_for_each_task_and_what_the_timer_hit() -> None:
    picture = pictures.swim_lanes(call(), fired(done=True), title="A task for every chunk")
    assert len(picture.figure.axes[0].patches) == 41
    assert "which had already finished" in words(picture)
    assert "already finished" in picture.alt
    assert "41 tasks pulled 40 chunks" in picture.alt
    assert (
        "which was waiting"
        in pictures.swim_lanes(call(tasks=1), fired(done=False), title="One task").alt
    )


def test_many_tasks_are_thinned_to_readable_lanes_that_keep_the_first_and_the_last() -> None:
    arrivals = [0.01 * (index + 1) for index in range(400)]
    pulls = [Pull(index + 1, at - 0.01, at) for index, at in enumerate(arrivals)]
    many = Call(Recording(arrivals=arrivals, pulls=pulls, ending=Ending.GAVE_UP, ended=4.0), 2.0)
    picture = pictures.swim_lanes(many, Log(), title="Many")
    assert len(picture.figure.axes[0].patches) == swim_lanes.MOST_LANES
    assert "400 tasks" in picture.alt


def test_server_load_names_its_lines_and_counts_in_whole_numbers() -> None:
    picture = pictures.server_load({"chain": call(), "model": call()}, title="Busy")
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "deadline",
        "the client disconnected",
        "before the deadline",
        "after the deadline",
    ]
    for axes in picture.figure.axes:
        assert all(float(tick).is_integer() for tick in axes.get_yticks())
    assert "the client disconnected at 4.0 s" in picture.alt


def test_a_swim_lane_says_why_a_pull_got_no_chunk() -> None:
    for ending, says in swim_lanes.WAITS.items():
        picture = pictures.swim_lanes(call(ending=ending), Log(), title="A task for every chunk")
        assert says in [text.get_text() for text in picture.figure.legends[0].get_texts()]


def test_a_picture_is_opaque_whatever_style_is_in_use() -> None:
    with rc_context({"savefig.transparent": True, "figure.facecolor": "none"}):
        png = pictures.timeline({"plain": call()}, title="It runs on").png()
    pixels = imread(io.BytesIO(png))
    assert pixels[..., 3].min() == 1 if pixels.shape[-1] == 4 else True
    assert pixels[0, 0, :3].min() > 0.9, "the paper is light"


def test_a_long_title_is_wrapped_inside_the_picture() -> None:
    picture = pictures.timeline({"plain": call()}, title="A finding in many words " * 9)
    (title,) = picture.figure.texts
    box = title.get_window_extent()
    assert picture.figure.bbox.x0 < box.x0
    assert box.x1 < picture.figure.bbox.x1


def test_server_load_says_so_when_there_is_nothing_to_see() -> None:
    assert "still generating" in pictures.server_load({"chain": call()}, title="Busy").alt
    assert "shows no metrics" in pictures.server_load({"chain": call(seen=False)}, title="Busy").alt


def test_a_notebook_gets_the_picture_with_its_alternative_text() -> None:
    picture = pictures.timeline({"plain": call()}, title="It runs on")
    data, metadata = picture._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "<picture>"
    assert metadata["image/png"]["alt"] == picture.alt


def test_the_state_ladder_names_every_step() -> None:
    picture = pictures.scope_states(fired(done=False).events, title="Expiring")
    assert "timer fired, cancels task 1 (expiring, cancelling 1)" in picture.alt
    assert "cancelling()\nof task 1" in [axes.get_ylabel() for axes in picture.figure.axes]
    said = words(picture)
    assert "entered" in said
    assert "in task" not in said, "one task does it all"
    assert "active (ENTERED)" in said, "asyncio's source has another name for it"


def test_an_abandoned_generation_is_orange_until_the_gpu_is_free_or_the_watch_ends() -> None:
    requests = {
        "before": Release(0.5, None, 1.5, 12, "still generating"),
        "after": Release(0.5, 0.52, 0.52, 0, "stopped"),
    }
    picture = pictures.left_alone(requests, title="It stops")
    bars: Any = picture.figure.axes[0].patches
    assert [(bar.get_x(), round(bar.get_x() + bar.get_width(), 3)) for bar in bars] == [
        (0, 0.5),
        (0.5, 1.5),
        (0, 0.5),
        (0.5, 0.52),
    ]
    assert "before: still generating; watched until here. after: stopped." in picture.alt
    assert "still generating; watched until here" in words(picture)
    arrows: Any = [line for line in picture.figure.axes[0].lines if line.get_marker() == ">"]
    assert [(*arrow.get_xdata(), *arrow.get_ydata()) for arrow in arrows] == [(1.5, 0)]


def test_an_answer_ends_with_a_bar_and_a_cut_one_with_a_cross() -> None:
    pieces = [(0.1 * number, b"x") for number in range(1, 9)]
    picture = answers(
        {
            "through": Capture(200, pieces, 1.0, End.WHOLE),
            "held": Capture(200, [(0.9, b"x")], 1.0, End.WHOLE),
            "cut": Capture(200, pieces[:3], 0.5, End.CLOSED, "Error: x"),
            "left": Capture(200, pieces, 1.0),
            "frozen": Capture(200, [*pieces, (5.4, b"x")], 5.5, End.WHOLE),
            "paused": Capture(200, [*pieces, (3.4, b"x"), *_later(pieces, 3.4)], 6.0, End.WHOLE),
        },
        title="One is cut",
    )
    markers: Any = [line.get_marker() for line in picture.figure.axes[0].lines]
    assert [marker for marker in markers if marker in "|X>"] == ["|", "|", "X", ">", "|", "|"]
    assert (
        "through: whole, token by token, 1.0 s. held: whole, all at once, 1.0 s. cut: cut, 0.5 s. left: still open, 1.0 s. "
        "frozen: whole, with a standstill of 4.6 s, 5.5 s. paused: whole, with a standstill of 2.6 s, 6.0 s."
        in picture.alt
    )


def _later(pieces: list[tuple[float, bytes]], by: float) -> list[tuple[float, bytes]]:
    return [(at + by, data) for at, data in pieces]


def test_answers_that_belong_together_share_a_clock() -> None:
    piece = [(0.1, b"x")]
    rows = {
        "stream": Capture(200, piece, 1.0, End.WHOLE, began=10.0),
        "call": Capture(200, piece, 1.0, End.WHOLE, began=10.5),
        "another stream": Capture(200, piece, 1.0, End.WHOLE, began=20.0),
        "another call": Capture(200, piece, 1.0, End.WHOLE, began=20.7),
    }
    picture = answers(rows, title="They meet", together=2)
    ends: Any = [line for line in picture.figure.axes[0].lines if line.get_marker() == "|"]
    assert [round(end.get_xdata()[0], 3) for end in ends] == [1.0, 1.5, 1.0, 1.7]
    assert "another call: sent at 0.7 s, whole, " in picture.alt
    alone = answers(rows, title="They do not")
    assert "sent at" not in alone.alt


def test_a_wait_is_blue_until_it_is_due_and_orange_until_it_is_over() -> None:
    picture = pictures.overdue(
        {"run\ninside a run": Wait(0.3, 1.5), "in a thread": Wait(0.3, 0.31)}, title="It comes late"
    )
    bars: Any = picture.figure.axes[0].patches
    assert [round(bar.get_width(), 3) for bar in bars] == [0.3, 1.2, 0.3, 0.01]
    assert [round(bar.get_x(), 3) for bar in bars] == [0, 0.3, 0, 0.3]
    assert "run inside a run: late: due at 0.3 s, over at 1.5 s" in picture.alt
    assert "on time: due at 0.3 s, over at 0.3 s" in words(picture)
