"""The settings of `DeadlineMiddleware`, and how it tells of a header that is not valid."""

import logging
import warnings
from typing import Any

import pytest

from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware
from tests.stream_deadline.asgi_caller import Caller, answers, ask, error_of, never, seen
from tests.stream_deadline.asgi_socket_client import Client
from tests.stream_deadline.sources import virtually


@virtually
@pytest.mark.parametrize(
    ("old", "new", "setting", "said", "budget"),
    [
        ("default", "default_timeout", 7.0, [], 7),
        ("longest", "max_timeout", 3.0, ["60000"], 3),
        ("longest", "max_timeout", None, ["60000"], 60),
    ],
)
async def test_an_old_name_still_works_with_a_warning_where_it_is_used(
    old: str, new: str, setting: Any, said: list[str], budget: float
) -> None:
    what: dict[str, Any] = {}
    with pytest.warns(DeprecationWarning, match=f"{old}=…. is now {new}=…") as caught:
        app = DeadlineMiddleware(seen(what, answers(b"{}")), **{old: setting})
    [warning] = caught
    assert warning.filename == __file__
    caller = Caller()
    headers = [(b"x-timeout-ms", each.encode()) for each in said]
    await app({"type": "http", "headers": headers}, caller.receive, caller.send)
    assert what["budget"] == pytest.approx(budget)


@virtually
async def test_the_old_name_of_the_largest_body_still_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="largest_body=…. is now max_body_bytes=…"):
        app = DeadlineMiddleware(never, largest_body=2)
    caller = Caller(body=[b"abc"])
    await app({"type": "http", "headers": []}, caller.receive, caller.send)
    assert caller.status == 413


def test_the_new_names_come_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app = DeadlineMiddleware(never, default_timeout=1, max_timeout=2, max_body_bytes=1)
    assert app.app is never


@virtually
@pytest.mark.parametrize(("body", "status"), [(b"x", 200), (b"xy", 413)])
async def test_a_body_may_be_bounded_to_a_single_byte(body: bytes, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answers(b"{}")(scope, receive, send)

    caller = Caller(body=[body])
    await ask(app, caller, max_body_bytes=1)
    assert caller.status == status


@virtually
@pytest.mark.parametrize("length", [39, 40, 41, 1000])
async def test_a_header_that_is_refused_is_quoted_up_to_40_characters(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller()
    await ask(never, caller, "x" * length)
    assert caller.status == 400
    got = "x" * length if length <= 40 else "x" * 39 + "…"
    rule = "one whole number of milliseconds, of at most 8 digits"
    assert error_of(caller.said) == {
        "type": "bad_deadline",
        "message": f"X-Timeout-Ms must be {rule}; got '{got}'.",
    }


@virtually
async def test_each_header_of_a_proxy_that_is_not_valid_is_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    what: dict[str, Any] = {}
    caller = Caller()
    headers = [(b"grpc-timeout", b"x"), (b"x-envoy-expected-rq-timeout-ms", b"y")]
    scope: ASGIMessage = {"type": "http", "headers": headers}
    with caplog.at_level(logging.INFO):
        await DeadlineMiddleware(seen(what, answers(b"{}")), default_timeout=7)(
            scope, caller.receive, caller.send
        )
    assert [each.levelname for each in caplog.records] == ["WARNING"] * 2
    assert what["budget"] == pytest.approx(7)
    assert caller.status == 200


@virtually
@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        (b"0", 504, "The deadline had passed before the request came (X-Timeout-Ms)."),
        (b"-5", 504, "The deadline had passed before the request came (X-Timeout-Ms)."),
        (b"1", None, ""),
    ],
)
async def test_a_request_has_work_if_a_millisecond_is_left(
    said: bytes, status: int | None, message: str
) -> None:
    what: dict[str, Any] = {}
    caller = Caller()
    scope: ASGIMessage = {"type": "http", "headers": [(b"x-timeout-ms", said)]}
    await DeadlineMiddleware(seen(what, answers(b"{}")))(scope, caller.receive, caller.send)
    if status is None:
        assert (caller.status, what) == (200, {"budget": pytest.approx(0.001)})
    else:
        assert (caller.status, what) == (status, {})
        assert error_of(caller.said) == {"type": "deadline_exceeded", "message": message}


@virtually
@pytest.mark.parametrize("websockets", ["message", "connection", None])
async def test_other_scopes_pass_with_what_the_server_gave(websockets: Any) -> None:
    got: list[Any] = []

    async def app(*arguments: Any) -> None:
        got.extend(arguments)

    client = Client()
    kinds = ["lifespan", "another"] + ["websocket"] * (websockets is None)
    for kind in kinds:
        scope: ASGIMessage = {"type": kind}
        given = [scope, client.receive, client.send]
        await DeadlineMiddleware(app, websockets=websockets)(*given)  # type: ignore[arg-type]
        assert got == given
        got.clear()


@virtually
@pytest.mark.parametrize("websockets", ["message", "connection"])
async def test_a_websocket_that_has_a_budget_does_not_pass_untouched(websockets: Any) -> None:
    got: list[Any] = []

    async def app(*arguments: Any) -> None:
        got.extend(arguments)

    client = Client()
    scope: ASGIMessage = {"type": "websocket", "headers": []}
    await DeadlineMiddleware(app, websockets=websockets)(scope, client.receive, client.send)
    assert got[0] is scope
    assert got[1] != client.receive
    assert got[2] != client.send


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("default_timeout", 0),
        ("max_timeout", 0),
        ("max_body_bytes", 0),
        ("websockets", "messages"),
    ],
)
def test_a_setting_that_is_refused_is_named_first(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be"):
        DeadlineMiddleware(never, **{setting: value})
