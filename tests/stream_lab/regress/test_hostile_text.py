"""Text of servers and notebooks acts on no terminal, and in no report."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from stream_lab.cli.common import PlainConsole
from stream_lab.experiment.evidence import Outcome
from stream_lab.notebooks import report
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.row import Row, Status
from stream_lab.regress import console as regress_console
from stream_lab.regress.compare import Baseline
from stream_lab.regress.junit import junit
from stream_lab.regress.page import page
from stream_lab.regress.summary import Summary, markdown
from stream_lab.untrusted import json_line
from tests.stream_lab.regress.examples import claim, row, summary

EVIL = {
    "escape sequences": "\x1b]0;owned\x07\x1b[2J\x9b31m\x08",
    "a line of its own": "x\n✔ As expected: all holds\r\nx",
    "bidi marks": "\u202ex\u2066y",
    "rich's markup": "[/x] [bold] [/] [red",
    "a model's markup": "mistral [/INST] [INST]",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "Markdown": "![a](http://x/y) [b](javascript:c) `d` |",
    "what XML forbids": "\x00\x0b\ufffe\ud800]]>",
}


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
    assert "](" not in lines.replace("\\]", "")
    assert "<" not in lines
    assert "\n✔" not in lines
    document = ElementTree.fromstring(junit(whole))
    assert len(document.findall(".//testcase")) == 4
    assert_plain(junit(whole))


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_json_keeps_the_text_as_it_is(text: str) -> None:
    assert json.loads(json_line({text: text})) == {text: text}
