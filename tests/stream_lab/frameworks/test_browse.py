"""The recorded results can be filtered, and compared with a run of today."""

from dataclasses import replace

import pytest

from stream_lab.frameworks import browse
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.registry import registry
from stream_lab.frameworks.results import Recorded, recorded
from stream_lab.frameworks.survey import Row

RUNS_ON = Outcome(chunks=9, requests=1)
HELD = Outcome(ended=1.5, chain=("E",), chunks=9, requests=1, freed=1.5)
SCENARIOS = tuple(registry().scenarios)


@pytest.fixture(scope="module")
def results() -> Recorded:
    return recorded()


def test_the_package_carries_a_row_for_every_framework(results: Recorded) -> None:
    assert list(results.rows) == list(registry().frameworks)
    assert results.day >= "2026-11-27"


def test_the_overview_is_filtered_by_language_and_by_the_kind_of_setting(results: Recorded) -> None:
    node = browse.overview(results, "node", "natural").lines[1:]
    assert {line[0] for line in node} == {"OpenAI SDK for Node", "Vercel AI SDK", "LangChain.js"}
    settings = {line[1] for line in browse.overview(results, kind="own").lines[1:]}
    own = {
        f"`{setting.title}`"
        for framework in registry().frameworks.values()
        for setting in framework.settings.values()
        if setting.kind == "own"
    }
    assert settings == own
    assert all("✘ runs on" in line for line in node)
    assert len(browse.overview(results).lines) > len(browse.overview(results, "python").lines)


@pytest.mark.parametrize(
    ("held", "words"),
    [(0, "none"), (1, "few"), (9, "few"), (10, "about half"), (20, "about half"), (21, "most"), (30, "most")],
)  # fmt: skip
def test_a_share_is_a_word(held: int, words: str) -> None:
    assert browse.share(held, 30) == words


def made_up(**settings: dict[str, Outcome]) -> Recorded:
    return Recorded({"langgraph": Row(settings, {"langgraph": "1"}, day="2026-01-01")}, WATCH)


WATCH = recorded().watch


def test_only_settings_that_hold_in_every_cell_are_winners() -> None:
    found = browse.always(
        made_up(
            timeout={**dict.fromkeys(SCENARIOS, HELD), "endless": RUNS_ON},
            node=dict.fromkeys(SCENARIOS, HELD),
            deadline=dict.fromkeys(SCENARIOS, HELD),  # the library's, not the framework's own
        )
    )
    assert [line[1] for line in found.lines[1:]] == ["`add_node(…, timeout=T)`"]


def test_a_cell_that_came_out_otherwise_is_shown() -> None:
    then = made_up(timeout={"endless": RUNS_ON, "stall": HELD})
    now = {"langgraph": Row({"timeout": {"endless": RUNS_ON, "stall": HELD}})}
    assert browse.compare(then, now, 1.5, 0.5)[1]
    later = {"langgraph": Row({"timeout": {"endless": replace(HELD, ended=1.9), "stall": HELD}})}
    table, same = browse.compare(then, later, 1.5, 0.5)
    assert not same
    assert table.lines[1][2:] == ["endless", "✘ runs on", "✔"]


def test_the_best_behaviour_is_the_one_with_the_largest_share() -> None:
    assert browse.best(made_up(timeout={"endless": RUNS_ON, "stall": HELD}), "natural") == "stall"
    assert browse.held(made_up(timeout={"endless": RUNS_ON}), "natural", "endless") == (0, 1)


def test_elsewhere_than_in_the_course_the_form_is_the_table_of_usual_time_outs(
    results: Recorded,
) -> None:
    form = browse.explore(results, live=False)
    assert repr(form) == repr(browse.overview(results, kind="natural"))
    assert set(form._repr_mimebundle_()) == {"text/plain", "text/markdown"}
    assert "widget" in "".join(browse.explore(results, live=True)._repr_mimebundle_())
