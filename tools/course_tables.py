"""Write the tables of the course into README.md and notebook 00, from notebooks/course.yaml.

`python tools/course_tables.py` rewrites the lines of each table; a test holds them.
"""

import re
import sys
from pathlib import Path

import editions

ROOT = Path(__file__).parent.parent
PAGES = {ROOT / "README.md": "", editions.SOURCE / "00_start_here.py": "# "}
"""The pages, with what each of their lines begins with."""
NOTEBOOKS = "| notebook | question | minutes |"
TOURS = "| tour | for you if | minutes |"


def tables(page: Path) -> dict[str, list[str]]:
    """Return the tables as a page has them, by their head."""
    folder = "notebooks/" if page.name == "README.md" else ""
    docs = "docs/" if page.name == "README.md" else "../docs/"
    return {
        TOURS: [
            f"| [{tour.title}]({docs}tours/{tour.name}.md) | {tour.reader} | {tour.minutes()} |"
            for tour in editions.tours()
        ],
        NOTEBOOKS: [
            f"| [{each.number} {each.title}]({folder}{each.file}.ipynb) | {each.question} "
            f"| {each.minutes} |"
            for each in editions.chapters()
        ],
    }


def written(page: Path) -> str:
    """Return a page's text with its tables up to date."""
    text, prefix = page.read_text(encoding="utf-8"), PAGES[page]
    for head, rows in tables(page).items():
        lines = [head, "|---|---|---|", *rows]
        table = "".join(f"{prefix}{line}\n" for line in lines)
        old = rf"^{re.escape(prefix + head)}\n(?:{re.escape(prefix)}\|.*\n)*"
        text = re.sub(old, lambda _, new=table: new, text, flags=re.MULTILINE)  # type: ignore[misc]
    return text


def main() -> int:
    """Rewrite the pages, and return the exit status."""
    for page in PAGES:
        page.write_text(written(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
