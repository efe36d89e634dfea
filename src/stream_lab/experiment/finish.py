"""How a streamed answer ended: by the server, or not within its time."""

from collections.abc import AsyncIterator
from typing import Any

from stream_lab.experiment import verdict
from stream_lab.experiment.trace import Ending, record

NO_REASON = "no finish_reason"


async def how_it_ended(
    stream: AsyncIterator[Any], *, deadline: float, give_up_after: float | None = None
) -> str:
    """Read a stream of LangChain's chunks, and return how it ended.

    Args:
        stream: The stream, for example `model.astream(…)`.
        deadline: Seconds after which it should have been stopped.
        give_up_after: Seconds after which the reader leaves. None: a second after the deadline.

    Returns:
        The server's `finish_reason` if it ended by itself before its deadline, and else the verdict
        on its deadline.
    """
    reasons: list[str] = []

    async def noted() -> AsyncIterator[Any]:
        async for chunk in stream:
            if reason := chunk.response_metadata.get("finish_reason"):
                reasons.append(reason)
            yield chunk

    recording = await record(noted(), give_up_after=give_up_after or deadline + 1)
    if recording.ending is not Ending.FINISHED:
        return verdict.of_stream(recording, deadline)
    if recording.ended > deadline + verdict.lateness_allowed(deadline):
        return verdict.RAN_ON
    return f"finish_reason={reasons[-1]}" if reasons else NO_REASON
