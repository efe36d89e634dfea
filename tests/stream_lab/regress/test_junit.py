"""A run as JUnit XML: failures, skips, and a form that every reader can parse."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from stream_lab.experiment.evidence import Outcome
from stream_lab.notebooks.row import ENDED, Row, Status
from stream_lab.regress.compare import Baseline
from stream_lab.regress.junit import junit
from stream_lab.regress.summary import Kind, Summary
from tests.stream_lab.regress.examples import RAN_ON, claim, many, row, summary


def case(text: str, name: str, *, suite: str = "bundled/latest") -> ElementTree.Element:
    found = ElementTree.fromstring(text).findall(
        f"testsuite[@name='{suite}']/testcase[@name='{name}']"
    )
    assert len(found) == 1
    return found[0]


def result(text: str, name: str, *, suite: str = "bundled/latest") -> tuple[str, str]:
    """Return the element with the result of a case, and its message; or "passed"."""
    told = [child for child in case(text, name, suite=suite) if child.tag != "system-out"]
    assert len(told) <= 1
    return (told[0].tag, told[0].get("message", "")) if told else ("passed", "")


def held(now: Row, before: Row) -> str:
    return junit(summary([now], Baseline("the run before", {before.cell: before})))


def test_the_document_has_the_form_that_readers_expect() -> None:
    text = junit(summary([*many(), row("04_it_works", claim(found=RAN_ON), endpoint="v0.32")]))
    assert text.startswith("<?xml")
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    assert [suite.get("name") for suite in root] == [
        "bundled/latest",
        "bundled/seed",
        "v0.32/latest",
    ]
    for suite in root:
        assert next(child.tag for child in suite) == "properties"
        assert {child.tag for child in suite} == {"properties", "testcase"}
        cases = suite.findall("testcase")
        names = [(case.get("classname"), case.get("name")) for case in cases]
        assert len(set(names)) == len(names)
        counted = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        assert {name: int(suite.get(name, "-1")) for name in counted} == counted
        totals = {name: totals[name] + count for name, count in counted.items()}
        assert float(suite.get("time", "-1")) == pytest.approx(
            sum(float(case.get("time", "-1")) for case in cases)
        )
        assert suite.get("timestamp") == "2026-11-21T01:52:08"
        assert suite.get("hostname")
        for one in cases:
            assert len(str(one.get("classname")).split(".")) == 3
            assert [child.tag for child in one] in (
                [],
                ["failure"],
                ["error"],
                ["skipped"],
                ["system-out"],
            )
    assert {name: int(root.get(name, "-1")) for name in totals} == totals
    assert all(totals.values())
    assert (
        root.find("testsuite[@name='v0.32/latest']/testcase[@classname='v0_32.latest.04_it_works']")
        is not None
    )


def test_a_suite_lists_the_packages_of_its_world() -> None:
    root = ElementTree.fromstring(junit(summary()))
    seed = root.find("testsuite[@name='bundled/seed']")
    assert seed is not None
    told = {entry.get("name"): entry.get("value") for entry in seed.iter("property")}
    assert told["openai"] == "2.8.1"
    assert told["endpoint"] == "the bundled fake"


def test_a_claim_that_got_worse_fails_and_one_as_bad_as_before_is_skipped() -> None:
    good, bad = row("04_it_works", claim()), row("04_it_works", claim(found=RAN_ON))
    name = claim().text
    tag, message = result(held(bad, good), name)
    assert (tag, message) == ("failure", "ran past the deadline, not stopped at the deadline")
    assert "instead of: stopped at the deadline" in str(case(held(bad, good), name)[0].text)
    tag, message = result(held(bad, bad), name)
    assert tag == "skipped"
    assert message.startswith("as in the baseline: ran past the deadline")
    assert result(held(good, bad), name)[0] == "passed"
    assert result(junit(summary([bad])), name)[0] == "failure"
    assert result(held(bad, bad), ENDED)[0] == "passed"


def test_a_claim_that_is_not_shown_is_an_error_unless_it_never_was_shown() -> None:
    good, open_ = (
        row("04_it_works", claim()),
        row("04_it_works", claim(found="no metrics", outcome=Outcome.NOT_SHOWN)),
    )
    assert result(held(open_, good), claim().text) == (
        "error",
        "no metrics, not stopped at the deadline",
    )
    assert result(held(open_, open_), claim().text)[0] == "skipped"


@pytest.mark.parametrize(
    ("status", "alone", "again"),
    [(Status.TIMEOUT, "failure", "skipped"), (Status.FAIL, "failure", "skipped"), (Status.INFRA, "error", "error"),
     (Status.SKIPPED, "skipped", "skipped")],
)  # fmt: skip
def test_a_cell_that_did_not_run_to_its_end_says_so(status: Status, alone: str, again: str) -> None:
    now = row("04_it_works", claim(), status=status, reason="why it did not", by_claims=False)
    tag, message = result(junit(summary([now])), ENDED)
    assert tag == alone
    assert "why it did not" in message
    assert result(held(now, now), ENDED)[0] == again
    assert float(case(junit(summary([now])), ENDED).get("time", "0")) == 12.3


def test_a_cell_that_is_skipped_now_says_what_it_was_before() -> None:
    now = row("04_it_works", status=Status.SKIPPED, reason="nginx is not installed")
    told = result(held(now, row("04_it_works", claim())), ENDED)
    assert told == ("skipped", "nginx is not installed (it was pass before)")


def test_a_flaky_pass_is_a_pass_that_says_so() -> None:
    text = junit(summary([made for made in many() if made.earlier]))
    flaky = case(text, ENDED, suite="bundled/seed")
    assert result(text, ENDED, suite="bundled/seed")[0] == "passed"
    assert "a port was taken" in str(flaky.findtext("system-out"))


def test_parameters_are_part_of_the_name_and_the_same_claim_twice_is_two_cases() -> None:
    text = junit(
        summary(
            [row("04_it_works", claim(), claim(found=RAN_ON), parameters={"TIMEOUT": 0.5, "N": 3})]
        )
    )
    assert result(text, f"{claim().text} [TIMEOUT=0.5, N=3]")[0] == "passed"
    assert result(text, f"{claim().text} (2) [TIMEOUT=0.5, N=3]")[0] == "failure"


def test_characters_that_xml_forbids_do_not_break_the_document() -> None:
    bad = "a\x00b\x1b[31mred\x1b[0m\ud800 <script>&]]>\ufffe\nline"
    made = row(
        "04_it_works", claim(bad, found=bad), status=Status.FAIL, reason=bad, by_claims=False
    )
    run = summary([made], endpoints={"bundled": bad}, worlds={"latest": {"openai": bad}})
    text = junit(run)
    text.encode("utf-8")
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert "red" in str(root.findall("testsuite/testcase")[1].get("name"))
    assert root.find(".//script") is None


def test_a_claim_without_a_change_still_fails() -> None:
    run: Summary = replace(summary([row("04_it_works", claim(found=RAN_ON))]), changes=[])
    assert result(junit(run), claim().text)[0] == "failure"


def test_exactly_the_regressions_of_the_comparison_fail() -> None:
    run = summary()
    root = ElementTree.fromstring(junit(run))
    assert len(list(root.iter("failure"))) == len(run.of(Kind.REGRESSION)) == 2
