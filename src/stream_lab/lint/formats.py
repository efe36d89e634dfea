"""Findings as text, JSON, SARIF 2.1.0, or annotations of GitHub."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from stream_lab import __version__
from stream_lab.lint.finding import Finding
from stream_lab.lint.rules import RULES
from stream_lab.untrusted import json_line

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def render(findings: Iterable[Finding]) -> str:
    """Return text for a terminal: place and sentence, with the remedy on the next line."""
    return "\n".join(_rendered(findings))


def as_json(findings: Iterable[Finding]) -> str:
    """Return a JSON list, with an object for each finding."""
    return json_line([finding.as_dict() for finding in findings])


def as_github(findings: Iterable[Finding]) -> str:
    """Return workflow commands that GitHub shows at the lines of a pull request."""
    return "\n".join(map(_annotation, findings))


def as_sarif(findings: Iterable[Finding]) -> str:
    """Return a SARIF 2.1.0 log, as code-scanning services read it.

    What could not be read is a notification of the run, and not a result.
    """
    every = list(findings)
    unread = [_notification(each) for each in every if not each.is_trap]
    run = {
        "tool": {
            "driver": {
                "name": "stream-lab lint",
                "version": __version__,
                "rules": [
                    {
                        "id": rule.id,
                        "name": "".join(word.title() for word in rule.id.split("-")),
                        "shortDescription": {"text": rule.says.format(it=rule.example)},
                        "fullDescription": {"text": rule.reason},
                        "help": {"text": rule.remedy},
                        "defaultConfiguration": {"level": "warning"},
                    }
                    for rule in RULES
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not unread, "toolExecutionNotifications": unread}],
        "results": [_result(each) for each in every if each.is_trap],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=False, indent=2)


def _rendered(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        rule = f" {finding.rule}" if finding.is_trap else ""
        yield f"{finding.location}:{rule} {finding.message}"
        if finding.remedy:
            yield f"    → {finding.remedy}"


def _annotation(finding: Finding) -> str:
    properties = {"file": _relative(finding.path), "title": finding.rule}
    message = f"{finding.message} {finding.remedy}".strip()
    if finding.cell is not None:
        # A line of a cell is not a line of the file, which is JSON.
        place = f", line {finding.line}" if finding.line else ""
        message = f"Cell {finding.cell}{place}: {message}"
    elif finding.line:
        properties |= {"line": str(finding.line)}
        properties |= {"col": str(finding.column)} if finding.column else {}
    order = ("file", "line", "col", "title")
    given = ",".join(
        f"{key}={_escaped(properties[key], more=True)}" for key in order if key in properties
    )
    return f"::{'warning' if finding.is_trap else 'error'} {given}::{_escaped(message)}"


def _escaped(text: str, *, more: bool = False) -> str:
    """Escape as GitHub's toolkit does; the values of properties escape two characters more."""
    for plain, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(plain, code)
    return text.replace(":", "%3A").replace(",", "%2C") if more else text


def _relative(path: Path) -> str:
    """Return a path as services name it: from the current folder, with slashes."""
    real, here = Path(os.path.abspath(path)), Path.cwd()
    return (real.relative_to(here) if real.is_relative_to(here) else real).as_posix()


def _location(finding: Finding) -> dict[str, Any]:
    path = _relative(finding.path)
    artifact = {"uri": f"file://{quote(path)}" if path.startswith("/") else quote(path)}
    physical: dict[str, Any] = {"artifactLocation": artifact}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.cell is not None:
        place = f", line {finding.line}" if finding.line else ""
        location["logicalLocations"] = [{"name": f"cell {finding.cell}{place}"}]
    elif finding.line:
        physical["region"] = {"startLine": finding.line}
        if finding.column:
            physical["region"]["startColumn"] = finding.column
    return location


def _result(finding: Finding) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": next(index for index, rule in enumerate(RULES) if rule.id == finding.rule),
        "level": "warning",
        "message": {"text": f"{finding.message} {finding.remedy}"},
        "locations": [_location(finding)],
    }


def _notification(finding: Finding) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": finding.message},
        "locations": [_location(finding)],
    }
