"""Forms and tables of the notebooks, with and without widgets."""

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from matplotlib.figure import Figure

from stream_lab.course.form import Form, Table
from stream_lab.plots import Picture

INSTEAD = Table([["a", "b"], ["1|2", 3]])
shown: list[Any] = []


def show(*values: object) -> Sequence[Table | Picture]:
    shown.append(values)
    return [Table([["values"], [values]]), Picture(Figure(figsize=(1, 1)), "an empty figure")]


def form(*, live: bool) -> Form:
    fields: dict[str, dict[str, Any]] = {"path": {"–": None, "nginx": "n"}, "pause": {"1 s": 1.0}}
    return Form(fields, show, instead=INSTEAD, live=live)


def widgets(form: Form) -> dict[str, Any]:
    """Return the widgets of a form by their descriptions; the output is named "output"."""
    fields, output = form.widget().children
    return {"output": output, **{each.description: each for each in fields.children}}


def test_a_table_is_markdown_and_plain_text() -> None:
    assert INSTEAD._repr_markdown_() == "| a | b |\n| --- | --- |\n| 1¦2 | 3 |"
    assert repr(INSTEAD) == "a | b\n1|2 | 3"


def test_a_form_that_is_not_live_is_its_table() -> None:
    assert form(live=False)._repr_mimebundle_() == {
        "text/plain": repr(INSTEAD),
        "text/markdown": INSTEAD._repr_markdown_(),
    }


def test_a_live_form_shows_what_its_fields_choose_and_a_choice_may_stand_for_nothing() -> None:
    found = widgets(form(live=True))
    assert shown[-1] == (None, 1.0)
    assert found["path"].value == "–"
    found["path"].value = "nginx"
    assert shown[-1] == ("n", 1.0)
    found["path"].value = "–"
    assert shown[-1] == (None, 1.0)
    table, picture = found["output"].outputs
    assert table["data"]["text/markdown"].startswith("| values |")
    assert picture["metadata"]["image/png"]["alt"] == "an empty figure"


def test_a_field_begins_with_the_chosen_value() -> None:
    chosen = Form({"path": {"–": None, "nginx": "n"}}, show, instead=INSTEAD, live=True,
                  chosen={"path": "n"})  # fmt: skip
    assert widgets(chosen)["path"].value == "nginx"


def test_without_widgets_a_live_form_is_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert "text/markdown" in form(live=True)._repr_mimebundle_()
    assert len(form(live=True)._repr_mimebundle_()) == 2
