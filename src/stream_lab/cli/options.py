"""Options that mean the same on every command, and what reads them."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from stream_lab.cli.common import UsageError

SHORTEST = 0.5
"""Seconds; with a shorter deadline the notebooks' bands mean nothing."""
MOST_NAMES = 20
"""Names that an error lists in full."""

OLD = {"--runs": "--out", "--outputs": "--out", "--deadline": "--timeout"}
"""Options by the names that they once had. The old names work and are in no help."""

Only = Annotated[
    str,
    typer.Option(
        "--only", help="Comma-separated: those whose name contains one of these words, in any case."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the results as JSON, and nothing else to stdout.")
]
NoColour = Annotated[bool, typer.Option("--no-color", help="Print without colours.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible server, http://host:port/v1; without it, the bundled fake."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="The server's model; without it, the only one that it serves.")
]


class Command(TyperCommand):
    """A command that also takes the old names of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_new_name(each) for each in args])


def _new_name(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return f"{OLD.get(name, name)}{equals}{value}"


def select(names: Iterable[str], only: str, what: str) -> list[str]:
    """Return the names that `--only` selects, in their order.

    Args:
        names: All names.
        only: Words separated by commas. A word selects each name that contains it; upper and lower
            case are the same. Empty: every name.
        what: What a name belongs to, for the error, as "notebook".

    Raises:
        UsageError: A word selects nothing.
    """
    every = list(names)
    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(word in name.lower() for name in every):
            listed = f"there are: {', '.join(every)}"
            if len(every) > MOST_NAMES:
                listed = f"there are {len(every)}, such as {', '.join(every[:3])}"
            written = next(each.strip() for each in only.split(",") if each.strip().lower() == word)
            raise UsageError(f"No {what}'s name contains '{written}'; {listed}.")
    return [name for name in every if not words or any(word in name.lower() for word in words)]


def seconds(text: str) -> float:
    """Read a deadline.

    Raises:
        UsageError: The text is not a number, or too short a time.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= SHORTEST):
        raise UsageError(
            f"TIMEOUT is '{text}', but it must be a number of seconds, {SHORTEST} or more; 2 is a "
            "good start."
        )
    return value


def check_model(base_url: str | None, model: str | None) -> None:
    """Check that a model is named for a server only.

    Raises:
        UsageError: There is a model and no address.
    """
    if model is not None and base_url is None:
        raise UsageError(
            f"--model {model} names a model of your server, but no address is given; add "
            "--base-url http://host:port/v1 (make: BASE_URL=…), or leave the model out."
        )
