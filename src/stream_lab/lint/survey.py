"""Read the files, apply the rules, and report the findings."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stream_lab.lint.files import find, not_read, read
from stream_lab.lint.finding import Finding
from stream_lab.lint.module import Module
from stream_lab.lint.project import Project
from stream_lab.lint.rule import Hit, Rule
from stream_lab.lint.rules import RULES
from stream_lab.lint.settings import Settings
from stream_lab.lint.silence import silences


@dataclass(frozen=True)
class Survey:
    """The result of a look at some paths.

    Attributes:
        findings: traps, and files that could not be read, in order of place.
        files: how many files were read; a notebook counts as one.
        lines: how many lines these files have.
        silenced: how many traps a comment in the code has silenced.
    """

    findings: list[Finding]
    files: int
    lines: int
    silenced: int


def survey(paths: Iterable[str | os.PathLike[str]], settings: Settings | None = None) -> Survey:
    """Look for traps in files, and in the Python below folders.

    Nothing is imported or run, and no content of a file raises an error.

    Args:
        paths: files and folders.
        settings: which rules to apply, and which files to leave out. None: every rule, all files.
    """
    settings = settings or Settings()
    rules = [rule for rule in RULES if settings.applies(rule.id)]
    findings: list[Finding] = []
    kept: dict[str, list[Module]] = {rule.id: [] for rule in rules if rule.across is not None}
    files = lines = silenced = 0
    found = list(find(paths, settings.leaves_out))
    project = Project(path for path in found if isinstance(path, Path))
    for path in found:
        if isinstance(path, Finding):
            findings.append(path)
            continue
        source, problems = read(path)
        findings += problems
        if source is None:
            continue
        files += 1
        lines += len(source.lines)
        speaking = [rule for rule in rules if rule.may_apply(source.text)]
        if not speaking:
            continue
        module = Module(source, project)
        for rule in speaking:
            if rule.across is not None:
                kept[rule.id].append(module)
            elif rule.look is not None and (rule.in_tests or not module.is_test):
                try:
                    hits = list(rule.look(module))
                except RecursionError:
                    findings.append(not_read(path, "it is nested too deeply."))
                    break
                for hit in hits:
                    if silences(module, rule, hit):
                        silenced += 1
                    else:
                        findings.append(_finding(module, rule, hit))
    for rule in rules:
        for module, hit in rule.across(kept[rule.id]) if rule.across is not None else ():
            if silences(module, rule, hit):
                silenced += 1
            else:
                findings.append(_finding(module, rule, hit))
    return Survey(sorted(findings, key=_place), files, lines, silenced)


def check(paths: Iterable[str | os.PathLike[str]]) -> list[Finding]:
    """Return the traps in some files and folders, in order of place.

    Files that could not be read are among them, with the rule `NOT_READ`.
    """
    return survey(paths).findings


def _place(finding: Finding) -> tuple[str, int, int, int, str]:
    return str(finding.path), finding.cell or 0, finding.line, finding.column, finding.rule


def _finding(module: Module, rule: Rule, hit: Hit) -> Finding:
    cell, line, column = module.source.place(hit.node.lineno, hit.node.col_offset)
    message = f"{rule.says.format(it=hit.it)} {hit.note}".rstrip()
    return Finding(module.path, cell, line, column, rule.id, message, rule.remedy)
