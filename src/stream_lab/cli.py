"""`stream-lab`: the laboratory's commands."""

import signal
from typing import Annotated

import typer
from rich.console import Console

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@cli.callback()
def stream_lab() -> None:
    """Why LLM streams outlive their time-outs, shown and measured."""


@cli.command("real-vllm")
def real_vllm(port: Annotated[int, typer.Option(min=1, max=65535)] = 8100) -> None:
    """Run a real vLLM on this CPU with a tiny random-weight model (3 GB, minutes the first time)."""
    from stream_lab.real_vllm import RealVllmError, serve

    try:
        serve(port, Console(stderr=True))
    except RealVllmError as error:
        _fail(str(error))


def _fail(message: str, status: int = 2) -> None:
    Console(stderr=True, soft_wrap=True).print(f"stream-lab: {message}", highlight=False, markup=False)
    raise SystemExit(status)


def main() -> None:
    # Ended from outside is like Ctrl-C: everything that was started is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli()


if __name__ == "__main__":
    main()
