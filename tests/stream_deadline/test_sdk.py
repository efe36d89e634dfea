"""What a transport knows of the SDKs above it."""

import contextvars
import pickle
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded
from stream_deadline._budget import Bounds, Budget
from stream_deadline._sdk import (
    as_sdk_error,
    asks_for_stream,
    budget_of_first_attempt,
    final_error,
    forbid_late_retry,
    model_of,
    note_first_attempt,
)

URL = "http://server/v1/chat/completions"
AGENT = "AsyncOpenAI/Python 3.52.0"


def attempt(number: int | None, url: str = URL, method: str = "POST") -> Any:
    """The request of one attempt; None: of a client that does not count them."""
    headers = {"user-agent": AGENT}
    if number is not None:
        headers["x-stainless-retry-count"] = str(number)
    return httpx2.Request(method, url, headers=headers)


def budget(timeout: float = 45) -> Budget:
    return Budget(Bounds(timeout), time.monotonic)


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        (attempt(0), attempt(1), True),
        (attempt(0), attempt(0), False),
        (attempt(0), attempt(1, url="http://other/"), False),
        (attempt(0), attempt(1, method="GET"), False),
        (attempt(0), attempt(None), False),
        (attempt(None), attempt(1), False),
    ],
)
def test_a_retry_shares_the_budget_of_its_first_attempt(
    first: Any, second: Any, shares: bool
) -> None:
    own = budget()

    def found() -> Budget | None:
        note_first_attempt(first, own)
        return budget_of_first_attempt(second)

    assert contextvars.copy_context().run(found) is (own if shares else None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError("refused"), openai.APIConnectionError),
        (httpx2.ConnectTimeout("late"), openai.APITimeoutError),
        (httpx2.ReadTimeout("late"), openai.APITimeoutError),
    ],
)
def test_an_error_that_leaves_no_time_for_another_attempt_is_the_last(
    error: Exception, kind: type[Exception]
) -> None:
    assert type(final_error(attempt(0), error, budget(0.01))) is kind
    assert final_error(attempt(0), error, budget()) is error
    assert final_error(attempt(None), error, budget(0.01)) is error


class OpenAIError(Exception):
    """As the OpenAI SDK's."""


class AnthropicError(Exception):
    """As Anthropic's."""


SDKS: dict[str, Any] = {
    "openai": SimpleNamespace(__name__="openai", OpenAIError=OpenAIError),
    "anthropic": SimpleNamespace(__name__="anthropic", AnthropicError=AnthropicError),
}


def load(monkeypatch: pytest.MonkeyPatch, **modules: Any) -> None:
    """Let only these SDKs be loaded."""
    for name in SDKS:
        if name in modules:
            monkeypatch.setitem(sys.modules, name, modules[name])
        else:
            monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("loaded", [["openai"], ["anthropic"], ["openai", "anthropic"]])
def test_the_error_is_one_of_each_sdk_that_is_loaded_and_says_the_same(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, **{name: SDKS[name] for name in loaded})
    error = StreamDeadlineExceeded("idle_timeout", 5, 6.5, 7, "half")
    made = as_sdk_error(error)
    assert isinstance(made, OpenAIError) is ("openai" in loaded)
    assert isinstance(made, AnthropicError) is ("anthropic" in loaded)
    assert (made.bound, made.limit, made.elapsed, made.chunks) == ("idle_timeout", 5, 6.5, 7)
    assert (made.partial, str(made)) == ("half", str(error))
    assert (type(made).__module__, type(made).__name__) == (
        "stream_deadline",
        "StreamDeadlineExceeded",
    )
    assert as_sdk_error(made) is made
    assert type(pickle.loads(pickle.dumps(made))) is StreamDeadlineExceeded


@pytest.mark.parametrize(
    "modules",
    [
        {},
        {"openai": SimpleNamespace()},
        {"openai": SimpleNamespace(OpenAIError="a text")},
        {"openai": SimpleNamespace(OpenAIError=int)},
    ],
)
def test_the_error_stays_the_same_without_an_sdk_that_has_errors(
    modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, **modules)
    error = StreamDeadlineExceeded("timeout", 5, 6.5)
    assert as_sdk_error(error) is error


