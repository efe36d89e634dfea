"""`stream-lab lint`: the traps in Python sources and notebooks."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from stream_lab.lint import Survey


class Format(StrEnum):
    """The ways to print findings."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, and folders to search; by default the current folder."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print the findings.")] = (
        Format.TEXT
    ),
    select: Annotated[
        list[str] | None,
        typer.Option(help="Apply only these rules; commas between them, or repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Do not apply these rules; likewise.")
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="End with status 0 even if there are findings.")
    ] = False,
) -> None:
    """Find streaming traps in Python sources and notebooks, without running them.

    `[tool.stream-lab.lint]` in pyproject.toml may set `select`, `ignore` and `exclude`. A comment
    `# stream-lab: ignore[rule]` silences a rule on its line.

    Exit status: 0 if there is no finding; 1 if there are findings; 2 if a file cannot be read, or
    the usage is wrong.
    """
    look_at(paths or [Path()], form, select=select or [], ignore=ignore or [], exit_zero=exit_zero)


def look_at(
    paths: list[Path],
    form: Format,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    exit_zero: bool = False,
) -> NoReturn:
    """Print the findings, and end with the status.

    Args:
        paths: Files and folders.
        form: How to print.
        select: The rules to apply, instead of those of pyproject.toml. Empty: no option was given.
        ignore: More rules that are not applied.
        exit_zero: Whether findings leave the status at 0. Unreadable files do not.

    Raises:
        SettingsError: A rule or a setting does not exist.
    """
    from stream_lab.lint import settings_for, survey

    settings = settings_for(paths).with_options(select=select, ignore=ignore)
    seen = survey(paths, settings)
    _show(seen, form)
    traps = any(finding.is_trap for finding in seen.findings)
    unread = any(not finding.is_trap for finding in seen.findings)
    raise typer.Exit(1 if traps and not exit_zero else 2 if unread else 0)


def _show(seen: "Survey", form: Format) -> None:
    from stream_lab.lint.formats import as_github, as_json, as_sarif, render
    from stream_lab.untrusted import printable

    match form:
        case Format.JSON:
            print(as_json(seen.findings))
        case Format.SARIF:
            print(as_sarif(seen.findings))
        case Format.GITHUB:
            if seen.findings:
                print(printable(as_github(seen.findings)))
        case Format.TEXT:
            if seen.findings:
                print(printable(render(seen.findings)))
            traps = sum(finding.is_trap for finding in seen.findings)
            print(
                f"{traps} {'trap' if traps == 1 else 'traps'} in {seen.files:,} "
                f"{'file' if seen.files == 1 else 'files'}, {seen.lines:,} lines."
            )
