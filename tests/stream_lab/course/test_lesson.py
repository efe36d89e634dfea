"""Predictions, exercises and progress, without a notebook."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stream_lab.course import Lesson, Wrong, equals, exercise
from stream_lab.course.lesson import NOT_YET
from stream_lab.course.overview import NoCourse, overview
from stream_lab.course.store import MARKER
from stream_lab.experiment.evidence import Unknown

CHOICES = {"it ends at the deadline": "stopped", "it does not end": "ran on"}


@exercise("98.1", hints=("the first hint", "the second hint"), idea="the idea")
def pause(answer: object, expected: float) -> None:
    equals(answer, expected, mistakes=[(2.0, "that is the deadline")])


@exercise("98.2", hints=("the first hint", "the second hint"), idea="the idea", limit=0.2)
async def three(answer: Any) -> None:
    if await answer() != 3:
        raise Wrong


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / MARKER).mkdir()
    return tmp_path


@pytest.fixture
def lesson(course: Path) -> Lesson:
    return Lesson("98", folder=course)


def said(lesson: Lesson, number: str, answer: object, *context: object) -> str:
    """Return what a check prints."""
    import io
    from contextlib import redirect_stdout

    text = io.StringIO()
    with redirect_stdout(text):
        asyncio.run(lesson.check(number, answer, *context))
    return text.getvalue().strip()


class TestAPrediction:
    def test_is_compared_with_what_happened(self, lesson: Lesson) -> None:
        prediction = lesson.predict("1", "When does it end?", CHOICES)
        lesson.choose("1", "a")
        wrong = repr(prediction.reveal("ran on", why="Because."))
        assert wrong.startswith("✘ You predicted: it ends at the deadline.")
        assert "What happened: it does not end. Because." in wrong
        lesson.choose("1", "b")
        assert repr(prediction.reveal("ran on", why="Because.")).startswith("✔")

    def test_is_neither_right_nor_wrong_if_the_run_could_not_tell(self, lesson: Lesson) -> None:
        prediction = lesson.predict("1", "When does it end?", CHOICES)
        lesson.choose("1", "a")
        revealed = repr(prediction.reveal(Unknown("this machine stood still"), why=""))
        assert "✘" not in revealed
        assert "this machine stood still" in revealed
        assert "| – |" in lesson.progress()._repr_markdown_()

    def test_is_not_scored_if_what_happened_was_no_choice(self, lesson: Lesson) -> None:
        prediction = lesson.predict("1", "When does it end?", CHOICES)
        lesson.choose("1", "b")
        revealed = repr(prediction.reveal("failed with KeyError", why="It ends."))
        assert "failed with KeyError. That is none of the choices" in revealed
        assert "What usually happens: It ends." in revealed
        assert "| – |" in lesson.progress()._repr_markdown_()

    def test_is_a_list_outside_a_copy_of_the_course(self, tmp_path: Path) -> None:
        prediction = Lesson("98", folder=tmp_path).predict("1", "When?", CHOICES)
        bundle = prediction._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/markdown"}
        assert "choose" not in bundle["text/markdown"]
        assert "no prediction" not in repr(prediction.reveal("ran on", why=""))

    def test_has_radio_buttons_and_letters_in_a_copy_of_the_course(self, lesson: Lesson) -> None:
        bundle = lesson.predict("1", "When?", CHOICES)._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert 'lesson.choose("1", "a")' in bundle["text/markdown"]

    def test_is_still_there_after_a_restart_unless_the_question_changed(
        self, lesson: Lesson, course: Path
    ) -> None:
        lesson.predict("1", "When?", CHOICES)
        lesson.choose("1", "b")
        again = Lesson("98", folder=course)
        assert repr(again.predict("1", "When?", CHOICES).reveal("ran on", why=""))[0] == "✔"
        other = again.predict("1", "Why?", CHOICES)
        assert "You made no prediction" in repr(other.reveal("ran on", why=""))

    @pytest.mark.parametrize("choices", [{"only one": 1}, {"two": 1, "the same": "1"}])
    def test_needs_choices_that_differ(self, lesson: Lesson, choices: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="two choices"):
            lesson.predict("1", "When?", choices)

    def test_refuses_a_letter_that_is_no_choice(self, lesson: Lesson) -> None:
        lesson.predict("1", "When?", CHOICES)
        for letter in ("c", "", "ab", "A"):
            with pytest.raises(ValueError, match="a, b"):
                lesson.choose("1", letter)
        with pytest.raises(LookupError, match="first"):
            lesson.choose("2", "a")


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def hangs() -> None:
    await asyncio.sleep(60)


async def divides() -> float:
    return 1 / 0


async def untouched() -> None:
    raise NotImplementedError


class TestACheck:
    @pytest.mark.parametrize("answer", [None, ..., untouched])
    def test_says_so_if_there_is_no_answer(self, lesson: Lesson, answer: object) -> None:
        assert said(lesson, "2", answer) == NOT_YET
        assert "open" in repr(lesson.progress())

    def test_gives_two_hints_then_the_idea_and_names_a_known_mistake(self, lesson: Lesson) -> None:
        heard = [said(lesson, "1", answer, 0.5) for answer in (3.0, 4.0, 5.0, 6.0)]
        assert [text.splitlines()[-1] for text in heard] == [
            "✘ Not yet. the first hint",
            "✘ Not yet. the second hint",
            "✘ Not yet. The idea: the idea",
            "✘ Not yet. The idea: the idea",
        ]
        assert "that is the deadline" in said(lesson, "1", 2.0, 0.5)
        assert said(lesson, "1", 0.5, 0.5) == "✔ That is right."

    def test_counts_the_same_answer_once(self, lesson: Lesson) -> None:
        for _ in range(3):
            heard = said(lesson, "1", 3.0, 0.5)
        assert heard == "✘ Not yet. the first hint"

    @pytest.mark.parametrize("answer", [0.5, 0.51, 0.49])
    def test_compares_numbers_with_a_tolerance(self, lesson: Lesson, answer: object) -> None:
        assert said(lesson, "1", answer, 0.5) == "✔ That is right."

    @pytest.mark.parametrize(
        ("answer", "word"),
        [("0.5", "string"), (divides, "function"), (True, "first hint"), ([0.5], "first hint")],
    )
    def test_names_a_mistake_of_type(self, lesson: Lesson, answer: object, word: str) -> None:
        assert word in said(lesson, "1", answer, 0.5)

    def test_names_a_forgotten_await(self, lesson: Lesson) -> None:
        assert "await" in said(lesson, "1", divides(), 0.5)

    @pytest.mark.parametrize(
        ("answer", "word"),
        [
            (divides, "ZeroDivisionError: division by zero. Line"),
            (divides, "return 1 / 0"),
            (hangs, "had not ended"),
            (cancels_itself, "CancelledError"),
            (lambda: 3, "TypeError"),
        ],
    )
    def test_turns_what_an_answer_raises_into_a_sentence(
        self, lesson: Lesson, answer: object, word: str
    ) -> None:
        heard = said(lesson, "2", answer)
        assert heard.startswith("✘")
        assert word in heard
        assert "checker" not in heard

    def test_keeps_an_exercise_solved_that_is_broken_again(self, lesson: Lesson) -> None:
        said(lesson, "1", 0.5, 0.5)
        said(lesson, "1", 7.0, 0.5)
        assert "exercise 1: solved" in repr(lesson.progress())


class TestProgress:
    def test_shows_the_latest_reveal_after_the_lesson_was_opened_again(
        self, lesson: Lesson, course: Path
    ) -> None:
        prediction = lesson.predict("1", "When does it end?", CHOICES)
        prediction.reveal(Unknown("this machine stood still"), why="Because.")
        again = Lesson("98", folder=course)
        other = again.predict("2", "And then?", CHOICES)
        prediction.reveal("ran on", why="Because.")
        other.reveal("stopped", why="It is over.")
        for each in (lesson, again):
            shown = each.progress()._repr_markdown_()
            assert "it does not end | Because." in shown
            assert "it ends at the deadline | It is over." in shown
            assert "stood still" not in shown

    def test_marks_the_usual_reason_of_what_did_not_happen(self, lesson: Lesson) -> None:
        lesson.predict("1", "When?", CHOICES).reveal("failed", why="It ends.")
        assert "| failed | What usually happens: It ends. |" in lesson.progress()._repr_markdown_()

    def test_lists_what_is_left_in_each_notebook(self, lesson: Lesson, course: Path) -> None:
        table = [
            {"number": "98", "title": "A test", "predictions": ["1", "2"], "exercises": ["1", "2"]}
        ]
        (course / MARKER / "contents.json").write_text(json.dumps(table))
        prediction = lesson.predict("1", "When?", CHOICES)
        lesson.choose("1", "b")
        prediction.reveal("ran on", why="")
        said(lesson, "1", 0.5, 0.5)
        (line,) = overview(course / "anywhere")
        assert (line.predicted, line.right, line.solved) == (1, 1, 1)
        assert line.left == "1 prediction; exercise 2"

    def test_needs_a_copy_of_the_course(self, tmp_path: Path) -> None:
        with pytest.raises(NoCourse, match="make learn"):
            overview(tmp_path)

    def test_begins_afresh_from_a_damaged_file(self, course: Path) -> None:
        file = course / MARKER / "progress" / "98.json"
        file.parent.mkdir()
        for text in ("", "[]", '{"predictions": 1}', '{"predictions": {}, "exercises": {"1": 2}}'):
            file.write_text(text)
            assert repr(Lesson("98", folder=course).progress()) == ""
