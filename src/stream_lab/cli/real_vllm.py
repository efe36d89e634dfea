"""`stream-lab real-vllm`: a real vLLM on this machine."""

from typing import Annotated

import typer
from rich.console import Console


def real_vllm(port: Annotated[int, typer.Option(min=1, max=65535)] = 8100) -> None:
    """Run a real vLLM on this CPU with a tiny random-weight model (3 GB, minutes the first time)."""
    from stream_lab.processes.backends import stay

    console = Console(stderr=True)
    try:
        stay(port, console)
    except KeyboardInterrupt:
        console.print("Stopped.")
