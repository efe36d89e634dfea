"""Command lines of vLLM: `serve MODEL`, and flags without an effect here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class CommandLine:
    """A command line of vLLM's as one of fake-vllm's.

    Attributes:
        arguments: the arguments that fake-vllm understands.
        model: the model that `serve MODEL` or `--model` names. None: neither is there. Empty: no
            name follows.
        ignored: the flags without an effect.
    """

    arguments: list[str] = field(default_factory=list)
    model: str | None = None
    ignored: list[str] = field(default_factory=list)


def translate(
    arguments: Sequence[str], known: Collection[str], several: Collection[str] = ()
) -> CommandLine:
    """Return a command line without `serve`, `--model` and flags that have no effect.

    As on vLLM, underscores in a flag's name stand for dashes.

    Args:
        arguments: the arguments as they were given.
        known: the flags that fake-vllm has itself.
        several: those that take several values; the result repeats the flag for each.
    """
    line = CommandLine()
    rest = list(arguments)
    if rest[:1] == ["serve"]:
        del rest[0]
        if rest and not rest[0].startswith("-"):
            line.model = rest.pop(0)
    table: dict[str, str] | None = None
    while rest:
        argument = rest.pop(0)
        name, assigned, value = argument.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
            argument = name + assigned + value
        if name == "--model":
            named = rest and not rest[0].startswith("-")
            line.model = value if assigned else rest.pop(0) if named else ""
        elif name in several and not assigned:
            while rest and not rest[0].startswith("-"):
                line.arguments.append(f"{name}={rest.pop(0)}")
        elif not name.startswith("-") or name in known:
            line.arguments.append(argument)
        else:
            table = _table() if table is None else table
            if name.startswith("-O"):  # as -O3, -O 3 or -O.mode=3
                line.ignored.append("-O")
                if not assigned and (name == "-O" or "." in name):
                    _drop_values(rest, "1")
                continue
            # A part of an object may be set alone, as in --compilation-config.level.
            count = table.get(name) or ("1" if table.get(name.partition(".")[0]) == "1" else None)
            if count is None:
                line.arguments.append(argument)
                continue
            line.ignored.append(name)
            if not assigned:
                _drop_values(rest, count)
    return line


def _drop_values(rest: list[str], count: str) -> None:
    if count == "1" and rest:
        del rest[0]
    while count in "+?" and rest and not rest[0].startswith("-"):
        del rest[0]
        if count == "?":
            return


def _table() -> dict[str, str]:
    """Return how many values each flag of vLLM takes: 0, 1, ? or +."""
    text = Path(__file__).with_name("vllm_flags.txt").read_text(encoding="utf-8")
    rows = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: count for name, _, count in rows}
