"""Text of servers and notebooks acts on no terminal, in no report and no notebook."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from stream_lab.cli.common import PlainConsole
from stream_lab.course.form import Table
from stream_lab.course.lesson import Summary as Progress
from stream_lab.course.prediction import Prediction
from stream_lab.course.store import Predicted, Store
from stream_lab.experiment import evidence
from stream_lab.experiment.evidence import Outcome
from stream_lab.notebooks import report
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.row import Row, Status
from stream_lab.regress import console as regress_console
from stream_lab.regress.compare import Baseline
from stream_lab.regress.junit import junit
from stream_lab.regress.page import page
from stream_lab.regress.summary import Summary, markdown
from stream_lab.untrusted import in_markdown, json_line
from tests.stream_lab.regress.examples import claim, row, summary

EVIL = {
    "escape sequences": "\x1b]0;owned\x07\x1b[2J\x9b31m\x08",
    "a line of its own": "x\n✔ As expected: all holds\r\nx",
    "bidi marks": "\u202ex\u2066y",
    "rich's markup": "[/x] [bold] [/] [red",
    "a model's markup": "mistral [/INST] [INST]",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "Markdown": "![a](http://x/y) [b](javascript:c) `d` |",
    "Markdown with backslashes": "\\[a\\](http://x/y) \\<img src=x> \\`d\\` \\| \\\\[a\\\\](javascript:c)",
    "Markdown around code": "`a`](http://x/y) `[`b`](c) `<img src=x>` ``d`` `e\\|f` ![g `|`](h)",
    "addresses": "http://x/y HTTPS://x www.x.y ftp://x <javascript:c>",
    "mentions": "@octocat @org/team #12 owner/repo#3 root@evil.example",
    "formulas": r"$\href{javascript:c}{x}$ \\(y\\) $$z$$ \\[w\\] \\begin{v}\\end{v}",
    "entities": "&lt;b&gt; &#96;c&#96; __d__ _e_ ~~f~~ *g*",
    "what XML forbids": "\x00\x0b\ufffe\ud800]]>",
}


TAGS = {"p", "h3", "strong", "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


def run_of(text: str) -> tuple[Summary, report.Summary]:
    """A run of each kind, whose words are all a stranger's."""
    told = claim(f"holds {text}", found=text, outcome=Outcome.NOT_AS_TOLD)
    rows = [
        row("04_it_works", told, title=text, left_behind=[text], host=text),
        row("06_the_fix", status=Status.INFRA, reason=text, imported={text: text}),
        row("10_cut", status=Status.SKIPPED, reason=text),
    ]
    before = Baseline(text, {rows[0].cell: replace(rows[0], claims=[claim(f"holds {text}")])})
    whole = replace(summary(rows, before), where=text, notes=[text], headline=f"1 of 2 {text}")
    return whole, report.Summary(f"model '{text}'", [text], 2.0, 1.0, False, rows)


def screen_of(show: Callable[[PlainConsole], object]) -> str:
    console = PlainConsole(file=io.StringIO(), width=200)
    show(console)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def lines_of(rows: list[Row], console: PlainConsole) -> None:
    display = Display(console)
    display.began({each.cell: 1 for each in rows})
    for each in rows:
        display.ended(each)


MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
"""Tables, struck words and HTML, as on GitHub and in notebooks; for links of bare addresses it
lacks a package."""


def assert_shows_only_text(shown: str) -> None:
    """Assert that a viewer of Markdown makes words, code and tables of it, no more."""
    html = MARKDOWN.render(shown)
    found = set(re.findall(r"<(/?\w+)", html))
    assert not {tag for tag in found if tag.lstrip("/") not in TAGS}, html
    outside = re.sub(r"<code>.*?</code>", "", html)
    beside_code = re.sub(r"`[^`]+`", "", shown)
    assert "://" not in beside_code, "an address would be a link"
    assert "www." not in beside_code, "an address would be a link"
    assert "$" not in outside, "a formula would begin"
    assert not re.search(r"\\(?!x|u|U)", outside), "a formula would begin"


def assert_plain(text: str) -> None:
    assert all(each.isprintable() or each in "\n\t" for each in text), ascii(text)


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_no_text_acts_on_a_terminal(text: str) -> None:
    whole, investigation = run_of(text)
    for output in (
        screen_of(lambda console: regress_console.show(whole, console)),
        screen_of(lambda console: report.show(investigation, console)),
        screen_of(lambda console: lines_of(whole.rows, console)),
        json_line(whole.as_dict() | {"server": investigation.server}),
    ):
        assert_plain(output)
        assert "\n✔ As expected" not in output


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_no_text_acts_in_a_report(text: str) -> None:
    whole, _ = run_of(text)
    shown = page(whole)
    assert_plain(shown)
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    lines = markdown(whole)
    assert_plain(lines)
    assert_shows_only_text(lines)
    assert "\n✔" not in lines
    document = ElementTree.fromstring(junit(whole))
    assert len(document.findall(".//testcase")) == 4
    assert_plain(junit(whole))


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_no_text_acts_in_a_notebook(text: str) -> None:
    """Each object that shows a finding has as many lines as with any other."""
    told = [claim(f"holds {text}", found=text, outcome=Outcome.NOT_AS_TOLD)]
    predicted = Predicted(question="What happens?")
    prediction = Prediction(
        "1", {"it ends": 1, "`not`": 2}, predicted, lambda: None, interactive=False
    )
    revealed = prediction.reveal(text, why="So it is.")
    store = Store("01", None)
    store.progress.predictions["1"] = predicted
    for shown, lines, columns in (
        (evidence.Table(told, {}), 5, 3),
        (evidence.Table(told, {told[0].text: text}), 5, 4),
        (Table([["a", text], [text, "d"]]), 3, 2),
        (revealed, 1, 0),
        (Progress(store), 4, 5),
    ):
        seen = shown._repr_markdown_()
        assert_plain(seen)
        assert_shows_only_text(seen)
        assert len(seen.splitlines()) == lines
        rows = [row for row in seen.splitlines() if row.startswith("|")]
        assert all(len(re.findall(r"(?<!\\)\|", row)) == columns + 1 for row in rows), seen
        assert_plain(repr(shown))
        assert "\n✔ As expected" not in repr(shown)


def test_code_in_a_claim_stays_code_and_a_finding_is_shown_as_it_is() -> None:
    shown = evidence.Table(
        [claim("`a | b` ends", found="[1, 1] of `x`, x_y")], {}
    )._repr_markdown_()
    assert "| `a \\| b` ends | [1, 1] of 'x', x_y |" in shown


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_json_keeps_the_text_as_it_is(text: str) -> None:
    assert json.loads(json_line({text: text})) == {text: text}


def test_a_word_mentions_no_person_and_no_issue() -> None:
    """GitHub links them even after a backslash, and a comment would notify the person."""
    shown = in_markdown(EVIL["mentions"])
    assert "@" not in shown
    assert not re.search(r"#\d", shown)
    assert in_markdown("# 1") == "# 1"
