"""How long the SDK pauses before a retry."""

import math
from email.utils import formatdate

import openai
import pytest
from openai._models import FinalRequestOptions

from stream_deadline._pauses import SHORTEST_SHARE, longest_pause, retry_after
from tests.stream_deadline.in_memory import FAMILY

NOW = 1_800_000_000


@pytest.mark.parametrize(("made", "longest"), [(0, 0.5), (1, 1.0), (3, 4.0), (4, 8.0), (99, 8.0)])
def test_the_longest_pause_doubles_up_to_eight_seconds(made: int, longest: float) -> None:
    assert longest_pause(made) == longest


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "0", "retry-after": "7"}, None),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOW + 1, usegmt=True)}, 0.75),
        ({"retry-after": formatdate(NOW + 9, usegmt=True)}, 8.75),
        ({"retry-after": formatdate(NOW, usegmt=True)}, None),
    ],
    ids=str,
)
def test_a_server_asks_for_a_number_or_a_date(
    headers: dict[str, str], wait: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW + 0.25)
    assert retry_after(headers) == wait


@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (b"Fri, 31 Dec 99999 23:59:59 GMT", None),
        (b"Fri, 31 Dec -1 23:59:59 GMT", None),
        (b"Fri, 31 Dec 9999999999 23:59:59 GMT", None),  # too large for an int of C
        (b"Fri, " + b"9" * 400 + b" Dec 2030 23:59:59 GMT", None),  # too large for a float
        (b"Fri, 31 Dec 2030 23:59:59 +" + b"9" * 400, None),
        (b"Fri, 31 Dec 1999 23:59:59 GMT", None),
        (b"Fri, 31 Foo 2030 23:59:59 GMT", None),
        (b"", None),
        (b" ", None),
        (b",", None),
        (b"\xff\xfe", None),
        ("in fünf Minuten".encode(), None),
        (b"9" * 5000 + b" Dec 2030", None),
        (b"nan", None),
        (b"-inf", None),
        (b"-1e308", None),
        (b"inf", math.inf),
        (b"1e400", math.inf),
        (b"1e308", 1e308),
    ],
    ids=lambda value: str(value)[:24],
)
def test_an_absurd_number_or_date_is_no_error(value: bytes, wait: float | None, name: str) -> None:
    headers = FAMILY.Headers([(name.encode(), value)])
    if wait is not None and name == "retry-after-ms":
        wait /= 1000
    assert retry_after(headers) == wait


def test_an_absurd_date_does_not_hide_the_milliseconds() -> None:
    absurd = "Fri, 31 Dec 99999 23:59:59 GMT"
    assert retry_after({"retry-after-ms": "250", "retry-after": absurd}) == 0.25
    assert retry_after({"retry-after-ms": absurd, "retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": absurd, "retry-after": absurd}) is None


@pytest.mark.parametrize("made", range(6))
@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_the_sdk_pauses_as_long(made: int, drawn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.random", lambda: drawn)
    client = openai.OpenAI(api_key="none")
    options = FinalRequestOptions(method="post", url="/x", max_retries=9)
    pause = client._calculate_retry_timeout(9 - made, options)
    share = 1.0 if drawn == 0.0 else SHORTEST_SHARE
    assert pause == share * longest_pause(made)
