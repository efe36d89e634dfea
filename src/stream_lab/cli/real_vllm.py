"""`stream-lab real-vllm`: a real vLLM on this machine."""

from typing import Annotated

import typer
from rich.console import Console


def real_vllm(port: Annotated[int, typer.Option(min=1, max=65535)] = 8100) -> None:
    """Run a real vLLM on this CPU with a tiny random-weight model.

    The first time takes 3 GB and minutes. Exit status: 0 when Ctrl-C ends it; 2 if it does not
    start, or the usage is wrong.
    """
    from stream_lab.processes.backends import stay

    console = Console(stderr=True)
    try:
        stay(port, console)
    except KeyboardInterrupt:
        console.print("Stopped.")
