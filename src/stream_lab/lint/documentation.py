"""The table of rules in docs/lint.md; `python -m` this module prints it."""

from stream_lab.lint.rules import RULES


def rules_table() -> str:
    """Return all rules as a Markdown table."""
    rows = [("rule", "what happens", "remedy", "source, and limits"), ("---",) * 4]
    rows += [
        (f"`{rule.id}`", rule.says.format(it=rule.example), rule.remedy, rule.reason)
        for rule in RULES
    ]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    )


if __name__ == "__main__":
    print(rules_table())
