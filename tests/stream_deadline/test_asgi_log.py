"""Neither client nor model server can forge a line of the log, or a header."""

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded, _asgi_log
from stream_deadline._asgi_log import RequestLog
from stream_deadline._error_response import ErrorResponse
from stream_deadline.asgi import ASGIMessage, DeadlineMiddleware, Receive, Send
from tests.stream_deadline.asgi_caller import EVENTS, TEXT, Caller, error_of, never
from tests.stream_deadline.forged import FORGED, LINE
from tests.stream_deadline.sources import virtually

each = pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged; looked at when the test is over."""
    found: list[str] = []
    with caplog.at_level(logging.INFO):
        yield found
        found += [record.getMessage() for record in caplog.get_records("call")]
        assert found
        for line in found:
            assert line.isprintable()
            assert line.splitlines() == [line]
            assert len(line) < 1500
            line.encode()


async def asked(app: Any, caller: Caller, **said: Any) -> None:
    scope: ASGIMessage = {"type": "http", "method": "POST", "path": "/chat", "headers": [], **said}
    await DeadlineMiddleware(app, default_timeout=1, max_body_bytes=10)(
        scope, caller.receive, caller.send
    )


@each
@virtually
async def test_a_path_cannot_forge_a_line(
    forged: str, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await asked(never, Caller(), path=f"/chat{forged}")
    method, path, after, *_ = caplog.messages[0].split(" ")
    assert (method, path[:5], after) == ("POST", "/chat", "after")
    assert LINE not in caplog.text


@each
@virtually
async def test_a_method_cannot_forge_a_line(
    forged: str, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await asked(never, Caller(leaves=0.1), method=f"POST{forged}")
    assert caplog.messages[0].split(" ")[1:3] == ["/chat", "after"]


@each
@virtually
async def test_a_header_cannot_forge_a_line(forged: str, lines: list[str]) -> None:
    caller = Caller()
    said = forged.encode("utf-8", "surrogatepass")
    await asked(never, caller, headers=[(b"x-timeout-ms", said), (b"x-timeout-ms", b"5")])
    message = error_of(caller.said)["message"]
    assert caller.status == 400
    assert message.isprintable()
    assert len(message) < 200


@each
@virtually
@pytest.mark.parametrize("status", [400, 500, 503, None])
async def test_a_message_of_the_models_server_cannot_forge_a_line(
    forged: str, lines: list[str], status: int | None
) -> None:
    """It may quote the client's prompt, and the client may parse lines of the answer."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        request = httpx2.Request("POST", "http://gpu/")
        if status is None:
            raise openai.APIError(f"bad {forged}", request, body=None)
        response = httpx2.Response(status, request=request)
        raise openai.APIStatusError("bad", response=response, body={"message": f"bad {forged}"})

    caller = Caller()
    await asked(app, caller)
    assert caller.said.isascii()
    assert len(caller.said.splitlines()) == 1
    assert error_of(caller.said)["message"].isprintable()


@each
@virtually
async def test_an_error_of_the_application_cannot_forge_a_line(
    forged: str, lines: list[str]
) -> None:
    class Late(StreamDeadlineExceeded):
        def __str__(self) -> str:
            return f"No answer to {forged}"

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        raise Late("timeout", 1, 1)

    caller = Caller()
    await asked(app, caller)
    assert caller.status == 504
    assert len(caller.said.splitlines()) == 1


@each
@virtually
async def test_an_error_in_a_stream_of_events_cannot_forge_a_line(
    forged: str, lines: list[str]
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        response = httpx2.Response(400, request=httpx2.Request("POST", "http://gpu/"))
        raise openai.BadRequestError("bad", response=response, body={"message": f"bad {forged}"})

    caller = Caller()
    await asked(app, caller)
    last = caller.said.decode("ascii").splitlines()[2:]
    assert (last[0], last[2:]) == ("event: error", [""])
    assert json.loads(last[1].removeprefix("data: "))["error"]["type"] == "bad_request"


@virtually
@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (b"7", b"7"),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"7\r\nset-cookie: a=b", None),
        (b"7\nset-cookie: a=b", None),
        (b"7\n", None),
        (b"7\x00", None),
        (b"7\x85set-cookie: a=b", None),
        ("\u0667".encode(), None),
        (b"soon", None),
        (b"-1", None),
        (b"9" * 1000, None),
        (b"", None),
    ],
)
async def test_a_header_of_the_models_server_cannot_become_two(
    said: bytes, passed_on: bytes | None
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        response = httpx2.Response(
            503, headers=[(b"retry-after", said)], request=httpx2.Request("POST", "http://gpu/")
        )
        raise openai.APIStatusError("busy", response=response, body=None)

    caller = Caller()
    await asked(app, caller)
    assert caller.status == 503
    assert dict(caller.heard[0]["headers"]).get(b"retry-after") == passed_on
    assert not [
        value
        for name, value in caller.heard[0]["headers"]
        if b"\r" in value or b"\n" in value or b"\n" in name
    ]


@virtually
async def test_a_path_is_logged_as_it_came_even_if_the_application_changes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        scope["path"] = "/somewhere/else"
        await send({"type": "http.response.start", "status": 200, "headers": TEXT})
        await never(scope, receive, send)

    await asked(app, Caller(), path="/grüße/ä b%")
    assert caplog.messages[0].startswith("POST /gr%C3%BC%C3%9Fe/%C3%A4%20b%25 after ")


@pytest.mark.parametrize("length", [999, 1000, 1001, 5000])
def test_a_line_has_a_thousand_characters_of_a_text(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        RequestLog("GET", "/").line(logging.INFO, "x" * length)
    [line] = caplog.messages
    assert line.partition(": ")[2] == ("x" * length if length <= 1000 else "x" * 999 + "…")


def test_a_line_has_the_request_and_its_age_and_then_the_text(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(_asgi_log, "time", SimpleNamespace(monotonic=lambda: now))
    log = RequestLog("GET", "/chat")
    now += 2.5
    with caplog.at_level(logging.DEBUG):
        log.line(logging.DEBUG, "Some text.")
        log.response(ErrorResponse(500, "kind", "A text.", "a cause"), " More.")
        log.response(ErrorResponse(500, "kind", "A text."))
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("stream_deadline.asgi", level, f"GET /chat after 2.50 s: {text}")
        for level, text in [
            ("DEBUG", "Some text."),
            ("WARNING", "A text. (a cause) More."),
            ("WARNING", "A text."),
        ]
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("/a-b_c.d:@!$&'()*+,;=~", "/a-b_c.d:@!$&'()*+,;=~"),
        ("/a b?c#d%", "/a%20b%3Fc%23d%25"),
        ("/" + "a" * 198, "/" + "a" * 198),
        ("/" + "a" * 199, "/" + "a" * 199),
        ("/" + "a" * 200, "/" + "a" * 199),
        ("ü" * 1000, "%C3%BC" * 33 + "%C"),
        ("\ud800", "%5Cud800"),
        (None, "None"),
    ],
)
def test_a_path_is_one_word_of_200_characters_at_most(
    said: object, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    RequestLog("GET", said).line(logging.WARNING, "x")
    assert caplog.messages[0].split(" ")[1] == shown
