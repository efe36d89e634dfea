"""The ledger's pages: all requests, or those that have changed."""

import json
from typing import Any

import pytest

from fake_vllm.engine.ledger import Entry, Ledger


def opened(ledger: Ledger, id: str = "") -> Entry:
    return ledger.open(id, "/", "finite", stream=True, prompt_tokens=1, arrived=0.0)


def over(ledger: Ledger, entry: Entry) -> None:
    entry.over, entry.end = 1.0, "finished"
    ledger.tell(entry)


def shown(ledger: Ledger, after: int | None = None) -> list[int]:
    page: dict[str, Any] = json.loads(ledger.page(after=after))
    return [entry["number"] for entry in page["requests"]]


def test_a_page_after_a_revision_has_later_events_and_what_still_runs() -> None:
    ledger = Ledger()
    first, second, third = (opened(ledger) for _ in range(3))
    over(ledger, second)
    over(ledger, third)
    seen = ledger.revision
    assert shown(ledger) == [1, 2, 3]
    assert shown(ledger, seen) == [1]
    fourth = opened(ledger)
    over(ledger, first)
    assert shown(ledger, seen) == [1, 4]
    over(ledger, fourth)
    assert shown(ledger, ledger.revision) == []


def test_a_settled_entry_is_shown_as_it_became() -> None:
    ledger = Ledger()
    entry = opened(ledger, "chatcmpl-a")
    over(ledger, entry)
    assert b'"bytes":0' in ledger.page()
    entry.bytes = 7
    ledger.tell(entry)
    assert b'"bytes":7' in ledger.page(id="a")
    assert json.loads(ledger.page(id="b"))["requests"] == []


def test_the_oldest_are_forgotten_and_the_rest_keeps_its_order() -> None:
    ledger = Ledger(keep=3)
    for _ in range(5):
        over(ledger, opened(ledger))
    assert shown(ledger) == shown(ledger, 0) == [3, 4, 5]
    assert len(ledger) == 3


def test_clearing_keeps_what_runs_and_goes_on_with_its_number() -> None:
    ledger = Ledger()
    for _ in range(2):
        over(ledger, opened(ledger))
    running = opened(ledger)
    ledger.clear()
    assert shown(ledger) == shown(ledger, 0) == [3]
    over(ledger, opened(ledger))
    over(ledger, running)
    ledger.clear()
    assert opened(ledger).number == 1


def test_numbers_and_attempts_are_those_that_were_announced() -> None:
    ledger, seen = Ledger(), []
    for scenario in ("a", "b", "a", "a", "b", "c"):
        announced = ledger.upcoming(scenario)
        entry = ledger.open("", "/", scenario, stream=True, prompt_tokens=1, arrived=0.0)
        assert (entry.attempt, entry.number) == announced
        seen.append(announced)
    assert seen == [(1, 1), (1, 2), (2, 3), (3, 4), (2, 5), (1, 6)]
    ledger.clear()
    assert ledger.upcoming("a") == (1, 7)  # those six still run


def test_the_attempts_of_the_oldest_scenario_are_forgotten() -> None:
    ledger = Ledger(keep=2)
    for scenario in ("a", "a", "b", "a", "c"):
        ledger.open("", "/", scenario, stream=True, prompt_tokens=1, arrived=0.0)
    assert [ledger.upcoming(scenario)[0] for scenario in "abc"] == [1, 2, 2]


NEW = {
    **{"id": "x", "path": "/p", "scenario": "s", "stream": True, "number": 1, "attempt": 1},
    **{"prompt_tokens": 3, "arrived": 0.5, "turn": 1, "method": "POST", "retry": 0},
    **{"queued": None, "started": None, "headers": None, "first_token": None, "last_token": None},
    **{"client_left": None, "slot_freed": None, "over": None, "status": None, "bytes": 0},
    **{"tokens": 0, "tokens_after_left": 0, "end": "running"},
}


