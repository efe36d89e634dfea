"""Runs in small that confirm the atlas: which limit ended a recorded stream."""

from collections.abc import Iterator

from stream_lab.doctor.atlas import Stack, named_in
from stream_lab.experiment import verdict
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.http.client import direct_client

PATIENCE = 30.0  # seconds of silence after which a read fails


def ended_by(path: Stack, heard: Recording, *logs: str) -> str:
    """Return the name of the limit whose message an ended stream left.

    "no limit" means that the consumer left by itself, or that no message is one of the atlas.

    Args:
        path: the layers that the stream went through.
        heard: the stream as its consumer saw it.
        logs: the logs of the layers.
    """
    if heard.ending is Ending.FINISHED:
        return verdict.BY_ITSELF
    if heard.ending is Ending.GAVE_UP:
        return "no limit"
    return named_in(path, "\n".join([heard.error, *logs]))


def pieces(url: str) -> Iterator[bytes]:
    """Yield the pieces of an answer over plain HTTP as they arrive."""
    with direct_client(timeout=PATIENCE) as client, client.stream("GET", url) as answer:
        yield from answer.iter_raw()
