"""A thread that is blocked in a read of a socket, and what wakes it."""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.story import PlainChatVllm
from stream_lab.experiment.trace import record_sync


class Woken(StrEnum):
    """When the blocked thread went on."""

    AWAKE = "awake at the deadline"
    BLOCKED = "blocked until the read time-out"


def blocked_until(end: Callable[[Any], object], server: Endpoint, deadline: float) -> Woken:
    """Read from a server that falls silent, and return when the read ends.

    The socket's own time-out is three times the deadline, so the thread is free in any case.

    Args:
        end: Called in another thread at the deadline, with the response that is being read.
        server: A bundled fake.
        deadline: Seconds.
    """
    model = PlainChatVllm(**server.settings, timeout=3 * deadline, max_retries=0)
    stream = model.client.create(
        model=server.model,
        messages=[{"role": "user", "content": "Why?"}],
        stream=True,
        extra_body={"fake_scenario": "stall:after=5"},
    )
    timer = threading.Timer(deadline, end, [stream.response])
    timer.start()
    recording = record_sync(stream, give_up_after=4 * deadline)
    timer.join()
    return Woken.AWAKE if recording.ended < 2 * deadline else Woken.BLOCKED
