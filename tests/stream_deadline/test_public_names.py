"""The public names, and the old ones that still work for one version."""

import importlib
import inspect
import pkgutil
import warnings
from typing import Any

import pytest

import stream_deadline
from stream_deadline.asgi import DeadlineMiddleware

PUBLIC_MODULES = {"asgi", "testing"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


def test_every_other_module_is_private() -> None:
    modules = {each.name for each in pkgutil.iter_modules(stream_deadline.__path__)}
    assert {name for name in modules if not name.startswith("_")} == PUBLIC_MODULES


def test_every_public_name_exists_and_is_documented() -> None:
    for module in (
        stream_deadline,
        *map(importlib.import_module, ("stream_deadline.asgi", "stream_deadline.testing")),
    ):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert inspect.getdoc(thing), name


def test_errors_show_the_name_by_which_they_are_imported() -> None:
    for error in (stream_deadline.StreamDeadlineExceeded, stream_deadline.AnswerCutShort):
        assert error.__module__ == "stream_deadline"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pass_deadline_on", "propagate_deadline"),
        ("apass_deadline_on", "propagate_deadline_async"),
    ],
)
def test_an_old_function_still_works_and_warns(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert getattr(stream_deadline, old) is getattr(stream_deadline, new)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = stream_deadline.no_such_name


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("default", "default_timeout", 7.0),
        ("longest", "max_timeout", 3.0),
        ("largest_body", "max_body_bytes", 10),
    ],
)
def test_an_old_argument_does_the_same_and_warns(old: str, new: str, value: Any) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{old}=…\) is now {new}=…"):
        before: Any = DeadlineMiddleware(app, **{old: value})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after: Any = DeadlineMiddleware(app, **{new: value})
    assert vars(before) == vars(after)


@pytest.mark.parametrize("name", ["ChatVllm", "DeadlineMixin", "bounded_model"])
def test_a_name_that_needs_langchain_is_loaded_once_when_it_is_first_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = getattr(stream_deadline, name)
    monkeypatch.delitem(vars(stream_deadline), name, raising=False)
    assert getattr(stream_deadline, name) is before
    assert vars(stream_deadline)[name] is before
    assert name in dir(stream_deadline)


def test_the_warning_of_an_old_name_points_at_its_user() -> None:
    with pytest.warns(DeprecationWarning, match="old name is removed") as said:
        _ = stream_deadline.pass_deadline_on
    assert said[0].filename == __file__


def test_the_package_has_a_version_of_numbers() -> None:
    assert stream_deadline.__version__[0].isdecimal()
