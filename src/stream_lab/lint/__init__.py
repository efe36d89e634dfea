"""The check of code: streaming traps in Python sources and notebooks, with place and remedy.

`check(paths)` returns the findings and `render` turns them into text. Sources are parsed, never
imported or run. A comment `# stream-lab: ignore[rule]` on the line silences a rule there.
"""

from stream_lab.lint.finding import NOT_READ, Finding
from stream_lab.lint.formats import render
from stream_lab.lint.rule import Rule
from stream_lab.lint.rules import RULES
from stream_lab.lint.settings import Settings, settings_for
from stream_lab.lint.survey import Survey, check, survey

__all__ = [
    "NOT_READ",
    "RULES",
    "Finding",
    "Rule",
    "Settings",
    "Survey",
    "check",
    "render",
    "settings_for",
    "survey",
]
