"""The doctor for code: traps of streaming in Python sources and notebooks, with the place and the remedy.

`check(paths)` gives the findings, `render` makes text of them. Sources are parsed, never imported or run. A comment
`# doctor: ignore[rule]` on the line silences one.
"""

from stream_lab.lint.finding import NOT_READ, Finding
from stream_lab.lint.rule import Rule
from stream_lab.lint.rules import RULES
from stream_lab.lint.survey import Survey, check, render, survey

__all__ = ["NOT_READ", "RULES", "Finding", "Rule", "Survey", "check", "render", "survey"]
