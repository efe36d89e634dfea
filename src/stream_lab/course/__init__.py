"""The course: predictions before each reveal, exercises with checkers, and a reader's progress."""

from stream_lab.course.exercise import Wrong, equals, exercise
from stream_lab.course.lesson import Lesson

__all__ = ["Lesson", "Wrong", "equals", "exercise"]