@pytest.mark.parametrize(
    ("number", "status", "headers", "left", "forbidden"),
    [
        ("0", 503, {"retry-after": "30"}, 20, True),
        ("0", 503, {"retry-after": "30"}, 30, True),
        ("0", 503, {"retry-after": "30"}, 31, False),
        ("0", 400, {"retry-after": "30"}, 20, True),
        ("0", 399, {"retry-after": "30"}, 20, False),
        (None, 503, {"retry-after": "30"}, 20, False),
        ("0", 503, {}, 0.6, False),
        ("0", 503, {}, 0.4, True),
        ("4", 503, {}, 7, True),
        ("x", 503, {}, 0.7, False),
    ],
)
def test_a_retry_that_would_begin_after_the_deadline_is_forbidden(
    number: str | None, status: int, headers: dict[str, str], left: float, forbidden: bool
) -> None:
    request: Any = SimpleNamespace(
        headers={} if number is None else {"x-stainless-retry-count": number}
    )
    response: Any = SimpleNamespace(status_code=status, headers=dict(headers))
    forbid_late_retry(request, response, Budget(Bounds(left), lambda: 100.0))
    said = {"x-should-retry": "false"} if forbidden else {}
    assert response.headers == {**headers, **said}


@pytest.mark.parametrize("agent", ["Anthropic/Python 2.14", "AsyncAnthropic/Python 2.14"])
def test_the_last_error_for_anthropics_sdk_is_of_its_kind_and_of_httpxs(
    agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, error = attempt(0), httpx2.ConnectError("refused")
    request.headers["user-agent"] = agent
    load(monkeypatch)
    assert final_error(request, error, budget(0.01)) is error
    load(monkeypatch, anthropic=SDKS["anthropic"])
    made = final_error(request, error, budget(0.01))
    assert isinstance(made, AnthropicError)
    assert isinstance(made, httpx2.ConnectError)
    assert (str(made), made.request, type(made).__name__) == ("refused", request, "ConnectError")


@pytest.mark.parametrize(
    ("agent", "is_last"),
    [
        ("OpenAI/Python 3.52.0", True),
        ("AzureOpenAI/Python 3.52.0", True),
        ("AsyncAzureOpenAI/Python 3.52.0", True),
        ("Another/Python 1.0", False),
        ("python-httpx/0.28", False),
    ],
)
def test_an_error_is_made_the_last_for_an_sdk_that_is_known(agent: str, is_last: bool) -> None:
    request, error = attempt(0), httpx2.ConnectError("refused")
    request.headers["user-agent"] = agent
    kind = openai.APIConnectionError if is_last else httpx2.ConnectError
    assert type(final_error(request, error, budget(0.01))) is kind


def pieces() -> Iterator[bytes]:
    yield b'{"model": "m", "stream": true}'


@pytest.mark.parametrize(
    ("content", "model"),
    [
        (b'{"model": "m"}', "m"),
        (b'{"model": 5}', None),
        (b"{}", None),
        (b"[]", None),
        (b"model", None),
        (pieces(), None),
    ],
)
def test_a_request_names_its_model_in_json(content: Any, model: str | None) -> None:
    assert model_of(httpx2.Request("POST", URL, content=content)) == model


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({"content": b'{"stream": true}'}, True),
        ({"content": b'{"stream" :true}'}, True),
        ({"content": b'{"stream": false}'}, False),
        ({"content": b"{}"}, False),
        ({"content": b'{"stream": "true"}'}, False),
        ({"content": b'{"text": "\\"stream\\": true"}'}, False),
        ({"content": b'{"inner": {"stream": true}}'}, False),
        ({"content": b'[{"stream": true}]'}, False),
        ({"content": b'"stream": true'}, False),
        ({"content": pieces()}, False),
        ({"headers": {"accept": "application/json, text/event-stream"}}, True),
        ({"headers": {"accept": "application/json"}}, False),
        ({"params": {"alt": "sse"}}, True),
        ({"params": {"alt": "json"}}, False),
    ],
)
def test_a_request_asks_for_a_stream_in_its_json_its_headers_or_its_address(
    settings: dict[str, Any], asks: bool
) -> None:
    assert asks_for_stream(httpx2.Request("POST", URL, **settings)) is asks
