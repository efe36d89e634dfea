"""`fake-vllm`: start the server, or list what it can play. Flags that vLLM has keep vLLM's names."""

import asyncio
import os
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvicorn

from fake_vllm.app import App, Settings
from fake_vllm.scenarios import ScenarioError, catalogue

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)


class Server(uvicorn.Server):
    """A uvicorn that says where it listens once it does, and ends at the end of its lifetime or of its standard input."""

    def __init__(self, app: App, listening: socket.socket, *, lifetime: float | None, watch_stdin: bool, **tls: Any) -> None:
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0, **tls)
        super().__init__(config)
        self._listening = listening
        self._lifetime = lifetime
        self._watch_stdin = watch_stdin
        self._settings = app.settings

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets=[self._listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._lifetime is not None:
            asyncio.get_running_loop().call_later(self._lifetime, self._end)
        if self._watch_stdin:
            threading.Thread(target=self._end_with_stdin, daemon=True).start()
        host, port = self._listening.getsockname()[:2]
        name, scenario = self._settings.served_model_name, self._settings.scenario
        scheme = "https" if self.config.is_ssl else "http"
        print(f"fake-vllm: {scheme}://{host}:{port}/v1 serves '{name}', scenario {scenario}", flush=True)

    def _end(self) -> None:
        self.should_exit = True

    def _end_with_stdin(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._end()


@cli.callback()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one and prints it.")] = 8000,
    scenario: Annotated[str, typer.Option(help="How to behave, e.g. stall:after=5; see `fake-vllm scenarios`.")] = "finite",
    gap_ms: Annotated[float, typer.Option(min=0, help="Milliseconds between two tokens.")] = 10.0,
    first_token_ms: Annotated[float, typer.Option(min=0, help="Milliseconds before the first token.")] = 0.0,
    served_model_name: Annotated[str, typer.Option(help="The one model's name.")] = "fake-model",
    max_num_seqs: Annotated[int, typer.Option(min=1, help="Requests that run at once; the others wait.")] = 256,
    max_model_len: Annotated[int, typer.Option(min=16, help="Context length in tokens.")] = 32_768,
    api_key: Annotated[str | None, typer.Option(envvar="FAKE_VLLM_API_KEY", help="Demand this key.")] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Speak TLS with this certificate (PEM).")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its key, if the certificate's file does not hold it.")] = None,
    lifetime: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds, whatever happens.")] = None,
    watch_stdin: Annotated[bool, typer.Option("--watch-stdin", help="End when standard input closes.")] = False,
) -> None:
    """A vLLM that misbehaves on request."""
    if context.invoked_subcommand:
        return
    settings = Settings(
        served_model_name=served_model_name,
        scenario=scenario,
        gap=gap_ms / 1000,
        first_token=first_token_ms / 1000,
        max_num_seqs=max_num_seqs,
        max_model_len=max_model_len,
        api_key=api_key,
    )
    try:
        app = App(settings)
    except ScenarioError as error:
        _fail(str(error))
    if ssl_certfile or ssl_keyfile:
        _check_tls(ssl_certfile, ssl_keyfile)
    try:
        listening = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        _fail(
            f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. Choose another port, or --port 0 for a free one."
        )
    tls = {"ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile}
    Server(app, listening, lifetime=lifetime, watch_stdin=watch_stdin, **tls).run()


@cli.command()
def scenarios() -> None:
    """List what the server can play, one line each."""
    width = max(map(len, catalogue()))
    for name, text in catalogue().items():
        print(f"{name:<{width}}  {text}")


def _check_tls(certfile: Path | None, keyfile: Path | None) -> None:
    if certfile is None:
        _fail("--ssl-keyfile needs --ssl-certfile.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, password="")
    except OSError as error:
        files = f"{certfile} and {keyfile}" if keyfile else str(certfile)
        reason = "no certificate with its own key" if isinstance(error, ssl.SSLError) else error.strerror
        _fail(f"Cannot use {files} for TLS: {reason}. Give a certificate and its key, without a password, as PEM files.")


def _fail(message: str) -> NoReturn:
    print(f"fake-vllm: {message}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
