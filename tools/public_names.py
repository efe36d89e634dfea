"""Write the public names of the distributions, with their parameters, into a text file.

    .venv/bin/python tools/public_names.py          # writes tests/public_names.txt

A test compares the file with the code, so that a change of what others import is seen in review.
"""

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from release.distributions import ROOT

MODULES = (
    "stream_deadline",
    "stream_deadline.asgi",
    "stream_deadline.testing",
    "fake_vllm.testing",
)
FILE = ROOT / "tests" / "public_names.txt"


def lines() -> Iterator[str]:
    """Yield a line for each public name and each public member of a class."""
    for module in MODULES:
        loaded = import_module(module)
        for name in sorted(loaded.__all__):
            thing = getattr(loaded, name)
            yield f"{module}.{name}{_parameters(thing)}"
            if inspect.isclass(thing):
                yield from (f"{module}.{name}.{each}" for each in _members(thing))


def _members(cls: type[Any]) -> Iterator[str]:
    ours = [
        each
        for each in cls.__mro__
        if each.__module__.split(".")[0] in ("stream_deadline", "fake_vllm")
    ]
    found = {
        name: value
        for each in reversed(ours)
        for name, value in {
            **dict.fromkeys(inspect.get_annotations(each)),
            **vars(each),
        }.items()
    }
    for name in sorted(found):
        if not name.startswith(("_", "model_")):
            value = found[name]
            yield f"{name}{_parameters(value) if inspect.isroutine(value) else ''}"


def _parameters(thing: Any) -> str:
    """Return the parameters' names as they stand in a call, without types and defaults."""
    thing = getattr(thing, "__func__", thing)
    if hasattr(thing, "model_fields"):
        return ""  # pydantic computes them from all fields, also those that LangChain adds
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return ""
    words: list[str] = []
    for each in found:
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")  # type: ignore[call-overload]
        default = "" if each.default is each.empty else "=…"
        if (
            each.kind is each.KEYWORD_ONLY
            and "*" not in words
            and not any(word.startswith("*") for word in words)
        ):
            words.append("*")
        words.append(f"{star}{each.name}{default}")
    return f"({', '.join(words)})"


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)}: look at git diff, and note what changed in CHANGELOG.md.")
