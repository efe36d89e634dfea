"""The process of the server: where it listens, on which loop, and how it ends."""

import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Protocol

from fake_vllm.http.access_log import access_log
from fake_vllm.http.connection import Connection, Limits
from fake_vllm.http.exchange import Exchange
from fake_vllm.http.listening import BACKLOG, CannotListen, is_reachable, listen, root
from fake_vllm.http.upload import Reception
from fake_vllm.settings import Settings
from fake_vllm.starter import starter_key

GRACE = 0.2  # seconds that a dying server has for the ends of its responses
WARM_AFTER = 0.2  # seconds; the first answer comes before that


class Application(Protocol):
    """The application that a server serves."""

    plain: bool

    @property
    def reads_requests(self) -> bool:
        """Tell whether to read from new connections at all."""

    @property
    def always_read(self) -> Sequence[str]:
        """Return the paths whose requests are read in any case."""

    def handle(self, exchange: Exchange) -> None:
        """Begin to answer a request."""

    def receive(self, headers: dict[str, str], make: Callable[[], Exchange]) -> Reception | None:
        """Return the fault that a request's body is received with. None: there is none."""

    def warm_up(self) -> None:
        """Load what the first requests need; called in a thread."""

    async def die(self, grace: float) -> None:
        """End all responses within `grace` seconds."""


def run(
    settings: Settings, make_app: Callable[[Settings], Application], name: str = "fake-vllm"
) -> None:
    """Serve until a signal, the end of the lifetime, or the end of standard input.

    Args:
        settings: the server's settings.
        make_app: makes the application, once the loop runs.
        name: the server's name in the line that it prints.

    Raises:
        CannotListen: the address, the socket or the certificate cannot be used.
    """
    tls = _tls(settings)
    listening = listen(settings)
    made_key = None
    if is_reachable(listening) and not (settings.admin_key or settings.api_key):
        made_key = None if starter_key() else token_urlsafe(18)
        settings = settings.model_copy(update={"admin_key": made_key or starter_key()})
    with asyncio.Runner(loop_factory=_loop(settings.loop)) as runner:
        runner.run(_serve(settings, listening, tls, make_app, name, made_key))


async def _serve(
    settings: Settings,
    listening: list[socket.socket],
    tls: ssl.SSLContext | None,
    make_app: Callable[[Settings], Application],
    name: str,
    made_key: str | None,
) -> None:
    loop = asyncio.get_running_loop()
    app = make_app(settings)
    announced = _announced(name, settings, listening, None if app.plain else made_key, app.plain)
    # Loaded modules stay, and a full collection over thousands of streams would delay them all.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    limits = Limits(
        settings.request_seconds, int(settings.max_body_mb * 2**20), settings.keep_alive_seconds
    )
    connections: set[Connection] = set()
    log = None if settings.access_log is None else access_log(settings.access_log)
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if settings.lifetime is not None:
        loop.call_later(settings.lifetime, end.set)
    if settings.watch_stdin:
        threading.Thread(target=_watch_stdin, args=(loop, end), daemon=True).start()

    def connect() -> Connection:
        return Connection(
            app.handle,
            limits,
            connections,
            reads=lambda: app.reads_requests,
            always_read=app.always_read,
            log=log,
            receive=None if app.plain else app.receive,
        )

    options: dict[str, Any] = {"ssl": tls, "backlog": BACKLOG}
    create = loop.create_unix_server if settings.uds else loop.create_server
    deaf = settings.startup if settings.startup_answer == "refuse" else 0.0
    if deaf:
        print(announced, flush=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), deaf)
            return
    try:
        servers = [await create(connect, sock=one, **options) for one in listening]
    except OSError as error:  # only while it started, another program has taken the port
        raise CannotListen(f"Cannot listen: {error.strerror}. Choose another port.") from None
    if not deaf:
        print(announced, flush=True)
    # Not a daemon: if the interpreter ends during its native code, the process aborts (SIGABRT).
    loop.call_later(WARM_AFTER, threading.Thread(target=app.warm_up).start)
    await end.wait()
    for server in servers:
        server.close()
    await app.die(GRACE)
    for connection in tuple(connections):
        connection.close()
    if settings.uds:
        settings.uds.unlink(missing_ok=True)


def _watch_stdin(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(end.set)


def _loop(name: str) -> Any:
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise CannotListen(
                "--loop uvloop needs uvloop: pip install uvloop, or use --loop asyncio."
            ) from None
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _announced(
    name: str, settings: Settings, listening: list[socket.socket], made_key: str | None, plain: bool
) -> str:
    """Return the line that says where the server is, which programs read too.

    A second line has the key of the own routes if the server made one.
    """
    roots = [root(settings, one) for one in listening]
    text = f"{name}: {roots[0]}/v1 serves '{settings.model}'"
    if plain:
        return text
    text += f", scenario {settings.scenario}"
    if settings.upstream or settings.replay:
        text += f", with the answers of {settings.upstream or settings.replay}"
    if settings.startup:
        text += f", ready in {settings.startup:g} s"
    if len(roots) > 1:
        text += f"; also at {', '.join(f'{other}/v1' for other in roots[1:])}"
    if settings.uds:
        return text
    if made_key is None:
        return f"{text}; open {roots[0]}/ to watch it"
    return (
        f"{text}; open {roots[0]}/#key={made_key} to watch it\n"
        f"{name}: Other machines can reach it, so /ledger and the fake's other own routes need the "
        f"key {made_key}, as in curl -H 'Authorization: Bearer {made_key}' {roots[0]}/ledger. "
        "Choose the key yourself with --admin-key."
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if settings.tls_self_signed:
        try:
            import trustme  # slow to load
        except ImportError:
            raise CannotListen(
                "--tls-self-signed needs trustme: pip install trustme, or give --ssl-certfile."
            ) from None

        authority = trustme.CA()
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if settings.tls_ca is not None:
            try:
                authority.cert_pem.write_to_path(settings.tls_ca)
            except OSError as error:
                raise CannotListen(f"Cannot write {settings.tls_ca}: {error.strerror}.") from None
        return context
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile
    if certificate is None:
        return None
    try:
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise CannotListen(_bad_certificate(certificate, key, error)) from None
    return context


def _bad_certificate(certificate: Path, key: Path | None, error: OSError) -> str:
    files = f"{certificate} and {key}" if key else str(certificate)
    reason = (
        "it is not a certificate with its own key"
        if isinstance(error, ssl.SSLError)
        else error.strerror
    )
    return (
        f"Cannot use {files} for TLS: {reason}. Give a certificate and its key, without a "
        "password, as PEM files."
    )
