"""Tables, and forms that choose what a table or a picture shows."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_lab.plots.kit import Picture
from stream_lab.untrusted import one_line, with_code

Choices = Mapping[str, Any]
"""The choices of a field: what the reader sees, with the value behind it."""


class Table:
    """Lines of cells, headings first, as a table in a notebook and as plain text."""

    def __init__(self, lines: Sequence[Sequence[object]]) -> None:
        self.lines = [[str(cell) for cell in line] for line in lines]

    def __repr__(self) -> str:
        return "\n".join(" | ".join(one_line(cell, None) for cell in line) for line in self.lines)

    def _repr_markdown_(self) -> str:
        head, *rest = [[with_code(cell) for cell in line] for line in self.lines]
        rows = [head, ["---"] * len(head), *rest]
        return "\n".join(f"| {' | '.join(line)} |" for line in rows)


class Form:
    """Fields with choices, and what they choose; elsewhere than in the course, a table instead."""

    def __init__(
        self,
        fields: Mapping[str, Choices],
        show: Callable[..., Sequence[Table | Picture]],
        *,
        instead: Table,
        live: bool,
        chosen: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a form.

        Args:
            fields: the choices of each field, by its name.
            show: called with a value for each field; returns what is displayed.
            instead: what is shown where there is no live form.
            live: whether the form is shown, if widgets are installed.
            chosen: the first values by field. None: the first choice of each.
        """
        self._fields = fields
        self._show = show
        self._instead = instead
        self._live = live
        self._chosen = dict(chosen or {})

    def __repr__(self) -> str:
        return repr(self._instead)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        text = {"text/plain": repr(self), "text/markdown": self._instead._repr_markdown_()}
        form = self.widget() if self._live else None
        return text if form is None else {**form._repr_mimebundle_(), **text}

    def widget(self) -> Any:
        """Return the form as a widget. None: widgets are not installed."""
        try:
            from ipywidgets import Box, Dropdown, Layout, Output, VBox
        except ImportError:
            return None
        boxes = {
            name: Dropdown(
                options=list(choices),
                value=self._first(name),
                description=name,
                style={"description_width": "initial"},
                layout=Layout(width="max-content"),
            )
            for name, choices in self._fields.items()
        }
        shown = Output()

        def redraw(_: object = None) -> None:
            values = [self._fields[name][box.value] for name, box in boxes.items()]
            shown.outputs = tuple(_output(each) for each in self._show(*values))

        for box in boxes.values():
            box.observe(redraw, names="value")
        redraw()
        fields = Box(list(boxes.values()), layout=Layout(flex_flow="row wrap"))
        return VBox([fields, shown])

    def _first(self, name: str) -> str:
        """Return the choice that a field shows first. Labels, since None selects nothing."""
        choices = self._fields[name]
        if name not in self._chosen:
            return next(iter(choices))
        return next(label for label, value in choices.items() if value == self._chosen[name])


def _output(shown: Table | Picture) -> dict[str, Any]:
    """Return a table or a picture as the output of a cell."""
    data: dict[str, Any] = {"text/plain": repr(shown)}
    metadata: dict[str, Any] = {}
    if isinstance(shown, Table):
        data["text/markdown"] = shown._repr_markdown_()
    else:
        data["image/png"] = base64.b64encode(shown.png()).decode()
        metadata["image/png"] = {"alt": shown.alt}
    return {"output_type": "display_data", "data": data, "metadata": metadata}
