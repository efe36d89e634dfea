"""A browser's view: Chromium's EventSource as one more layer."""

import pytest

from stream_lab.doctor import Cause, Target, TargetError, examine
from stream_lab.doctor.in_browser import check
from stream_lab.processes import serve
from tests.conftest import needs
from tests.stream_lab.doctor.stacks import app


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target.of("http://host/x", post="{}"), "only GET"),
        (Target.of("http://host/v1", model="m"), "only GET"),
        (Target.of("ws://host/x"), "WebSocket"),
        (
            Target.of("http://host/x", headers=(("x-key", "secret"),)),
            "cannot send the header x-key",
        ),
    ],
)
def test_a_request_that_an_event_source_cannot_send_is_one_clear_sentence(
    target: Target, says: str
) -> None:
    with pytest.raises(TargetError, match=says) as error:
        check(target)
    assert "secret" not in str(error.value)
    assert "leave" in str(error.value)


@needs("chromium")
def test_a_browser_hears_the_stream_as_one_more_layer() -> None:
    with serve(app) as running:
        target = Target.of(f"{running.url}/events", headers=(("cookie", "a=1"),))
        found = examine(target, browser=True, watch=10.0)
    assert found.diagnosis.cause is Cause.HEALTHY
    [raw], [seen] = found.heard["proxied"], found.heard["browser"]
    assert [data for _, data in seen.pieces][-1] == b"event: done\ndata: [DONE]\n\n"
    assert len(seen.pieces) == sum(data.count(b"data:") for _, data in raw.pieces)
    assert seen.pieces[-1][0] - seen.pieces[0][0] > 0.5, "the events came one after the other"
