"""Which servers, as far as a run knows, go on after their clients have left.

A server that ignores disconnects still runs the requests of earlier calls when the next one begins.
Its metrics then look as if other clients used it. A fake's ledger tells the two apart. For any
other server, what one call saw is kept for the next ones: in this process, and in the notebook's
folder of evidence, from which the runner hands it to later notebooks.
"""

import os
from pathlib import Path

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.evidence import FOLDER_VARIABLE
from stream_lab.experiment.witness import Sample

VARIABLE = "STREAM_LAB_GOES_ON"
"""The environment variable with the addresses of such servers, separated by spaces."""
FILE = "goes_on.txt"
"""The file in a folder of evidence with the addresses that a notebook has found."""

_seen: set[str] = set()


def note(server: Endpoint, samples: list[Sample], left: float) -> None:
    """Keep that a server goes on, if a call has shown it.

    Args:
        server: The server.
        samples: Its metrics from before the call until after the time that it had to stop.
        left: When the client disconnected, on the samples' clock.
    """
    if not samples or server.root in _seen:
        return
    before = samples[0].running
    most = max(sample.running for sample in samples)
    after = [sample.running for sample in samples if sample.at > left][-1:]
    if most == before + 1 and after == [most]:  # more than one more: others have come
        _seen.add(server.root)
        if folder := os.environ.get(FOLDER_VARIABLE):
            with Path(folder, FILE).open("a", encoding="utf-8") as file:
                file.write(f"{server.root}\n")


def is_known(server: Endpoint) -> bool:
    """Return whether the server's running requests are those of clients that have left."""
    if server.is_fake:
        running = [
            entry
            for entry in server.ledger()
            if entry.get("started") is not None and entry.get("slot_freed") is None
        ]
        return bool(running) and all(entry.get("client_left") is not None for entry in running)
    return server.root in _seen or server.root in os.environ.get(VARIABLE, "").split()
