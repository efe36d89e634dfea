"""`DeadlineMiddleware` reads the headers of gRPC and of Envoy beside its own."""

import logging
import re
from typing import Any

import pytest

from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware
from tests.stream_deadline.asgi_caller import Caller, answers, error_of, seen
from tests.stream_deadline.forged import FORGED, LINE
from tests.stream_deadline.sources import virtually

OWN, GRPC = "x-timeout-ms", "grpc-timeout"
EXPECTED, UPSTREAM = "x-envoy-expected-rq-timeout-ms", "x-envoy-upstream-rq-timeout-ms"


async def budget_of(*headers: tuple[str, str], **options: Any) -> tuple[Any, Caller]:
    """Return the budget of a request's work, and its caller; None: there was no work."""
    what: dict[str, Any] = {}
    caller = Caller()
    said = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope: ASGIMessage = {"type": "http", "method": "POST", "path": "/chat", "headers": said}
    app = DeadlineMiddleware(seen(what, answers(b"{}")), **options)
    await app(scope, caller.receive, caller.send)
    return what.get("budget"), caller


@virtually
@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        ([(OWN, "2500")], 2.5),
        ([(GRPC, "2500m")], 2.5),
        ([(GRPC, "3S")], 3),
        ([(EXPECTED, "2500")], 2.5),
        ([(UPSTREAM, "2500")], 2.5),
        ([(OWN, "2500"), (GRPC, "1S"), (EXPECTED, "2000"), (UPSTREAM, "3000")], 1),
        ([(OWN, "500"), (GRPC, "1S"), (EXPECTED, "2000"), (UPSTREAM, "3000")], 0.5),
        ([(OWN, "2500"), (GRPC, "4S"), (EXPECTED, "2000"), (UPSTREAM, "3000")], 2),
        ([(OWN, "2500"), (GRPC, "4S"), (EXPECTED, "2000"), (UPSTREAM, "700")], 0.7),
        ([(GRPC, "1H")], 7),  # the maximum
        ([(EXPECTED, "0")], 7),  # no bound, so the default
        ([(EXPECTED, "0"), (GRPC, "2S")], 2),
        ([], 7),
    ],
)
async def test_the_shortest_time_is_the_budget(
    headers: list[tuple[str, str]], budget: float
) -> None:
    given, caller = await budget_of(*headers, default_timeout=7)
    assert given == pytest.approx(budget)
    assert caller.status == 200


@virtually
@pytest.mark.parametrize("header", [(GRPC, "0n"), (GRPC, "0S")])
async def test_a_deadline_that_has_passed_is_a_504_that_names_the_header(
    header: tuple[str, str],
) -> None:
    given, caller = await budget_of((OWN, "5000"), header)
    assert (given, caller.status) == (None, 504)
    assert GRPC in error_of(caller.said)["message"]


@virtually
@pytest.mark.parametrize(
    "bad",
    [
        [(GRPC, "soon")],
        [(GRPC, "5")],
        [(GRPC, "")],
        [(GRPC, "1S"), (GRPC, "1S")],
        [(EXPECTED, "1.5")],
        [(UPSTREAM, "-1")],
        [(GRPC, "\xb2S")],
    ],
)
async def test_one_that_is_invalid_is_ignored_with_one_line(
    bad: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        given, caller = await budget_of(*bad, (OWN, "2500"), default_timeout=7)
    assert (given, caller.status) == (pytest.approx(2.5), 200)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"Ignored: {bad[0][0]} must be one whole number" in caplog.text


@virtually
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize("name", [GRPC, EXPECTED, UPSTREAM])
async def test_one_that_is_invalid_cannot_forge_a_line(
    forged: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = forged.encode("utf-8", "surrogatepass").decode("latin-1")
    given, _ = await budget_of((name, said), default_timeout=7)
    assert given == pytest.approx(7)
    (line,) = caplog.messages
    assert re.match(r"POST /chat after \d+\.\d+ s: Ignored: ", line)
    assert line.isprintable()
    assert len(line) < 300
    assert LINE not in line.partition("Ignored")[0]


@virtually
async def test_an_own_name_takes_the_place_of_the_default_one() -> None:
    given, _ = await budget_of((OWN, "1000"), ("x-budget", "2000"), header="X-Budget")
    assert given == pytest.approx(2)
    given, _ = await budget_of((OWN, "1000"), (GRPC, "3S"), header="X-Budget")
    assert given == pytest.approx(3)


@virtually
async def test_an_own_name_with_a_known_format_has_that_format() -> None:
    given, _ = await budget_of((GRPC, "3S"), header="Grpc-Timeout")
    assert given == pytest.approx(3)
    given, caller = await budget_of((GRPC, "3"), header="Grpc-Timeout")
    assert (given, caller.status) == (None, 400)
