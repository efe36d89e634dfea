"""How long the SDK pauses before a retry."""

from email.utils import formatdate

import openai
import pytest
from openai._models import FinalRequestOptions

from stream_deadline._pauses import SHORTEST_SHARE, longest_pause, retry_after

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


@pytest.mark.parametrize("made", range(6))
@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_the_sdk_pauses_as_long(made: int, drawn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.random", lambda: drawn)
    client = openai.OpenAI(api_key="none")
    options = FinalRequestOptions(method="post", url="/x", max_retries=9)
    pause = client._calculate_retry_timeout(9 - made, options)
    share = 1.0 if drawn == 0.0 else SHORTEST_SHARE
    assert pause == share * longest_pause(made)
