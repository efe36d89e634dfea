"""The table of docs/doctor_code.md: `python -m stream_lab.lint.documentation` prints it."""

from stream_lab.lint.rules import RULES


def rules_table() -> str:
    """All rules, as a table of Markdown."""
    rows = [("rule", "what happens", "remedy", "where from, and where it is silent"), ("---",) * 4]
    rows += [
        (f"`{rule.id}`", rule.says.format(it=rule.example), rule.remedy, rule.reason)
        for rule in RULES
    ]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    )


if __name__ == "__main__":
    print(rules_table())
