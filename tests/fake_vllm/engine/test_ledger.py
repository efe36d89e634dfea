"""The ledger's pages: all requests, or those that have changed."""

import json
from typing import Any

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
    assert shown(ledger) == [3]
    over(ledger, opened(ledger))
    over(ledger, running)
    ledger.clear()
    assert opened(ledger).number == 1