def test_an_entry_has_these_keys_and_values_at_first() -> None:
    ledger = Ledger()
    ledger.open("x", "/p", "s", stream=True, prompt_tokens=3, arrived=0.5)
    page = ledger.page()
    assert json.loads(page)["requests"] == [NEW]
    assert b'"requests":[{"id":"x","path":"/p",' in page, "the JSON is compact"


def test_a_refused_request_is_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_vllm.engine.ledger.monotonic", lambda: 4.0)
    ledger = Ledger()
    ledger.refused("/p", "PUT", 404, 2, 1)
    page: dict[str, Any] = json.loads(ledger.page())
    expected = {**NEW, "id": "", "scenario": "", "stream": False, "prompt_tokens": 0}
    expected |= {"arrived": 4.0, "headers": 4.0, "over": 4.0, "status": 404, "end": "refused"}
    assert page["requests"] == [{**expected, "turn": 2, "method": "PUT", "retry": 1}]
    assert page["now"] == 4.0
    assert not ledger.running
    assert ledger.refused("/p", "PUT", 404, 2, 1).number == 2


def test_each_event_is_one_revision_and_reaches_the_watchers() -> None:
    ledger, told, cleared = Ledger(), list[int](), list[int]()
    ledger.watchers.add(lambda entry: told.append(entry.number))
    ledger.on_clear.add(lambda: cleared.append(ledger.epoch))
    assert (ledger.revision, ledger.epoch) == (0, 0)
    first, second = opened(ledger), opened(ledger)
    over(ledger, first)
    assert (told, ledger.revision) == ([1, 2, 1], 3)
    unlisted = Entry("", "/", "", True, 0, 1, 0, 0.0)
    ledger.tell(unlisted)
    assert (told, ledger.revision) == ([1, 2, 1], 3)
    ledger.clear()
    over(ledger, second)
    assert (told, ledger.revision, cleared) == ([1, 2, 1, 2], 5, [1])
    page: dict[str, Any] = json.loads(ledger.page())
    assert (page["revision"], page["epoch"]) == (5, 1)


@pytest.mark.parametrize(
    ("started", "slot_freed", "over_at", "settled"),
    [
        (None, None, None, False),
        (None, None, 1.0, True),
        (0.5, None, None, False),
        (0.5, None, 1.0, False),
        (0.5, 0.8, None, False),
        (0.5, 0.8, 1.0, True),
    ],
)
def test_an_entry_is_shown_as_it_is_until_nothing_can_change(
    started: float | None, slot_freed: float | None, over_at: float | None, settled: bool
) -> None:
    ledger = Ledger()
    entry = opened(ledger)
    entry.started, entry.slot_freed, entry.over = started, slot_freed, over_at
    assert (ledger.running, len(shown(ledger, ledger.revision))) == (not settled, not settled)
    ledger.page()
    entry.tokens = 7  # without an event, as for each token
    page: dict[str, Any] = json.loads(ledger.page())
    assert page["requests"][0]["tokens"] == (0 if settled else 7)


def test_a_request_that_was_forgotten_is_not_shown_again() -> None:
    ledger = Ledger(keep=2)
    first = opened(ledger)
    over(ledger, opened(ledger))
    over(ledger, opened(ledger))
    seen = ledger.revision
    over(ledger, first)
    assert ledger.revision == seen + 1
    assert shown(ledger) == shown(ledger, 0) == [2, 3]
    ledger.clear()
    over(ledger, opened(ledger))
    first.tokens = 5
    ledger.tell(first)  # the number belongs to another request now
    assert shown(ledger, ledger.revision - 1) == []
    assert len(ledger) == 1


def test_requests_that_are_over_are_not_kept_by_a_ledger_that_is_never_read() -> None:
    ledger = Ledger(keep=3)
    for _ in range(20):
        over(ledger, opened(ledger))
    assert len(ledger._unsettled) <= 4
    assert [entry.number for entry in ledger] == [18, 19, 20]
