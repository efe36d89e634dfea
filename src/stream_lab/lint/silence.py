"""The comments that silence a rule: on a line, or for a whole file."""

import re
from typing import Final

from stream_lab.lint.module import Module
from stream_lab.lint.rule import Hit, Rule

_LINE: Final = re.compile(r"#\s*(?:stream-lab|doctor):\s*ignore\[([\w\s,-]*)\]")
_FILE: Final = re.compile(
    r"^\s*#\s*stream-lab:\s*ignore-file(?:\[([\w\s,-]*)\])?\s*(?:#.*)?$", re.MULTILINE
)


def silences(module: Module, rule: Rule, hit: Hit) -> bool:
    """Tell whether a comment in the code silences a rule at a place.

    `# stream-lab: ignore[rule]` counts on the first and the last line of the place, and on the
    first line of its statement. `# stream-lab: ignore-file[rule]`, on a line of its own, counts for
    the file; without brackets it silences every rule.
    """
    for comment in _FILE.finditer(module.source.text):
        if comment.group(1) is None or rule.id in _rules(comment.group(1)):
            return True
    node, lines = hit.node, module.source.lines
    places = {node.lineno, module.statement(node).lineno}
    if not hasattr(node, "body"):
        places.add(node.end_lineno or node.lineno)
    return any(
        rule.id in _rules(comment.group(1))
        for line in places
        for comment in _LINE.finditer(lines[line - 1])
    )


def _rules(text: str) -> list[str]:
    return re.split(r"[\s,]+", text)
