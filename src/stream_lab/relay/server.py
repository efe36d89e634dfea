"""The AI server as a process: `python -m stream_lab.relay.server before|after [hides] FD`.

BASE_URL, MODEL and the key come from the environment; FD is a socket that already listens.
"""

import os
import sys

import uvicorn

from stream_lab.experiment.endpoint import NO_KEY, key_of
from stream_lab.relay.app import after, before


def main() -> None:
    """Serve the application that the arguments name."""
    kind, *hides, fd = sys.argv[1:]
    settings = {
        "base_url": os.environ["BASE_URL"],
        "model": os.environ["MODEL"],
        "api_key": key_of() or NO_KEY,
        "extra_body": {"ignore_eos": True},
    }
    app = (after if kind == "after" else before)(settings, hides=bool(hides))
    uvicorn.run(app, fd=int(fd), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
